"""Workflow files of the first story, by text and node by node."""

from __future__ import annotations

from ..workflow_graph import Node, Note, WorkflowSpec
from .parts import COLUMN, memory_node, schedule_node, text_node, tiny_model_node, tiny_video_node

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
    memory = memory_node((40, 210))
    schedule = schedule_node(tiny["clip"], TINY_STORY_TEXT, (360, 20))
    video = tiny_video_node(
        tiny,
        schedule["schedule"],
        name="tiny_story",
        length=TINY_STORY_FRAMES,
        at=(920, 20),
        memory=memory["memory"],
        clip=tiny["clip"],
    )
    read_me = Note(
        "## A tiny story with memory\n\n"
        "**Run** writes half a minute of cartoon; it plays while it is made. No prompt says which colours the robot "
        "has, and it is away for a quarter of a minute: that it comes back in its own colours is memory.\n\n"
        "*Window only* in **Memory** makes it forget. Another seed in **Stream to Video** casts others.\n\n"
        "The tiny model needs no download and no GPU. For real weights open the template *official_story*.",
        "## 有记忆的微型故事\n\n"
        "按**运行**生成半分钟的卡通；它边生成边播放。没有哪条提示词说机器人是什么颜色，它又离开了四分之一分钟："
        "它回来时仍是自己的颜色，这就是记忆。\n\n"
        "把**记忆设置**设为 *Window only*，它就会忘记。在**流式生成视频**中换一个种子，角色也会换。\n\n"
        "微型模型不用下载，也不需要 GPU。要用真正的权重，请打开模板 *official_story*。",
        (40, 420),
        (COLUMN, 215),
    )
    hint = Note(
        "Change a line, and press Run; or write below the film what happens next, while it is made. The model knows a "
        "robot, a cat, a ghost and a bird, in the meadow, on the beach, in the city and in the snow.\n\n"
        "*[cut]* starts a new shot: without one, the tiny model lets a robot that stands there stand on, though it is "
        "told to wave.",
        "改一行文字，再按“运行”；或在生成时，在影片下方写接下来发生什么。模型认识机器人（robot）、猫（cat）、幽灵（ghost）和鸟"
        "（bird），场景有草地（meadow）、海滩（beach）、城市（city）和雪地（snow）。提示词请用英文写。\n\n"
        "*[cut]* 开始新镜头：没有它，站着不动的机器人即使被要求挥手，也会继续站着。",
        (360, 620),
        (520, 110),
        "Try",
    )
    return WorkflowSpec("tiny_story", (tiny, schedule, memory, video), (read_me, hint))


def node_by_node() -> WorkflowSpec:
    tiny = tiny_model_node((40, 20))
    nodes, schedule = [tiny], None
    for number, (start, words) in enumerate(SEGMENTS):
        top = 20 + 220 * number
        prompt = text_node(tiny["clip"], words, (340, top), f"Prompt {number + 1}")
        before = {"schedule": schedule} if schedule else {}
        values = {"conditioning": prompt["CONDITIONING"], "start": start, **before}
        segment = Node("MemFlowPromptSegment", (660, top), (270, 170), values)
        schedule = segment["schedule"]
        nodes += [prompt, segment]
    memory = memory_node((40, 458))
    video = tiny_video_node(
        tiny, schedule, name="node_by_node", length=SEGMENTS_FRAMES, at=(950, 20), memory=memory["memory"]
    )
    note = Note(
        "## A schedule, node by node\n\n"
        "Each **Prompt Segment** takes any *CONDITIONING* and the time from which it holds. Chain as many as you like, "
        "in the order of the story. Texts may come from other nodes, times may be converted to inputs.\n\n"
        "The same story as text: *MemFlow Prompt Schedule*.",
        "## 逐个节点搭建的调度\n\n"
        "每个**提示词分段**接受任意 *CONDITIONING*，以及它从何时起生效。想接多少就接多少，按故事的顺序相连。"
        "文本可以来自其他节点，时间也可以转换为输入。\n\n"
        "用文本写同样的故事：*MemFlow 提示词调度*。",
        (40, 168),
        (COLUMN, 240),
    )
    return WorkflowSpec("node_by_node", (*nodes, memory, video), (note,))
