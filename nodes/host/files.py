"""Name files in ComfyUI's folders, and tag them."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import InputImpl

from ...memflow_core.keep import default_budget
from .file_names import found_path

# endings of videos that the page brings a workflow back from
PAGE_READS = (".mp4", ".webm")
MOMENTS_FOLDER = "memflow_moments"
# the budget of kept moments in GB, where the node leaves it to the machine
KEEP_VARIABLE = "MEMFLOW_KEEP_GB"
STATE_FOLDER, STATE_ENDING = "memflow_states", ".safetensors"
MOST_NAME_BYTES = 255  # of one name, on the file systems of Linux, macOS and Windows
LONGEST_ADDED = ".unfinished"  # to the name of a file while it grows
MOST_SHOWN = 80  # characters of a value in a message


@dataclass(frozen=True)
class OutputFile:
    """A new file in one of ComfyUI's folders."""

    path: Path
    subfolder: str
    folder: str  # "output" or "temp"


def new_output_file(prefix: str, extension: str, *, width: int, height: int, keep: bool) -> OutputFile:
    """The next free name for a prefix, in ComfyUI's output folder, or in its temp folder unless `keep`.

    width, height  fill in %width% and %height% of the prefix.

    Raises ValueError, in one sentence, for a prefix that is no name in that folder.
    """
    root = folder_paths.get_output_directory() if keep else folder_paths.get_temp_directory()
    ending = f".{extension}"
    path, subfolder = _next_name(Path(root), prefix, ending, (width, height))
    return OutputFile(path, subfolder, "output" if keep else "temp")


def new_state_file(prefix: str) -> OutputFile:
    """The next free name for a prefix, below the states' folder in ComfyUI's output.

    Raises ValueError, in one sentence, for a prefix that is no name in that folder.
    """
    root = Path(folder_paths.get_output_directory()) / STATE_FOLDER
    _check_prefix(prefix)
    if Path(prefix).name in ("", ".."):
        raise ValueError(_outside(prefix, root))
    path, subfolder = _next_name(root, prefix, STATE_ENDING, (0, 0))
    return OutputFile(path, str(Path(STATE_FOLDER) / subfolder), "output")


def _next_name(root: Path, prefix: str, ending: str, size: tuple[int, int]) -> tuple[Path, str]:
    """(path, subfolder below `root`) of the next free name for a prefix; the folder is made where it is not there."""
    _check_prefix(prefix)
    # without the name, so that a link of that name leads nowhere
    if not folder_paths.is_within_directory(str(root), str((root / prefix).parent)):
        raise ValueError(_outside(prefix, root))
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, str(root), *size)
    except OSError as error:
        raise ValueError(
            f"filename_prefix is {_shown(prefix)}, but no file can be written there ({error.strerror}): choose another "
            f"name."
        ) from error
    _check_length(prefix, f"{name}_{counter:05}_{LONGEST_ADDED}{ending}")
    return Path(folder) / f"{name}_{counter:05}_{ending}", subfolder


def _check_prefix(prefix: object) -> None:
    """Raise ValueError for a prefix that no file system takes, whatever it is filled in with."""
    if not isinstance(prefix, str):
        raise ValueError(f"filename_prefix is {_shown(prefix)}, but must be a text.")
    try:
        prefix.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"filename_prefix is {_shown(prefix)}, but holds half a character: write it anew.") from error
    if strange := [character for character in prefix if ord(character) < 32 or ord(character) == 127]:
        raise ValueError(
            f"filename_prefix is {_shown(prefix)}, but no name can hold {strange[0]!r}: leave that character out."
        )
    for part in Path(prefix).parts:
        _check_length(prefix, part)


def _check_length(prefix: str, name: str) -> None:
    if len(os.fsencode(name)) > MOST_NAME_BYTES:
        raise ValueError(
            f"filename_prefix is {_shown(prefix)}, which is too long: a name has at most {MOST_NAME_BYTES} bytes, with "
            f"number and ending; use less than 200 letters."
        )


def _outside(prefix: str, root: Path) -> str:
    inside = f"must be a name inside the {root.name} folder"
    if root.name == STATE_FOLDER:
        inside = f"must be a name inside the output folder's {STATE_FOLDER}"
    return f"filename_prefix is {_shown(prefix)}, but {inside}: nothing is written outside of it."


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def temp_folder() -> Path:
    """ComfyUI's temp folder, which it empties when it starts; made where it is not there."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def moments_folder() -> Path:
    """The folder of kept moments, in ComfyUI's user area, which a restart leaves as it is."""
    return Path(folder_paths.get_user_directory()) / MOMENTS_FOLDER


def kept_bytes(gb: float) -> int:
    """The budget of kept moments in bytes.

    gb  as the node says. Below 0: what the environment's MEMFLOW_KEEP_GB says, or by what is free on the disk.

    Raises ValueError for a variable that is no number.
    """
    said = os.environ.get(KEEP_VARIABLE, "").strip()
    if gb < 0 and said:
        try:
            gb = float(said)
        except ValueError as error:
            raise ValueError(
                f"{KEEP_VARIABLE} is {_shown(said)}, but must be a number of GB, or 0 for none."
            ) from error
    if not gb >= 0:
        return default_budget(moments_folder())
    return int(min(gb, 2**20) * 2**30)


def stamps_of(name: str) -> list[list[int]]:
    """When files of that name in ComfyUI's folders of models and inputs were last written, and how large they are; none
    for a text that names no file."""
    if not name or len(name) > MOST_NAME_BYTES or "\0" in name or "\n" in name:
        return []
    there = [found_path(kind, name) for kind in sorted(folder_paths.folder_names_and_paths)]
    paths = [found[0] for found in there if found is not None]
    # a value that would lead out of the folder is no file of it
    with suppress(ValueError):
        paths.append(folder_paths.get_annotated_filepath(name))
    found = []
    for path in dict.fromkeys(paths):
        with suppress(OSError):
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode):
                found.append([status.st_mtime_ns, status.st_size])
    return found


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

    Raises ValueError for any other place and for what is no name, FileNotFoundError if there is no such file.
    """
    if not isinstance(name, str):
        raise ValueError(f"file is {_shown(name)}, but must be the name of a state's file: choose one from the list.")
    in_output = name.endswith(" [output]")
    root = Path(folder_paths.get_output_directory() if in_output else folder_paths.get_input_directory())
    path = root / name.removesuffix(" [output]")
    allowed = root / STATE_FOLDER if in_output else root
    if path.suffix != STATE_ENDING or not folder_paths.is_within_directory(str(allowed), str(path)):
        raise ValueError(
            f"{_shown(name)} is no state's file: choose a {STATE_ENDING} file in the output folder's {STATE_FOLDER}, "
            f"or in the input folder."
        )
    if not _is_file(path):
        raise FileNotFoundError(f"there is no state called {_shown(name)}: refresh the list, and choose another file.")
    return path


def media_path(name: str) -> Path:
    """Path of a file as ComfyUI's loaders name it, in its input folder or the one that the name's ending says.

    Raises FileNotFoundError for any other place, and if there is no such file.
    """
    missing = FileNotFoundError(f"there is no file called {_shown(name)}: choose one from the list.")
    if not name or "\0" in name:
        raise missing
    try:
        path = Path(folder_paths.get_annotated_filepath(name))
    except ValueError as error:
        raise missing from error
    if not _is_file(path):
        raise missing
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # a name that is too long for any file
        return False


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
