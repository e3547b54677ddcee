"""Workflow files of stories for the published weights."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..workflow_graph import Node, Note, WorkflowSpec
from .models import loaders, model_table
from .parts import LOADER_COLUMN, MIDDLE, RIGHT, STREAM_SIZE, schedule_node

KEEPER = "an old lighthouse keeper with a white beard, a navy blue wool sweater and a red knitted cap"
DOG = "a small brown dog with one white ear"
TOWER = "a white lighthouse on a windswept rocky island, under a pale morning sky"
STYLE = "Realistic, cinematic, soft natural light."
# like MemFlow's own prompts, every one describes its characters and the place again
SIX_PROMPTS = (
    f"{KEEPER} walks along a stone path towards {TOWER}, a brass lantern in his hand. The camera "
    "follows slowly from behind while waves break on the rocks below.",
    f"{KEEPER} stops on the stone path below {TOWER}, and kneels down as {DOG} runs up to him. He puts the brass "
    "lantern on the ground and strokes the dog, smiling.",
    f"{DOG} runs alone over the rocks below {TOWER}, chasing gulls along the water's edge. It jumps over a tide pool, "
    "stops and looks out to sea, its ears blown back by the wind.",
    f"Nobody is to be seen at {TOWER}. Gulls circle the tower, and grass bends in the wind beside the empty "
    "stone path. The camera drifts slowly from left to right.",
    f"{KEEPER} stands on the balcony of {TOWER}, looking out to sea with a hand on the iron railing. "
    "The camera circles him slowly, and the rocks and the stone path appear far below.",
    f"{KEEPER} sits on the stone path in front of {TOWER}, with {DOG} at his side and the brass "
    "lantern between them. They watch the waves together while the sun rises.",
)
OFFICIAL_FRAMES = 957  # the published length: 240 latent frames, or 59.8 s

LOW_VRAM_TEXT = f"""\
global: {STYLE}
0s: {KEEPER} walks along a stone path towards {TOWER}.
8s: {DOG} runs alone over the rocks below {TOWER}, chasing gulls.
16s: Nobody is to be seen at {TOWER}. Gulls circle the tower.
22s: {KEEPER} returns along the stone path towards {TOWER}, and {DOG} runs beside him."""


# where the published program, which spreads its prompts evenly, starts each of them; a time counts at the next chunk
SIX_STARTS = ("0s", "10s", "20s", "29.8s", "40s", "50s")


def six_prompt_text() -> str:
    """Return the story as a schedule's text, with the style in every prompt, as MemFlow's scripts have it."""
    prompts = [f"{STYLE} {prompt[0].upper()}{prompt[1:]}" for prompt in SIX_PROMPTS]
    return "\n".join(f"{start}: {prompt}" for start, prompt in zip(SIX_STARTS, prompts, strict=True))


def official_story() -> WorkflowSpec:
    note = Note(
        "## The official MemFlow story\n\n"
        "One minute of six prompts at 832 x 480, with the published weights and the published memory. Download the "
        "files, press R and **Run**.\n\n"
        f"{model_table()}\n\n"
        "- **Prompt Schedule** holds six prompts, a sixth of the minute each, as the published program spreads its "
        "scripts. Every prompt says again who it is about and where: MemFlow needs that.\n"
        "- **Memory**: *Official MemFlow* does what the published code does, quirks included; *Story* does without "
        "them.\n"
        "- Any other loader's Wan 2.1 text-to-video *MODEL* works too, if it was distilled for streaming "
        "(Self-Forcing, LongLive, Causal Forcing).",
        "## 官方的 MemFlow 故事\n\n"
        "六条提示词，一分钟，832 x 480，使用公开的权重和官方的记忆。下载文件，按 R，再按**运行**。\n\n"
        f"{model_table(chinese=True)}\n\n"
        "- **提示词调度**有六条提示词，每条占一分钟的六分之一，与官方程序分配脚本的方式相同。"
        "每条提示词都重新说明角色是谁、在哪里："
        "MemFlow 需要这样。也可以换成 MemFlow 自己的 JSON 脚本。\n"
        "- **记忆设置**：*Official MemFlow* 与官方代码完全一致，包括其异常行为；*Story* 没有这些异常。\n"
        "- 其他加载器的 Wan 2.1 文生视频 *MODEL* 也可以，只要它为流式生成蒸馏过（Self-Forcing、LongLive、"
        "Causal Forcing）。",
        (40, 20),
        (LOADER_COLUMN, 460),
    )
    return _workflow(
        "official_story", note, prompts=six_prompt_text(), preset="Official MemFlow", length=OFFICIAL_FRAMES
    )


def low_vram() -> WorkflowSpec:
    note = Note(
        "## For cards of 8 GB\n\n"
        "Half a minute at 832 x 480, with the model and what it remembers in FP8: **Load Model** is set to "
        "*weight_dtype* fp8, **Memory** to *cache* fp8 (advanced inputs). By the sizes of what is kept, 6.7 GB at the "
        "peak: the model 1.3, the VAE 2.0, memory 2.3 and work space 1.0 (it was not measured on such a card).\n\n"
        f"{model_table()}\n\n"
        "In this order, where it is still too much:\n\n"
        "- **Stream to Video**: width and height count most, 640 x 368 takes 4.6 GB. The length costs nothing: a "
        "minute takes as much as ten seconds.\n"
        "- **Memory**: with *Custom*, *window_size* 6 in the place of 9 saves a fifth of what is remembered, at some "
        "cost to smooth motion; then *bank_size*.\n"
        "- Other programs and the browser take VRAM too.",
        "## 适合 8 GB 显卡\n\n"
        "半分钟，832 x 480，模型和记住的内容都用 FP8：**加载模型**的 *weight_dtype* 设为 fp8，"
        "**记忆设置**的 *cache* 设为 fp8"
        "（高级输入）。按所保存内容的大小计算，峰值为 6.7 GB：模型 1.3，VAE 2.0，记忆 2.3，运算 1.0（没有在这样的显卡上"
        "实测过）。\n\n"
        f"{model_table(chinese=True)}\n\n"
        "若仍然太大，请按此顺序：\n\n"
        "- **流式生成视频**：宽度和高度影响最大，640 x 368 需要 4.6 GB。长度不影响：一分钟与十秒占用相同。\n"
        "- **记忆设置**：选 *Custom*，*window_size* 用 6 代替 9，可省去记忆的五分之一，动作会稍不流畅；"
        "然后是 *bank_size*。\n"
        "- 其他程序和浏览器也占用显存。",
        (40, 20),
        (LOADER_COLUMN, 480),
    )
    in_fp8 = {"memory": {"cache": "fp8"}, "model": {"weight_dtype": "fp8"}}
    return _workflow("low_vram", note, prompts=LOW_VRAM_TEXT, preset="Story", length=477, more=in_fp8, top=550)


def second_device() -> WorkflowSpec:
    note = Note(
        "## A second GPU\n\n"
        "The official story with its text encoder and its VAE on another card: the first one has all its memory for "
        "the model and what it remembers, and samples the next chunk while the second one decodes the last.\n\n"
        f"{model_table()}\n\n"
        "- **Select VAE Device** and **Select CLIP Device** are ComfyUI's own, as is *Select Model Device*. *gpu:0* is "
        "the first card, *gpu:1* the second; *default* is where ComfyUI would put it. On a machine with one card they "
        "change nothing.\n"
        "- **Stream to Video** moves neither of them. Its line before the run tells what the VAE takes of its card, "
        "and its report whether chunks were decoded beside the sampling.",
        "## 第二块 GPU\n\n"
        "官方的故事，文本编码器和 VAE 放在另一块显卡上：第一块的显存全部留给模型和记忆，它采样下一块时，"
        "第二块解码上一块。\n\n"
        f"{model_table(chinese=True)}\n\n"
        "- **Select VAE Device** 和 **Select CLIP Device** 是 ComfyUI 自带的节点，*Select Model Device* 也是。"
        "*gpu:0* 是第一块"
        "显卡，*gpu:1* 是第二块；*default* 是 ComfyUI 原本会放的位置。只有一块显卡时，它们不起作用。\n"
        "- **流式生成视频**不会移动它们。运行之前的那一行说明 VAE 占用它那块显卡多少，报告说明是否在采样的同时解码。",
        (40, 20),
        (LOADER_COLUMN, 460),
    )
    return _workflow(
        "second_device", note, prompts=six_prompt_text(), preset="Story", length=OFFICIAL_FRAMES, second="gpu:1"
    )


def _workflow(
    name: str,
    note: Note,
    *,
    prompts: str,
    preset: str,
    length: int,
    more: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    second: str | None = None,
    top: int = 530,
) -> WorkflowSpec:
    """Return a workflow at 832 x 480.

    more    further values of the nodes `memory` and `model`.
    second  device that text encoder and VAE are put on; None: where ComfyUI puts them.
    top     of the loaders, which stand below the note.
    """
    model, clip, vae = loaders((40, top), (MIDDLE, 730 if second is None else 640), more.get("model", {}))
    loaded, selected = (model, clip, vae), ()
    if second is not None:
        clip = Node("SelectCLIPDevice", (MIDDLE, 804), (240, 60), {"clip": clip["CLIP"], "device": second})
        vae = Node("SelectVAEDevice", (MIDDLE + 260, 804), (240, 60), {"vae": vae["VAE"], "device": second})
        selected = (clip, vae)
    schedule_high = 500 if second is None else 410
    schedule = schedule_node(clip["CLIP"], prompts, (MIDDLE, 20), size=(500, schedule_high))
    memory = Node(
        "MemFlowMemory", (MIDDLE, schedule_high + 70), (500, 120), {"preset": preset, **more.get("memory", {})}
    )
    video = Node(
        "MemFlowStreamToVideo",
        (RIGHT, 20),
        STREAM_SIZE,
        {
            "model": model["model"],
            "vae": vae["VAE"],
            "schedule": schedule["schedule"],
            "memory": memory["memory"],
            "width": 832,
            "height": 480,
            "length": length,
            "fps": 16.0,
            "filename_prefix": f"video/{name}",
        },
    )
    return WorkflowSpec(name, (*loaded, *selected, schedule, memory, video), (note,), scale=0.7)
