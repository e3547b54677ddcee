"""Stories that go on: from where another stopped, from pictures, and for as long as somebody directs them."""

from __future__ import annotations

from ..workflow_graph import Group, Node, Note, Story
from .parts import TINY, schedule, text, tiny_model, tiny_video

BEGINNING = """\
0s: a robot waves in the meadow
3.75s: the robot walks right in the meadow
7.5s: nobody is in the city"""
BEGINNING_FRAMES = 189
ENDINGS = {
    "ending_one": "11.75s: the robot returns to the meadow\n17.75s [cut]: the robot waves in the meadow",
    "ending_two": "11.75s: a cat walks into the city\n17.75s [cut]: the robot and the cat meet in the city",
}
ENDING_FRAMES = 132

CAT, ROBOT = "a cat stands still on the beach", "a robot stands still in the city"
# (what for, what it shows, its start in seconds, the frame that is taken)
CASTING = (("start", CAT, 0.0, 32), ("remember", ROBOT, 3.0, 92))
CASTING_FRAMES = 93
FROM_PICTURES = f"""\
0s: {CAT}
3s: the cat leaves the beach
6.75s: nobody is in the city
9.75s: a robot walks into the city
13.5s: the robot jumps in the city
16.5s: the beach lies empty
19.5s: the cat returns to the beach"""
PICTURES_FRAMES = 372

SMALL_SCHEDULE, SMALL_STREAM = (420, 408), (420, 670)

LIVE = "0s: a robot walks across the meadow"

BRANCH_NOTE = """\
## One beginning, two endings

**Run** makes a beginning, and two videos that go on from its last moment. Nothing of the beginning is made twice: \
change an ending's prompt or seed, run again, and only that ending is made anew.

- Each ending has the whole schedule, from the start of the story; its `length` counts the frames to add.
- **Save State** keeps the moment in `output/memflow_states`. Another day, put **MemFlow Load State** in the place of \
*Beginning*: connect its `state` to both endings, with the same model, size and steps.
- `content`: *compact* is small and very near; *exact* is gigabytes at 832 x 480, and the same bit by bit."""

PICTURE_NOTE = """\
## A story from pictures

**Run** draws two pictures and tells a story that knows them.

- **Start Images**: the video goes on from this picture. A clip works too.
- **Remember Images**: this one waits in the memory bank. The story has never shown its robot; the one that walks in \
is to have its looks.
- Each takes a text that says what its picture shows.

**Your own picture**: choose it in *Load Image*, connect that to `images` in the place of a drawn one, and say what it \
shows. The tiny model only knows its own cartoons. For real weights take the loaders and sizes of *official_story*; \
what looks like the model's own pictures works best."""

LIVE_NOTE = """\
## Direct a story while it plays

**Run** starts a story without an end (`length` 0). Then, on *Stream to Video*:

- write what happens next, for example *a cat walks into the city*, and press Enter: it starts with the next chunk;
- **Pause** while you think; **Finish now** ends the video and keeps all of it.

*What was played* is the story as you directed it. Put it into the Prompt Schedule: with the same seed it plays again. \
Programs do the same over HTTP: `POST /memflow/live/{prompt_id}/{node_id}`.

`clip` has to be connected, or the box takes no prompts."""


def continue_and_branch() -> Story:
    tiny = tiny_model((40, 50))
    told = schedule(tiny["clip"], BEGINNING, (420, 50), "Beginning: prompts", SMALL_SCHEDULE)
    memory = Node("MemFlowMemory", (40, 680), (320, 82))
    values = {"memory": memory["memory"], "title": "Beginning"}
    first = tiny_video(tiny, told["schedule"], "beginning", BEGINNING_FRAMES, (420, 500), SMALL_STREAM, **values)
    kept = {"state": first["state"], "filename_prefix": "continue_and_branch"}
    saved = Node("MemFlowSaveState", (40, 820), (320, 130), kept)
    nodes, groups = [tiny, told, memory, first, saved], [Group("The beginning", (400, -30, 460, 1220))]
    for number, (name, ending) in enumerate(ENDINGS.items(), start=1):
        title, left = name.replace("_", " ").capitalize(), 420 + 490 * number
        more = schedule(tiny["clip"], f"{BEGINNING}\n{ending}", (left, 50), f"{title}: prompts", SMALL_SCHEDULE)
        values = {"state": first["state"], "title": title}
        video = tiny_video(tiny, more["schedule"], name, ENDING_FRAMES, (left, 500), SMALL_STREAM, **values)
        nodes += [more, video]
        groups.append(Group(title, (left - 20, -30, 460, 1220)))
    return Story("continue_and_branch", nodes, (Note(BRANCH_NOTE, (40, 170), (320, 460)),), groups, scale=0.6)


