"""Pack what `benchmarks.gpu_run` needs beside this tree on a machine without a network and without ComfyUI.

    python -m benchmarks.gpu_run.travel FOLDER [--python 3.12] [--packages NAME ...]

Writes FOLDER/carried.tar.xz: ComfyUI's own files, and packages for x86-64 Linux from the package index, both without
what nothing here reads. That machine must have torch, Triton, numpy, einops, safetensors, pillow, psutil, aiohttp,
transformers and what they need.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from ..in_comfyui import comfyui_folder

# what ComfyUI imports at its start and a machine for torch alone lacks
PACKAGES = (
    *("av", "comfy-aimdo", "comfy-kitchen", "torchsde", "trampoline", "pydantic", "pydantic-core", "typing-inspection"),
    *("pydantic-settings", "python-dotenv", "annotated-types", "blake3", "sqlalchemy", "simpleeval", "comfy-angle"),
)
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (39, 35, 34, 31, 28, 27, 24, 17)),
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
)
# of ComfyUI: larger files are tokenizers and pictures, which a story of random weights does not read
LARGEST_FILE = 300_000
UNREAD = ("tests", "tests-unit", "__pycache__", ".git", ".github", "web", "models", "output", "input", "custom_nodes")
# built for cards, and not used by a stream
DROPPED = {"comfy_kitchen": (".so",)}


def download(packages: tuple[str, ...], python: str, folder: Path) -> list[Path]:
    """Fetch wheels of the versions that are installed here, or else the newest, for a Python such as `3.12`."""
    wanted = [_pinned(name) for name in packages]
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", *platforms, "-d", str(folder), *wanted]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


def _pinned(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name


def unpack(wheel: Path, site: Path) -> None:
    """Unpack a wheel without what is not read, and put its data where an install would."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            top = name.partition("/")[0]
            if "/tests/" in name or name.endswith(DROPPED.get(top, ("\0",))):
                continue
            archive.extract(name, site)


def copy_comfyui(comfyui: Path, to: Path) -> None:
    """Copy ComfyUI's own code."""
    for file in sorted(comfyui.rglob("*")):
        place = file.relative_to(comfyui)
        unread = place.parts[0] in UNREAD or "__pycache__" in place.parts or file.suffix in (".pyc", ".png", ".jpg")
        if unread or not file.is_file() or file.stat().st_size > LARGEST_FILE:
            continue
        (to / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to / place)


def pack(comfyui: Path, packages: tuple[str, ...], python: str, folder: Path) -> Path:
    """Write carried.tar.xz into a folder. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "carried.tar.xz"
    with TemporaryDirectory() as work:
        root = Path(work) / "carried"
        for wheel in download(packages, python, Path(work) / "wheels"):
            unpack(wheel, root / "site")
        copy_comfyui(comfyui, root / "ComfyUI")
        with tarfile.open(made, "w:xz", preset=9) as archive:
            archive.add(root, "carried")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_run.travel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="for the archive; it is made")
    parser.add_argument("--python", default="3.12", help="version on that machine (3.12)")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, metavar="NAME", help="in place of the usual ones")
    arguments = parser.parse_args()
    comfyui = comfyui_folder()
    if comfyui is None:
        parser.error("there is no ComfyUI: `make setup` fetches one, or set COMFYUI_PATH to yours.")
    made = pack(comfyui, tuple(arguments.packages), arguments.python, arguments.folder)
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
