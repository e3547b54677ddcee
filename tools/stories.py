"""What the workflow files of `workflows/` hold; `tools.make_workflows` writes them."""

from __future__ import annotations

from .workflow_graph import Node, Note, Story

TINY = {"width": 64, "height": 64, "fps": 16.0}

TINY_STORY_TEXT = """\
0s: the meadow lies empty
3s: a robot walks across the meadow
9s: nobody is in the city
12s: a cat jumps up and down in the city
16.5s: the beach lies empty
21s: the robot returns to the meadow
25.5s: the robot waves in the meadow
30s: the robot leaves the meadow"""


def tiny_story() -> Story:
    tiny = Node("MemFlowTinyStory", (40, 20), (280, 66))
    memory = Node("MemFlowMemory", (400, 480), (400, 58))
    prompts = Node("MemFlowPromptSchedule", (400, 20), (400, 400), {"clip": tiny["clip"], "prompts": TINY_STORY_TEXT})
    video = Node(
        "MemFlowStreamToVideo",
        (860, 20),
        (400, 830),
        {
            "model": tiny["model"],
            "vae": tiny["vae"],
            "schedule": prompts["schedule"],
            "memory": memory["memory"],
            **TINY,
            "seed": 7,
            "length": 537,
            "filename_prefix": "video/tiny_story",
        },
    )
    note = Note(
        "## A tiny story with memory\n\n"
        "**Run** writes half a minute of cartoon, chunk by chunk. No prompt says which colours the robot has, and it "
        "is away for a quarter of a minute: that it comes back in its own colours is memory.\n\n"
        "- **Prompt Schedule**: what happens when. Change a line; the model knows a robot, a cat, a ghost and a bird, "
        "in the meadow, on the beach, in the city and in the snow.\n"
        "- **Memory**: what the stream remembers. Choose *Window only* and compare.\n"
        "- **Stream to Video**: another seed casts others. The file plays up to the last chunk, even if you cancel.\n\n"
        "The tiny model needs no download and no GPU. For real weights put *MemFlow Load Model* or a stock loader, "
        "*Load CLIP* (umt5-xxl, type wan) and *Load VAE* (Wan 2.1) in its place, at 832 x 480.",
        (40, 140),
        (320, 400),
    )
    return Story("tiny_story", (tiny, prompts, memory, video), (note,))


def node_by_node() -> Story:
    tiny = Node("MemFlowTinyStory", (60, 20), (260, 66))
    nodes, schedule = [tiny], None
    for number, (start, prompt) in enumerate(
        ((0.0, "a robot walks right in the meadow"), (6.0, "an empty beach"), (9.0, "the robot returns to the meadow"))
    ):
        left = 400 + 330 * number
        title = f"Prompt {number + 1}"
        text = Node("CLIPTextEncode", (left, 20), (290, 110), {"clip": tiny["clip"], "text": prompt}, title)
        before = {"schedule": schedule} if schedule else {}
        values = {"conditioning": text["CONDITIONING"], "start": start, **before}
        segment = Node("MemFlowPromptSegment", (left + 20, 190), (270, 126), values)
        schedule = segment["schedule"]
        nodes += [text, segment]
    memory = Node("MemFlowMemory", (1080, 400), (270, 58))
    video = Node(
        "MemFlowStreamToVideo",
        (1420, 20),
        (360, 830),
        {
            "model": tiny["model"],
            "vae": tiny["vae"],
            "schedule": schedule,
            "memory": memory["memory"],
            **TINY,
            "seed": 7,
            "length": 213,
            "filename_prefix": "video/node_by_node",
        },
    )
    note = Note(
        "## A schedule, node by node\n\n"
        "Each **Prompt Segment** takes any `CONDITIONING` and the time from which it holds. Chain as many as you like, "
        "in the order of the story. Texts may come from other nodes, times may be converted to inputs.\n\n"
        "The same story as text: *MemFlow Prompt Schedule*.",
        (40, 190),
        (300, 240),
    )
    return Story("node_by_node", (*nodes, memory, video), (note,))


STORIES = (tiny_story(), node_by_node())
