"""Stories that go on: from where another stopped, from pictures, and for as long as somebody directs them."""

from __future__ import annotations

from ..workflow_graph import Group, Node, Note, Story
from .parts import TINY, schedule, text, tiny_model, tiny_video

BEGINNING = """\
0s: a robot walks across the meadow
7.5s: nobody is in the city"""
BEGINNING_FRAMES = 189
ENDINGS = {
    "ending_one": "11.75s: the robot returns to the meadow\n16s: the robot waves in the meadow",
    "ending_two": "11.75s: a cat walks into the city\n16s: the robot and the cat meet in the city",
}
ENDING_FRAMES = 132

CAT, ROBOT = "a cat stands still on the beach", "a robot stands still in the city"
CASTING = f"0s: {CAT}\n3s [cut]: {ROBOT}"
CASTING_FRAMES, CAT_FRAME, ROBOT_FRAME = 93, 32, 92
FROM_PICTURES = f"""\
0s: {CAT}
3s: the cat leaves the beach
6.75s: nobody is in the city
9.75s: a robot walks into the city
13.5s: the robot waves in the city
16.5s: the beach lies empty
19.5s: the cat returns to the beach"""

LIVE = "0s: a robot walks across the meadow"


def continue_and_branch() -> Story:
    tiny = tiny_model((40, 60))
    told = schedule(tiny["clip"], BEGINNING, (400, 60), "Beginning: prompts")
    memory = Node("MemFlowMemory", (400, 620), (560, 58))
    first = tiny_video(
        tiny, told["schedule"], "beginning", BEGINNING_FRAMES, (1000, 60), memory=memory["memory"], title="Beginning"
    )
    saved = Node(
        "MemFlowSaveState", (400, 740), (560, 130), {"state": first["state"], "filename_prefix": "continue_and_branch"}
    )
    nodes, groups = [tiny, told, memory, first, saved], [Group("The beginning", (380, 0, 1040, 910))]
    for number, (name, ending) in enumerate(ENDINGS.items()):
        title, top = name.replace("_", " ").capitalize(), 930 * number
        more = schedule(tiny["clip"], f"{BEGINNING}\n{ending}", (1480, top + 60), f"{title}: prompts")
        values = {"state": first["state"], "title": title}
        video = tiny_video(tiny, more["schedule"], name, ENDING_FRAMES, (2080, top + 60), **values)
        nodes += [more, video]
        groups.append(Group(title, (1460, top, 1040, 910)))
    note = Note(
        "## One beginning, two endings\n\n"
        "**Run** makes a beginning, and two videos that go on from its last moment. Nothing of the beginning is made "
        "twice: change an ending's prompt or seed, run again, and only that ending is made anew.\n\n"
        "- Each ending has the whole schedule, from the start of the story; its `length` counts the frames to add.\n"
        "- **Save State** keeps the moment in `output/memflow_states`. Another day, put **MemFlow Load State** in the "
        "place of *Beginning*: connect its `state` to both endings, with the same model, size and steps.\n"
        "- `content`: *compact* is small and very near; *exact* is gigabytes at 832 x 480, and the same bit by bit.",
        (40, 180),
        (320, 480),
    )
    return Story("continue_and_branch", nodes, (note,), groups, scale=0.6)


