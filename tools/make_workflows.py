"""Write the workflow files in `workflows/` from `tools.stories`, laid out by the schemas of a running ComfyUI, and the
Chinese of their notes, which the page puts in the place of the English.

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
from .workflow_graph import NOTE_TITLES, workflow_json

FOLDER = ROOT / "workflows"
CHINESE_NOTES = ROOT / "web" / "js" / "i18n" / "zh_notes.js"


def text_of(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def chinese_notes() -> str:
    """Return the module of the page that holds the Chinese notes."""
    notes = {note.text: note.chinese for story in STORIES for note in story.notes}
    return (
        "// @ts-check\n"
        "// Chinese notes of the workflow files, by the English ones, and titles. Written by tools.make_workflows.\n\n"
        f"/** @type {{Record<string, string>}} */\nexport const NOTES = {text_of(notes).rstrip()};\n\n"
        f"/** @type {{Record<string, string>}} */\nexport const TITLES = {text_of(NOTE_TITLES).rstrip()};\n"
    )


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
    CHINESE_NOTES.write_text(chinese_notes())


if __name__ == "__main__":
    main()
