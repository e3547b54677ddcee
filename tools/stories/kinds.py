"""Workflow files for other kinds of streaming models: frame-wise Causal Forcing, and LongLive 2."""

from __future__ import annotations

from collections.abc import Mapping

from ..workflow_graph import Node, Note, WorkflowSpec
from .models import CAUSAL_FORCING, LONGLIVE_2, TEXT_ENCODER, VAE, VAE_22, ModelFile, loaders, model_table
from .parts import LOADER_COLUMN, MIDDLE, RIGHT, STREAM_SIZE, schedule_node
from .real import KEEPER, STYLE, TOWER

FRAMEWISE_TEXT = f"""\
global: {STYLE}
0s: {KEEPER} walks along a stone path towards {TOWER}.
3s [soft]: {KEEPER} stops on the stone path below {TOWER} and looks out to sea."""

SHOTS_TEXT = f"""\
global: {STYLE}
0s: {KEEPER} walks along a stone path towards {TOWER}.
5s [jump]: inside the lamp room of a lighthouse, {KEEPER} lights the great lamp.
10s [jump]: {KEEPER} stands on the balcony of {TOWER} at dusk, and the beam turns above him."""


def causal_framewise() -> WorkflowSpec:
    note = Note(
        "## Frame by frame\n\n"
        "Causal Forcing++ makes one latent frame (4 video frames) at a time in two steps, the first one in four: the "
        "first picture is there at once. Download the files, press R and **Run**.\n\n"
        f"{model_table((CAUSAL_FORCING, TEXT_ENCODER, VAE))}\n\n"
        "- **Load Model** finds the profile by the file's name, and shows it: chunk, steps, memory.\n"
        "- **Stream to Video**: *steps* as they are leave the step lists to the profile.\n"
        "- The model was trained on clips of 5 seconds.\n"
        "- ComfyUI's own repack works as well, by its *Load Diffusion Model*.\n\n"
        "It was not run with these weights here, only with a small twin of them.",
        "## 逐帧生成\n\n"
        "Causal Forcing++ 每次用两步生成一个潜空间帧（4 个视频帧），第一帧用四步：第一个画面立刻就有。下载文件，按 R，"
        "再按**运行**。\n\n"
        f"{model_table((CAUSAL_FORCING, TEXT_ENCODER, VAE), chinese=True)}\n\n"
        "- **加载模型**根据文件名找到模型配置并显示出来：块、步数、记忆。\n"
        "- **流式生成视频**：*steps* 保持不变，步数就由模型配置决定。\n"
        "- 模型用 5 秒的片段训练。\n"
        "- ComfyUI 自己的重新打包版本也可以，用它的 *UNet加载器*。\n\n"
        "这里没有用这些权重运行过，只用了结构相同的小模型。",
        (40, 20),
        (LOADER_COLUMN, 460),
    )
    size = {"width": 832, "height": 480, "length": 81, "fps": 16.0}
    return _workflow("causal_framewise", note, prompts=FRAMEWISE_TEXT, files=(CAUSAL_FORCING, VAE), values=size)


def longlive2_story() -> WorkflowSpec:
    note = Note(
        "## Shots in 720p\n\n"
        "LongLive 2 (Wan 2.2 5B) makes 8 latent frames (32 video frames) at a time at 24 fps. Download the files, "
        "press R and **Run**.\n\n"
        f"{model_table((LONGLIVE_2, TEXT_ENCODER, VAE_22))}\n\n"
        "- **Load Model** is set to the profile *LongLive 2*, whatever the file is called.\n"
        "- **Prompt Schedule**: *[jump]* starts a shot as the model was trained with: time jumps, the story's first "
        "chunk and the shot's own first chunk stay in memory, and nothing is read again.\n"
        "- Width and height are multiples of 32.\n\n"
        "It was not run with these weights here, only with a small twin of them.",
        "## 720p 的多个镜头\n\n"
        "LongLive 2（Wan 2.2 5B）每次以 24 fps 生成 8 个潜空间帧（32 个视频帧）。下载文件，按 R，再按**运行**。\n\n"
        f"{model_table((LONGLIVE_2, TEXT_ENCODER, VAE_22), chinese=True)}\n\n"
        "- **加载模型**设为模型配置 *LongLive 2*，因为文件名没有说明它是什么。\n"
        "- **提示词调度**：*[jump]* 按模型训练时的方式开始一个镜头：时间跳跃，"
        "故事的第一块和该镜头自己的第一块留在记忆中，"
        "什么也不重新读取。\n"
        "- 宽度和高度须为 32 的倍数。\n\n"
        "这里没有用这些权重运行过，只用了结构相同的小模型。",
        (40, 20),
        (LOADER_COLUMN, 460),
    )
    size = {"width": 1280, "height": 704, "length": 349, "fps": 24.0}
    profile = {"profile": "LongLive 2"}
    return _workflow(
        "longlive2_story", note, prompts=SHOTS_TEXT, files=(LONGLIVE_2, VAE_22), values=size, model_values=profile
    )


def _workflow(
    name: str,
    note: Note,
    *,
    prompts: str,
    files: tuple[ModelFile, ModelFile],
    values: Mapping[str, int | float],
    model_values: Mapping[str, str] | None = None,
) -> WorkflowSpec:
    """Return a workflow. files: the generator's and the VAE's."""
    model, clip, vae = loaders(
        (40, 530), (MIDDLE, 570), model_values or {}, generator=files[0], lora=None, vae=files[1]
    )
    schedule = schedule_node(clip["CLIP"], prompts, (MIDDLE, 20), size=(500, 500))
    video = Node(
        "MemFlowStreamToVideo",
        (RIGHT, 20),
        STREAM_SIZE,
        {
            "model": model["model"],
            "vae": vae["VAE"],
            "schedule": schedule["schedule"],
            **values,
            "filename_prefix": f"video/{name}",
        },
    )
    return WorkflowSpec(name, (model, clip, vae, schedule, video), (note,), scale=0.7)
