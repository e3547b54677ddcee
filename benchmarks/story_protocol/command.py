"""Does the bank decide who comes back? Plays lists of stories with each story's own bank, none, and another's.

    python -m benchmarks.story_protocol --model tiny --prompts stories.jsonl --embedder colours --json out.json
    python -m benchmarks.story_protocol --model base.pt --lora lora.pt --text umt5.safetensors --vae wan_vae.safetensors
        --prompts stories.jsonl --embedder clip_vision.safetensors --json out.json

Up to the return a story is played once; the returns go on from the very same state, and differ in the bank alone. What
is measured stands in the JSON after each pair of stories, and a second call with the same settings goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from memflow_core.config import MemoryConfig
from memflow_core.disk import Draft
from memflow_core.schedule import ChunkGrid

from ..in_comfyui import comfyui_folder, pack_nodes
from ..machine import conditions
from .comfy_model import ComfyModel, Files
from .embedders import COLOURS, Embedder, colours, vision_embedder
from .measure import Results, Settings, measure, summary
from .models import StoryModel
from .stories import PROMPTS, read_stories
from .tiny import TinyModel

TINY = "tiny"


def main() -> None:
    arguments = _parser().parse_args()
    try:
        with ExitStack() as stack:
            _run(arguments, stack)
    except (ValueError, OSError) as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help=f"a generator's file, or {TINY}")
    parser.add_argument("--lora", type=Path, help="the LoRA that goes with it")
    parser.add_argument("--text", type=Path, help="the text encoder's file, umt5-xxl for Wan")
    parser.add_argument("--vae", type=Path, help="the VAE's file")
    parser.add_argument("--dtype", default="default", choices=("default", "bf16", "fp16", "fp32"), help="of weights")
    parser.add_argument("--width", type=int, help="of the picture in pixels (the profile's)")
    parser.add_argument("--height", type=int, help="(the profile's)")
    parser.add_argument("--prompts", type=Path, required=True, help="the list of stories, JSONL or a JSON list")
    parser.add_argument(
        "--keys", nargs="+", default=[PROMPTS], help="key of a story's list of prompts, or of each prompt (prompts)"
    )
    parser.add_argument("--chunks", type=int, default=13, help="of each prompt (13, about 10 s)")
    parser.add_argument(
        "--absent", choices=("between", "none"), default="between", help="prompts that do not show a story's subject"
    )
    parser.add_argument("--stories", type=int, help="how many of the list (all)")
    parser.add_argument("--memory", default="{}", help='settings of memory as JSON, such as {"bank_frames": 6}')
    parser.add_argument("--embedder", required=True, help=f"a CLIP vision or DINO file, or {COLOURS}")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    parser.add_argument("--json", type=Path, required=True, help="where results are, and are added to")
    return parser


def _run(arguments: argparse.Namespace, stack: ExitStack) -> None:
    settings = Settings(_memory(arguments.memory), arguments.seed, Path(arguments.embedder).name)
    for file in (arguments.prompts, *_files(arguments)):
        if not file.is_file():
            raise ValueError(f"there is no file {file}.")
    text = arguments.prompts.read_text(encoding="utf-8")
    # before anything is loaded, on the usual grid
    if arguments.chunks < 1:
        raise ValueError(f"--chunks is {arguments.chunks}, but must be at least 1.")
    read_stories(text, keys=arguments.keys, chunks=arguments.chunks, absent=arguments.absent)
    model, embedder, grid = _loaded(arguments, settings.memory, stack)
    stories = read_stories(text, keys=arguments.keys, chunks=arguments.chunks, grid=grid, absent=arguments.absent)
    made = settings.to_json(model)
    known = _known(arguments.json, made)
    wanted = stories[: arguments.stories]
    for pair in measure(model, embedder, wanted, settings, known):
        known |= pair
        _write(arguments.json, made, known)
        print(f"{sum(story.key in known for story in wanted)} of {len(wanted)} stories", flush=True)
    print(json.dumps(summary(known.values()), indent=1))


def _loaded(
    arguments: argparse.Namespace, memory: MemoryConfig, stack: ExitStack
) -> tuple[StoryModel, Embedder, ChunkGrid]:
    nodes = None
    if arguments.model != TINY or arguments.embedder != COLOURS:
        nodes = stack.enter_context(_nodes())
    embedder = colours if arguments.embedder == COLOURS else vision_embedder(Path(arguments.embedder))
    if arguments.model == TINY:
        return TinyModel(), embedder, ChunkGrid()
    assert nodes is not None, "loaded for it"
    files = Files(Path(arguments.model), arguments.text, arguments.vae, arguments.lora)
    model = ComfyModel(
        nodes, files, memory=memory, width=arguments.width, height=arguments.height, dtype=arguments.dtype
    )
    return model, embedder, model.grid


def _nodes() -> AbstractContextManager[ModuleType]:
    comfyui = comfyui_folder()
    if comfyui is None:
        raise ValueError("this needs ComfyUI: set COMFYUI_PATH to its folder, or run make setup.")
    device = torch.device("cpu") if not torch.accelerator.is_available() else torch.accelerator.current_accelerator()
    return pack_nodes(comfyui, device)


def _files(arguments: argparse.Namespace) -> list[Path]:
    found = [] if arguments.embedder == COLOURS else [Path(arguments.embedder)]
    if arguments.model == TINY:
        return found
    if arguments.text is None or arguments.vae is None:
        raise ValueError("a model's file needs --text and --vae, the files that go with it.")
    return [*found, Path(arguments.model), arguments.text, arguments.vae, *filter(None, [arguments.lora])]


def _memory(text: str) -> MemoryConfig:
    try:
        values: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--memory is no JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ValueError(f'--memory is {text}, but must be an object, such as {{"bank_frames": 6}}.')
    try:
        tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return MemoryConfig(**tuples)
    except TypeError:
        known = ", ".join(MemoryConfig.__dataclass_fields__)
        raise ValueError(f"--memory names {', '.join(values)}, but settings are {known}.") from None


def _known(path: Path, made: dict[str, Any]) -> Results:
    """Records that are there already. Raises ValueError for a file of other settings."""
    if not path.exists():
        return {}
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        settings, stories = there["settings"], dict(there["stories"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no result of this command: name another file.") from None
    if settings != made:
        other = [name for name in made if settings.get(name) != made[name]]
        raise ValueError(
            f"{path} was measured with another {', '.join(other)}: name another file, or the same settings."
        )
    return stories


def _write(path: Path, made: dict[str, Any], stories: Results) -> None:
    where = conditions(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    whole = {"settings": made, "conditions": where, "summary": summary(stories.values()), "stories": stories}
    with Draft(path) as draft:
        draft.file.write(json.dumps(whole, indent=1).encode())
        draft.finish(path, replace=True)
