"""LoRAs that a schedule names: their files in ComfyUI's folder, and the hooks that give a prompt their weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import comfy.hooks
import comfy.utils
from torch import Tensor

from ...memflow_core.schedule import Lora, PromptSchedule
from ...memflow_core.weights import read_lora
from .honoured.conditioning import Spoken
from .honoured.findings import UNUSED, Finding, one_a_node
from .honoured.weights import with_weights
from .models import model_files, model_path

# names of tensors by which files of the published programs are known, whose names ComfyUI does not read
_PUBLISHED = ("generator", "base_model.")
_PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_OF_TEXT = ("lora_te", "text_encoder", "text_encoders.", "conditioner.")


def find_lora(name: str) -> str:
    """The file in ComfyUI's `loras` folders that a name stands for, as its lists name it.

    A name may leave out the extension, and the folders where one file alone is called so. Raises ValueError for a name
    that no file has, with those most like it, or that several have.
    """
    return LoraFiles().find(name)


class LoraFiles:
    """The files in ComfyUI's `loras` folders as they are now, by the names that stand for them."""

    def __init__(self) -> None:
        self._files = model_files("loras")
        self._by_name: list[dict[str, set[str]]] = []
        for how in (_whole, _stem, _last, _last_stem):
            named: dict[str, set[str]] = {}
            for file in self._files:
                named.setdefault(how(file.replace("\\", "/")), set()).add(file)
            self._by_name.append(named)

    def find(self, name: str) -> str:
        """As `find_lora`."""
        for named in self._by_name:
            found = sorted(named.get(name, ()))
            if len(found) == 1:
                return found[0]
            if found:
                raise _ambiguous(name, found)
        raise _unknown(name, self._files)


def _ambiguous(name: str, found: Sequence[str]) -> ValueError:
    return ValueError(f"{name!r} may be any of {', '.join(found[:4])}: write the LoRA's name with its folder.")


def _unknown(name: str, files: Sequence[str]) -> ValueError:
    if not files:
        return ValueError(f"there is no LoRA {name!r}: models/loras is empty, so put its file there.")
    names = {how(file.replace("\\", "/")): file for file in files for how in (_last_stem, _stem, _last, _whole)}
    close = get_close_matches(name, names, n=2, cutoff=0.5)
    like = " or ".join(dict.fromkeys(repr(names[one]) for one in close))
    hint = f"did you mean {like}?" if close else f"there are {', '.join(files[:4])}{', ...' if files[4:] else ''}."
    return ValueError(f"there is no LoRA {name!r} in models/loras: {hint}")


def check_loras(prompts: PromptSchedule) -> None:
    """Raise ValueError, naming the segment, unless there is a file for every LoRA of a schedule."""
    if not any(segment.loras for segment in prompts.segments):
        return
    files = LoraFiles()
    for number, segment in enumerate(prompts.segments, 1):
        for lora in segment.loras:
            try:
                files.find(lora.name)
            except ValueError as error:
                raise ValueError(f"segment {number}: {error}") from None


def with_loras(spoken: Sequence[Spoken], loras: Sequence[Iterable[Lora]]) -> tuple[Spoken, ...]:
    """Prompts with the LoRAs of each, beside the hooks that they have. Each file is read once; strength 0 is none.

    Raises ValueError for a LoRA without a file, or whose file is none.
    """
    known: dict[str, dict[str, Tensor]] = {}
    made, files = [], LoraFiles()
    for prompt, asked in zip(spoken, loras, strict=True):
        for lora in asked:
            file = files.find(lora.name)
            if lora.strength and file not in known:
                known[file] = _read(file)
            if lora.strength:
                prompt = _with_lora(prompt, file, known[file], lora.strength)
        made.append(prompt)
    return tuple(made)


def _with_lora(prompt: Spoken, file: str, weights: dict[str, Tensor], strength: float) -> Spoken:
    group = comfy.hooks.create_hook_lora(weights, strength, 0.0)
    found = []
    if any(key.startswith(_OF_TEXT) for key in weights):
        found.append(Finding(UNUSED, f"weights for the text encoder in {file}"))
    return replace(prompt, hooks=with_weights(prompt.hooks, group), unused=one_a_node((*prompt.unused, *found)))


def _read(file: str) -> dict[str, Any]:
    """Tensors of a LoRA's file, in names that ComfyUI reads."""
    path = model_path("loras", file)
    if Path(path).suffix in _PICKLED:
        return read_lora(path).to_comfy_keys()
    try:
        tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    # a damaged file raises whatever its reader does
    except Exception as error:
        raise ValueError(f"{file} cannot be read as a LoRA: {str(error).splitlines()[0][:120]}") from error
    if any(key.startswith(_PUBLISHED) for key in tensors):
        return read_lora(path).to_comfy_keys()
    return tensors


def _whole(file: str) -> str:
    return file


def _stem(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))


def _last(file: str) -> str:
    return PurePosixPath(file).name


def _last_stem(file: str) -> str:
    return PurePosixPath(file).stem
