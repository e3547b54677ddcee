"""Write the workflow files in `workflows/` from `tools.stories`, laid out by the schemas of a running ComfyUI.

    .venv/bin/python -m tools.make_workflows [NAME ...]

A file's widget values stand in the order of the node's inputs, and so follow the schemas without being counted by hand.
COMFYUI_PATH names another ComfyUI than the one of `make setup`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from .comfy_host import ROOT, SetupError
from .comfy_server import Server, ServerError
from .command_line import comfyui_folder, names_to_make
from .stories import STORIES
from .workflow_graph import workflow_json

FOLDER = ROOT / "workflows"


def text_of(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    names = names_to_make("Write the workflow files.", [story.name for story in STORIES], "workflow")
    try:
        with tempfile.TemporaryDirectory() as base, Server(comfyui_folder(), Path(base)) as server:
            schemas = server.get("/object_info")
    except (ServerError, SetupError) as error:
        sys.exit(str(error))
    for story in STORIES:
        if story.name in names:
            path = FOLDER / f"{story.name}.json"
            path.write_text(text_of(workflow_json(story, schemas)))
            print(path)


if __name__ == "__main__":
    main()