def picture_to_story() -> Story:
    tiny = tiny_model((40, 60))
    size = {"width": TINY["width"], "height": TINY["height"]}
    casting = schedule(tiny["clip"], CASTING, (400, 60), "Two pictures: prompts")
    drawn = Node(
        "MemFlowSampler",
        (400, 620),
        (560, 330),
        {"model": tiny["model"], "schedule": casting["schedule"], **TINY, "seed": 3, "length": CASTING_FRAMES},
        "Draw them",
    )
    decoded = Node("VAEDecode", (1000, 60), (220, 46), {"samples": drawn["latent"], "vae": tiny["vae"]})
    nodes, pictures, words = [tiny, casting, drawn, decoded], [], []
    for number, (name, prompt, frame) in enumerate((("start", CAT, CAT_FRAME), ("remember", ROBOT, ROBOT_FRAME))):
        top = 160 + 420 * number
        taken = {"image": decoded["IMAGE"], "batch_index": frame}
        picture = Node("ImageFromBatch", (1000, top), (220, 82), taken, f"Picture to {name}")
        shown = Node("PreviewImage", (1000, top + 130), (220, 246), {"images": picture["IMAGE"]})
        said = text(tiny["clip"], prompt, (1290, 60 + 420 * number), f"What it shows ({name})")
        nodes += [picture, shown, said]
        pictures.append(picture["IMAGE"])
        words.append(said["CONDITIONING"])
    start = Node(
        "MemFlowStartImages",
        (1290, 220),
        (300, 200),
        {"vae": tiny["vae"], "conditioning": words[0], "images": pictures[0], **size},
    )
    remember = Node(
        "MemFlowRememberImages",
        (1290, 640),
        (300, 150),
        {"vae": tiny["vae"], "conditioning": words[1], "images": pictures[1], "state": start["state"], **size},
    )
    told = schedule(tiny["clip"], FROM_PICTURES, (1660, 60), "Story: prompts")
    memory = Node("MemFlowMemory", (1660, 620), (560, 58))
    given = {"memory": memory["memory"], "state": remember["state"]}
    video = tiny_video(tiny, told["schedule"], "picture_to_story", 372, (2260, 60), **given)
    own = Node("LoadImage", (40, 760), (320, 314), {"image": ["", "image"]}, "Your own picture")
    note = Note(
        "## A story from pictures\n\n"
        "**Run** draws two pictures and tells a story that knows them.\n\n"
        "- **Start Images**: the video goes on from this picture. A clip works too.\n"
        "- **Remember Images**: this one waits in the memory bank. The story has never shown its robot; the one that "
        "walks in has its looks.\n"
        "- Each takes a text that says what its picture shows.\n\n"
        "**Your own picture**: choose it in *Load Image*, connect that to `images` in place of a drawn one, and say "
        "what it shows. The tiny model only knows its own cartoons. For real weights take the loaders and sizes of "
        "*official_story*; what looks like the model's own pictures works best.",
        (40, 180),
        (320, 540),
    )
    groups = (
        Group("Two pictures (in the place of your own)", (380, 0, 860, 980)),
        Group("What the story is given", (1270, 0, 340, 980)),
        Group("The story", (1640, 0, 1040, 980)),
    )
    nodes += [start, remember, told, memory, video, own]
    return Story("picture_to_story", nodes, (note,), groups, scale=0.55)


def live_story() -> Story:
    tiny = tiny_model((40, 20))
    told = schedule(tiny["clip"], LIVE, (400, 20))
    memory = Node("MemFlowMemory", (400, 580), (560, 58))
    values = {"memory": memory["memory"], "clip": tiny["clip"]}
    video = tiny_video(tiny, told["schedule"], "live_story", 0, (1020, 20), **values)
    played = Node("PreviewAny", (1480, 20), (400, 240), {"source": video["played"]}, "What was played")
    note = Note(
        "## Direct a story while it plays\n\n"
        "**Run** starts a story without an end (`length` 0). Then, on *Stream to Video*:\n\n"
        "- write what happens next, for example *a cat walks into the city*, and press Enter: it starts with the next "
        "chunk;\n"
        "- **Pause** while you think; **Finish now** ends the video and keeps all of it.\n\n"
        "*What was played* is the story as you directed it. Put it into the Prompt Schedule: with the same seed it "
        "plays again. Programs do the same over HTTP: `POST /memflow/live/{prompt_id}/{node_id}`.\n\n"
        "`clip` has to be connected, or the box takes no prompts.",
        (40, 140),
        (320, 440),
    )
    return Story("live_story", (tiny, told, memory, video, played), (note,))
