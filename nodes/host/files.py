"""Name files in ComfyUI's folders, and tag them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl

# endings of videos that the page brings a workflow back from
PAGE_READS = (".mp4", ".webm")
STATE_FOLDER, STATE_ENDING = "memflow_states", ".safetensors"


@dataclass(frozen=True)
class OutputFile:
    """A new file in one of ComfyUI's folders."""

    path: Path
    subfolder: str
    folder: str  # "output" or "temp"


def new_output_file(prefix: str, extension: str, *, width: int, height: int, keep: bool) -> OutputFile:
    """The next free name for a prefix, in ComfyUI's output folder, or in its temp folder unless `keep`.

    width, height  fill in %width% and %height% of the prefix.
    """
    root = folder_paths.get_output_directory() if keep else folder_paths.get_temp_directory()
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root, width, height)
    return OutputFile(Path(folder) / f"{name}_{counter:05}_.{extension}", subfolder, "output" if keep else "temp")


def new_state_file(prefix: str) -> OutputFile:
    """The next free name for a prefix, below the states' folder in ComfyUI's output. Raises ValueError outside it."""
    root = Path(folder_paths.get_output_directory()) / STATE_FOLDER
    root.mkdir(parents=True, exist_ok=True)
    named = Path(prefix).name not in ("", "..")
    if not named or not folder_paths.is_within_directory(str(root), str((root / prefix).parent)):
        raise ValueError(
            f"filename_prefix is {prefix!r}, but must be a name inside the output folder's {STATE_FOLDER}: nothing is "
            f"written outside of it."
        )
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, str(root))
    path = Path(folder) / f"{name}_{counter:05}_{STATE_ENDING}"
    return OutputFile(path, str(Path(STATE_FOLDER) / subfolder), "output")


def state_files() -> list[str]:
    """Names of files that may hold a state, as ComfyUI annotates them, from the states' folder and the input folder."""
    output = Path(folder_paths.get_output_directory())
    in_output, _ = folder_paths.recursive_search(str(output / STATE_FOLDER))
    in_input, _ = folder_paths.recursive_search(folder_paths.get_input_directory())
    names = [f"{(Path(STATE_FOLDER) / name).as_posix()} [output]" for name in sorted(in_output, reverse=True)]
    names += [Path(name).as_posix() for name in sorted(in_input)]
    return [name for name in names if name.removesuffix(" [output]").endswith(STATE_ENDING)]


def state_path(name: str) -> Path:
    """Path of a file that `state_files` could list.

    Raises ValueError for any other place, FileNotFoundError if there is no such file.
    """
    in_output = name.endswith(" [output]")
    root = Path(folder_paths.get_output_directory() if in_output else folder_paths.get_input_directory())
    path = root / name.removesuffix(" [output]")
    allowed = root / STATE_FOLDER if in_output else root
    if path.suffix != STATE_ENDING or not folder_paths.is_within_directory(str(allowed), str(path)):
        raise ValueError(
            f"{name!r} is no state's file: choose a {STATE_ENDING} file in the output folder's {STATE_FOLDER}, or in "
            f"the input folder."
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no state called {name}: refresh the list, and choose another file.")
    return path


def workflow_metadata(prompt: dict | None, extra: dict | None) -> dict[str, str]:
    """The tags that bring a workflow back when the file is dropped on the front end, one JSON text each.

    None if the user switched metadata off.
    """
    if args.disable_metadata:
        return {}
    tags = dict(extra or {})
    if prompt is not None:
        tags["prompt"] = prompt
    return {name: json.dumps(value) for name, value in tags.items()}


def save_workflow_beside(path: Path, tags: dict[str, str]) -> Path | None:
    """Write the workflow of `workflow_metadata` as JSON beside a file, under the file's name, if the page reads none of
    its kind.

    Returns the new file; None where the page reads the workflow from the file itself, or there is none. Raises OSError.
    """
    text = tags.get("workflow") or tags.get("prompt")
    if text is None or path.suffix in PAGE_READS:
        return None
    beside = path.with_suffix(".json")
    with open(beside, "x", encoding="utf-8") as file:
        file.write(text)
    return beside


def text_tags(tags: dict[str, str]) -> dict[str, str]:
    """The same tags, or none if the user switched metadata off."""
    return {} if args.disable_metadata else tags


def video_from_file(path: Path) -> InputImpl.VideoFromFile:
    """A `VIDEO` that stays on disk."""
    return InputImpl.VideoFromFile(str(path))
