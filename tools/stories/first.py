"""Workflow files of the first story, by text and node by node."""

from __future__ import annotations

from ..workflow_graph import Node, Note, WorkflowSpec
from .parts import schedule_node, text_node, tiny_model_node, tiny_video_node

TINY_STORY_TEXT = """\
0s: the meadow lies empty
3s: a robot walks across the meadow
9s: nobody is in the city
12s: a cat walks across the city
16.5s: the beach lies empty
21s: the robot returns to the meadow
25.5s [cut]: the robot waves in the meadow
30s: the robot leaves the meadow"""
TINY_STORY_FRAMES = 537

SEGMENTS = (
    (0.0, "a robot walks right in the meadow"),
    (5.0, "an empty beach"),
    (9.0, "the robot returns to the meadow"),
)
SEGMENTS_FRAMES = 213


def tiny_story() -> WorkflowSpec:
    tiny = tiny_model_node((40, 20))
    schedule = schedule_node(tiny["clip"], TINY_STORY_TEXT, (400, 20))
    memory = Node("MemFlowMemory", (400, 580), (560, 178))
    video = tiny_video_node(
        tiny,
        schedule["schedule"],
        name="tiny_story",
        length=TINY_STORY_FRAMES,
        at=(1020, 20),
        memory=memory["memory"],
    )
    note = Note(
        "## A tiny story with memory\n\n"
        "**Run** writes half a minute of cartoon, chunk by chunk. No prompt says which colours the robot has, and it "
        "is away for a quarter of a minute: that it comes back in its own colours is memory.\n\n"
        "- **Prompt Schedule**: what happens when. Change a line; the model knows a robot, a cat, a ghost and a bird, "
        "in the meadow, on the beach, in the city and in the snow. `[cut]` starts a new shot: without one, the tiny "
        "model lets a robot that stands there stand on, though it is told to wave.\n"
        "- **Memory**: what the stream remembers. Choose *Window only* and compare.\n"
        "- **Stream to Video**: another seed casts others. The file plays up to the last chunk, even if you cancel.\n\n"
        "The tiny model needs no download and no GPU. For real weights open the template *official_story*.",
        # it ends where the graph ends: the front end fits that into the window, with room for the finished video
        (400, 810),
        (560, 440),
    )
    return WorkflowSpec("tiny_story", (tiny, schedule, memory, video), (note,))


def node_by_node() -> WorkflowSpec:
    tiny = tiny_model_node((60, 20))
    nodes, schedule = [tiny], None
    for number, (start, words) in enumerate(SEGMENTS):
        left = 400 + 330 * number
        prompt = text_node(tiny["clip"], words, (left, 20), f"Prompt {number + 1}")
        before = {"schedule": schedule} if schedule else {}
        values = {"conditioning": prompt["CONDITIONING"], "start": start, **before}
        segment = Node("MemFlowPromptSegment", (left + 20, 190), (270, 170), values)
        schedule = segment["schedule"]
        nodes += [prompt, segment]
    memory = Node("MemFlowMemory", (1080, 430), (270, 178))
    video = tiny_video_node(
        tiny, schedule, name="node_by_node", length=SEGMENTS_FRAMES, at=(1420, 20), memory=memory["memory"]
    )
    note = Note(
        "## A schedule, node by node\n\n"
        "Each **Prompt Segment** takes any `CONDITIONING` and the time from which it holds. Chain as many as you like, "
        "in the order of the story. Texts may come from other nodes, times may be converted to inputs.\n\n"
        "The same story as text: *MemFlow Prompt Schedule*.",
        (40, 190),
        (300, 240),
    )
    return WorkflowSpec("node_by_node", (*nodes, memory, video), (note,))
