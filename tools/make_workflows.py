"""Write the workflow files of `workflows/` from `tools.stories`, laid out by the schemas of a running ComfyUI.

    .venv/bin/python -m tools.make_workflows [NAME ...]

A file's widget values stand in the order of the node's inputs, and so follow the schemas without being counted by hand.
COMFYUI_PATH names another ComfyUI than the one of `make setup`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from .comfy_host import ROOT, Layout, SetupError, comfyui_version
from .comfy_server import Server, ServerError
from .stories import STORIES
from .workflow_graph import workflow

FOLDER = ROOT / "workflows"


def text_of(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the workflow files.")
    known = [story.name for story in STORIES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; none: all of them")
    names = parser.parse_args().names
    if unknown := set(names) - set(known):
        parser.error(f"there is no workflow {', '.join(sorted(unknown))}: name some of {', '.join(known)}.")
    comfyui = Path(os.environ.get("COMFYUI_PATH") or Layout(ROOT).comfyui).resolve()
    try:
        comfyui_version(comfyui)
        with tempfile.TemporaryDirectory() as base, Server(comfyui, Path(base)) as server:
            schemas = server.get("/object_info")
    except (ServerError, SetupError) as error:
        sys.exit(str(error))
    for story in STORIES:
        if not names or story.name in names:
            path = FOLDER / f"{story.name}.json"
            path.write_text(text_of(workflow(story, schemas)))
            print(path)


if __name__ == "__main__":
    main()
