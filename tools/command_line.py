"""Parts that the commands of `tools` share: the ComfyUI to use, and names on the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path

from .comfy_host import ROOT, Layout, comfyui_version


def comfyui_folder() -> Path:
    """Return the ComfyUI folder: COMFYUI_PATH, else the one that `make setup` fetched.

    Raises SetupError if there is none, or it is too old.
    """
    path = Path(os.environ.get("COMFYUI_PATH") or Layout(ROOT).comfyui).resolve()
    comfyui_version(path)
    return path


def names_to_make(description: str, known: Collection[str], kind: str) -> list[str]:
    """Parse the names on the command line; none means all. Exits at a name that is not known.

    kind  what a name is of, for that message: "workflow".
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; none: all of them")
    names = parser.parse_args().names
    if unknown := set(names) - set(known):
        parser.error(f"there is no {kind} {', '.join(sorted(unknown))}: name some of {', '.join(known)}.")
    return names or list(known)


def no_arguments(description: str | None) -> None:
    """Print the description for `--help` and exit; refuse any other argument. Returns where there is none."""
    argparse.ArgumentParser(description=description).parse_args()
