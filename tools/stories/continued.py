"""Workflow files of stories that continue a state, start from pictures, or are directed live."""

from __future__ import annotations

from ..workflow_graph import Group, Node, Note, Output, WorkflowSpec
from .parts import (
    NARROW_STREAM_SIZE,
    TINY,
    memory_node,
    schedule_node,
    text_node,
    tiny_model_node,
    tiny_video_node,
)

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
# pictures that a first run draws: (use, prompt, start in seconds, number of the frame)
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

SMALL_SCHEDULE = (360, 410)
# three films beside one another
FILM_SIZE, FILM_APART = (380, 760), 400
# of groups
GROUP_HEIGHT = 1075

LIVE = "0s: a robot walks across the meadow"

BRANCH_NOTE = """\
## One beginning, two endings

**Run** makes a beginning, and two videos that go on from its last moment. Nothing of the beginning is made twice: \
change an ending's prompt or seed, run again, and only that ending is made anew.

- Each ending has the whole schedule, from the start of the story; its *length* counts the frames to add.
- **Save State** keeps the moment in *output/memflow_states*. Another day, put **MemFlow Load State** in the place of \
*Beginning*: connect its *state* to both endings, with the same model, size and steps.
- *content*: *compact* is small and very near; *exact* is gigabytes at 832 x 480, and the same bit by bit."""

PICTURE_NOTE = """\
## A story from pictures

**Run** draws two pictures and tells a story that knows them.

- **Start Images**: the video goes on from this picture. A clip works too.
- **Remember Images**: this one waits in the memory bank. The story has never shown its robot; the one that walks in \
is to have its looks.
- Each takes a text that says what its picture shows.

**Your own picture**: add ComfyUI's *Load Image*, connect it to *images* in the place of a drawn one, and say what it \
shows. The tiny model only knows its own cartoons. For real weights take the loaders and sizes of *official_story*; \
what looks like the model's own pictures works best."""

LIVE_NOTE = """\
## Direct a story while it plays

**Run** starts a story without an end (*length* 0). Then, on *Stream to Video*:

- write what happens next, for example *a cat walks into the city*, and press Enter: it starts with the next chunk;
- **Pause** while you think; **Finish now** ends the video and keeps all of it.

*What was played* is the story as you directed it. Put it into the Prompt Schedule: with the same seed it plays again. \
Programs do the same over HTTP: *POST /memflow/live/{prompt_id}/{node_id}*.

*clip* has to be connected, or the box takes no prompts."""

CHINESE_BRANCH_NOTE = """\
## 一个开头，两个结局

按**运行**生成一个开头，以及从它最后一刻继续的两个视频。开头的任何内容都不会生成两次：改一个结局的提示词或种子，\
再次运行，\
只有那个结局会重新生成。

- 每个结局都有从故事开头起的完整调度；它的 *length* 是要增加的帧数。
- **保存状态**把这一刻保存在 *output/memflow_states*。以后可以用 **MemFlow 加载状态**代替 *Beginning*：把它的 *state* \
接到两个结局，使用同样的模型、大小和步数。
- *content*：*compact* 很小，结果非常接近；*exact* 在 832 x 480 下有数 GB，结果逐位相同。"""

CHINESE_PICTURE_NOTE = """\
## 从图像开始的故事

按**运行**画两张图像，并讲一个认识它们的故事。

- **起始图像**：视频从这张图像继续。视频片段也可以。
- **记忆图像**：这一张在记忆库中等待。故事从未展示过它的机器人；后来走进来的那个应当有它的外观。
- 每张都附一段文本，说明图像中有什么。

**用你自己的图像**：添加 ComfyUI 的*加载图像*，接到 *images* 代替画出的图像，并说明其中有什么。\
微型模型只认识它自己的卡通。\
真正的权重请用 *official_story* 的加载器和大小；看起来像模型自己画面的图像效果最好。"""

CHINESE_LIVE_NOTE = """\
## 边播放边导演故事

按**运行**开始一个没有结尾的故事（*length* 为 0）。然后在*流式生成视频*上：

- 写接下来发生什么，例如 *a cat walks into the city*，再按 Enter：它从下一块开始；
- **暂停**，慢慢想；**立即结束**会结束视频并保留全部内容。

*What was played* 是你导演的故事。把它放进提示词调度：用相同的种子会再次得到同样的视频。程序也能通过 HTTP 做到：\
*POST /memflow/live/{prompt_id}/{node_id}*。

必须连接 *clip*，否则输入框不接受提示词。"""