def picture_to_story() -> Story:
    tiny = tiny_model((40, 50))
    size = {"width": TINY["width"], "height": TINY["height"]}
    nodes, words, casting = [tiny], [], None
    for number, (name, prompt, start, _) in enumerate(CASTING):
        said = text(tiny["clip"], prompt, (420, 50 + 210 * number), f"What it shows ({name})")
        values = {"conditioning": said["CONDITIONING"], "start": start, "switch": "cut"}
        before = {"schedule": casting} if casting else {}
        segment = Node("MemFlowPromptSegment", (760, 50 + 210 * number), (280, 165), values | before)
        casting = segment["schedule"]
        nodes += [said, segment]
        words.append(said["CONDITIONING"])
    drawn = Node(
        "MemFlowSampler",
        (1080, 50),
        # it grows: its plan and what it remembered stand in it
        (300, 510),
        {"model": tiny["model"], "schedule": casting, **TINY, "seed": 3, "length": CASTING_FRAMES},
        "Draw two pictures",
    )
    decoded = Node("VAEDecode", (420, 470), (300, 46), {"samples": drawn["latent"], "vae": tiny["vae"]})
    nodes, pictures = [*nodes, drawn, decoded], []
    for number, (name, *_, frame) in enumerate(CASTING):
        left = 420 + 280 * number
        taken = {"image": decoded["IMAGE"], "batch_index": frame}
        picture = Node("ImageFromBatch", (left, 570), (230, 82), taken, f"Picture to {name}")
        nodes += [picture, Node("PreviewImage", (left, 700), (230, 270), {"images": picture["IMAGE"]})]
        pictures.append(picture["IMAGE"])
    begin = {"vae": tiny["vae"], "conditioning": words[0], "images": pictures[0], **size}
    start = Node("MemFlowStartImages", (1440, 50), (300, 200), begin)
    know = {"vae": tiny["vae"], "conditioning": words[1], "images": pictures[1], "state": start["state"], **size}
    remember = Node("MemFlowRememberImages", (1440, 300), (300, 150), know)
    told = schedule(tiny["clip"], FROM_PICTURES, (1780, 50), "Story: prompts", (400, 440))
    memory = Node("MemFlowMemory", (1440, 500), (300, 82))
    given = {"memory": memory["memory"], "state": remember["state"]}
    video = tiny_video(tiny, told["schedule"], "picture_to_story", PICTURES_FRAMES, (2220, 50), (370, 670), **given)
    own = Node("LoadImage", (40, 720), (320, 314), {"image": ["", "image"]}, "Your own picture")
    groups = (
        Group("Two pictures (in the place of your own)", (400, -30, 1000, 1020)),
        Group("The story that knows them", (1420, -30, 1190, 1020)),
    )
    nodes += [start, remember, own, told, memory, video]
    return Story("picture_to_story", nodes, (Note(PICTURE_NOTE, (40, 170), (320, 500)),), groups, scale=0.6)


def live_story() -> Story:
    tiny = tiny_model((40, 20))
    told = schedule(tiny["clip"], LIVE, (400, 20))
    memory = Node("MemFlowMemory", (400, 580), (560, 82))
    values = {"memory": memory["memory"], "clip": tiny["clip"]}
    video = tiny_video(tiny, told["schedule"], "live_story", 0, (1020, 20), **values)
    played = Node("PreviewAny", (1480, 20), (400, 240), {"source": video["played"]}, "What was played")
    return Story("live_story", (tiny, told, memory, video, played), (Note(LIVE_NOTE, (40, 140), (320, 440)),))
