"""Workflow file of a story whose character walks where a mark is drawn."""

from __future__ import annotations

from ..workflow_graph import Node, Note, WorkflowSpec
from .parts import COLUMN, STREAM_SIZE, TINY, memory_node, schedule_node, tiny_model_node, tiny_video_node

CONTROL_TEXT = """\
0s: a robot walks across the meadow
6s: nobody is in the city
9s: a cat waves on the beach
13.5s: the robot walks across the meadow again"""
CONTROL_FRAMES = 321
LED_FROM, LED_FRAMES = "13.5s", 105
# where the mark is drawn, in shares of the picture: it goes to the right, stops there, and comes back
TRACK = {"start_x": 0.15, "start_y": 0.62, "end_x": 0.25, "end_y": 0.62, "mid_x": 1.0, "mid_y": 0.62}
MARK = {"circle_size": 9, "line_width": 1, "line_resolution": 1, "opacity": 1.0}

NOTE = """\
## A drawn mark leads the robot

**Run**: a robot, then others elsewhere, then the robot again. Where it walks when it comes back is drawn: *Generate \
Video Tracks* moves a mark to the right and back. It is the same robot: control leads the picture, memory keeps the \
looks.

*start* of **MemFlow Control** is a time of the story; with *strength* 0 the robot walks as the prompt alone says.

**Real weights**: *Load Control* takes the VACE module of 1.3B, and *pictures* a video of depth, poses or lines."""

CHINESE_NOTE = """\
## 画出的标记引导机器人

按**运行**：先是机器人，然后是别处的其他角色，再是机器人。它回来后走到哪里是画出来的：*生成轨道*让标记\
向右移动再返回。还是同一个机器人：控制引导画面，记忆保持外观。

**控制**的 *start* 是故事中的时间；*strength* 为 0 时，机器人只按提示词行走。

**真正的权重**：*加载控制*接受 1.3B 的 VACE 模块，*pictures* 接受深度、姿态或线条的视频。"""


def control_story() -> WorkflowSpec:
    side = {"width": TINY["width"], "height": TINY["height"]}
    tiny = tiny_model_node((40, 20))
    loaded_values = {"model": tiny["model"], "control_name": "tiny_story_control.safetensors (comes with MemFlow)"}
    loaded = Node("MemFlowLoadControl", (40, 168), (COLUMN, 90), loaded_values)
    memory = memory_node((40, 308))
    schedule = schedule_node(tiny["clip"], CONTROL_TEXT, (340, 20), size=(420, 440))
    black = Node("EmptyImage", (780, 20), (250, 130), {**side, "batch_size": 1, "color": 0}, "Black")
    track_values = {**side, **TRACK, "bezier": True, "num_frames": LED_FRAMES, "num_tracks": 3, "track_spread": 0.14}
    track = Node("GenerateTracks", (780, 216), (250, 330), track_values)
    marks_values = {"images": black["IMAGE"], "tracks": track["TRACKS"], **MARK}
    marks = Node("WanMoveVisualizeTracks", (780, 684), (250, 150), marks_values, "The mark")
    control_values = {"vae": tiny["vae"], "pictures": marks["IMAGE"], "start": LED_FROM}
    control = Node("MemFlowControl", (340, 510), (420, 200), control_values)
    video = tiny_video_node(
        tiny,
        schedule["schedule"],
        name="control_story",
        length=CONTROL_FRAMES,
        at=(1050, 20),
        size=(570, STREAM_SIZE[1]),
        model=loaded["model"],
        memory=memory["memory"],
        clip=tiny["clip"],
        control=control["control"],
    )
    nodes = (tiny, loaded, memory, schedule, black, track, marks, control, video)
    return WorkflowSpec("control_story", nodes, (Note(NOTE, CHINESE_NOTE, (40, 468), (COLUMN, 260)),))