def continue_and_branch() -> WorkflowSpec:
    tiny = tiny_model_node((40, 20))
    schedule = schedule_node(tiny["clip"], BEGINNING, (40, 518), "Beginning: prompts", SMALL_SCHEDULE)
    memory = memory_node((420, 940))
    first = tiny_video_node(
        tiny,
        schedule["schedule"],
        name="beginning",
        length=BEGINNING_FRAMES,
        at=(800, 20),
        size=FILM_SIZE,
        memory=memory["memory"],
        title="Beginning",
    )
    saved_values = {"state": first["state"], "filename_prefix": "continue_and_branch"}
    saved = Node("MemFlowSaveState", (800, 932), (FILM_SIZE[0], 130), saved_values)
    nodes = [tiny, schedule, memory, first, saved]
    for number, (name, ending) in enumerate(ENDINGS.items(), start=1):
        title, top = name.replace("_", " ").capitalize(), 20 + 460 * (number - 1)
        prompts = f"{BEGINNING}\n{ending}"
        schedule = schedule_node(tiny["clip"], prompts, (420, top), f"{title}: prompts", SMALL_SCHEDULE)
        video = tiny_video_node(
            tiny,
            schedule["schedule"],
            name=name,
            length=ENDING_FRAMES,
            at=(800 + FILM_APART * number, 20),
            size=FILM_SIZE,
            state=first["state"],
            title=title,
        )
        nodes += [schedule, video]
    return WorkflowSpec(
        "continue_and_branch",
        nodes,
        (Note(BRANCH_NOTE, CHINESE_BRANCH_NOTE, (40, 168), (360, 300)),),
        scale=0.6,
    )


def picture_to_story() -> WorkflowSpec:
    tiny = tiny_model_node((40, 50))
    drawing, texts, pictures = _draw_pictures(tiny)
    size = {"width": TINY["width"], "height": TINY["height"]}
    start_values = {"vae": tiny["vae"], "conditioning": texts[0], "images": pictures[0], **size}
    start = Node("MemFlowStartImages", (1060, 540), (400, 200), start_values)
    remember_values = {"vae": tiny["vae"], "conditioning": texts[1], "images": pictures[1], "state": start["state"]}
    remember = Node("MemFlowRememberImages", (1060, 816), (400, 150), remember_values | size)
    schedule = schedule_node(tiny["clip"], FROM_PICTURES, (1060, 50), "Story: prompts", (400, 440))
    memory = memory_node((40, 868))
    video = tiny_video_node(
        tiny,
        schedule["schedule"],
        name="picture_to_story",
        length=PICTURES_FRAMES,
        at=(1480, 50),
        size=NARROW_STREAM_SIZE,
        memory=memory["memory"],
        state=remember["state"],
    )
    groups = (
        Group("Two pictures (in the place of your own)", (380, -30, 640, GROUP_HEIGHT)),
        Group("The story that knows them", (1040, -30, 910, GROUP_HEIGHT)),
    )
    nodes = [tiny, *drawing, start, remember, schedule, memory, video]
    note = Note(PICTURE_NOTE, CHINESE_PICTURE_NOTE, (40, 198), (320, 300))
    return WorkflowSpec("picture_to_story", nodes, (note,), groups, scale=0.6)


def _draw_pictures(tiny: Node) -> tuple[list[Node], list[Output], list[Output]]:
    """Return nodes that draw the pictures of CASTING, the conditionings of their prompts, and the pictures."""
    nodes, texts, schedule = [], [], None
    for number, (use, prompt, start, _) in enumerate(CASTING):
        text = text_node(tiny["clip"], prompt, (40, 548 + 160 * number), f"What it shows ({use})")
        values = {"conditioning": text["CONDITIONING"], "start": start, "switch": "cut"}
        before = {"schedule": schedule} if schedule else {}
        segment = Node("MemFlowPromptSegment", (400, 50 + 205 * number), (280, 165), values | before)
        schedule = segment["schedule"]
        nodes += [text, segment]
        texts.append(text["CONDITIONING"])
    sampler_values = {"model": tiny["model"], "schedule": schedule, **TINY, "seed": 15, "length": CASTING_FRAMES}
    # below the others, since ComfyUI's previews, where they are on, make it 224 px higher
    sampler = Node("MemFlowSampler", (700, 434), (300, 510), sampler_values, "Draw two pictures")
    decoded = Node("VAEDecode", (700, 50), (300, 46), {"samples": sampler["latent"], "vae": tiny["vae"]})
    nodes += [sampler, decoded]
    pictures = []
    for number, (use, *_, frame) in enumerate(CASTING):
        values = {"image": decoded["IMAGE"], "batch_index": frame}
        picture = Node("ImageFromBatch", (700, 154 + 140 * number), (300, 82), values, f"Picture to {use}")
        nodes += [picture, Node("PreviewImage", (400, 460 + 306 * number), (280, 266), {"images": picture["IMAGE"]})]
        pictures.append(picture["IMAGE"])
    return nodes, texts, pictures


def live_story() -> WorkflowSpec:
    tiny = tiny_model_node((40, 20))
    memory = memory_node((40, 210))
    schedule = schedule_node(tiny["clip"], LIVE, (360, 20))
    video = tiny_video_node(
        tiny,
        schedule["schedule"],
        name="live_story",
        length=0,
        at=(920, 20),
        memory=memory["memory"],
        clip=tiny["clip"],
    )
    played = Node("PreviewAny", (360, 620), (520, 200), {"source": video["played"]}, "What was played")
    note = Note(LIVE_NOTE, CHINESE_LIVE_NOTE, (40, 420), (280, 315))
    return WorkflowSpec("live_story", (tiny, schedule, memory, video, played), (note,))
