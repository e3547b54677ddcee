"""Pin the schemas of the nodes as they are now, and write the English words of the front end.

    .venv/bin/python -m tools.pin_schemas [--breaking]

Writes tests/nodes/schemas.json and locales/en/nodeDefs.json, and prints what changed and which texts have to be
translated again. A change that breaks people's workflows is refused without --breaking. COMFYUI_PATH names another
ComfyUI than the one of `make setup`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from . import locale_words, schemas
from .comfy_host import ROOT, SetupError
from .command_line import comfyui_folder
from .load_pack import load_pack, node_infos

PINNED = ROOT / "tests" / "nodes" / "schemas.json"
COMMAND = "python -m tools.pin_schemas"


def main() -> None:
    parser = argparse.ArgumentParser(description="Pin the schemas of the nodes.")
    parser.add_argument("--breaking", action="store_true", help="accept changes that break people's workflows")
    breaking = parser.parse_args().breaking
    try:
        comfyui = comfyui_folder()
    except SetupError as error:
        sys.exit(str(error))
    with tempfile.TemporaryDirectory() as base:
        infos = node_infos(load_pack(comfyui, Path(base)))
    old = json.loads(PINNED.read_text()) if PINNED.is_file() else {}
    new = schemas.snapshot(infos)
    print(*(schemas.differences(old, new) or ["no schema has changed"]), sep="\n")
    if (breaks := schemas.incompatible(old, new)) and not breaking:
        sys.exit("\n".join(["", "refused, since people's workflows would break:", *breaks]))
    PINNED.write_text(schemas.text_of(new))
    _write_english(locale_words.english(infos))


def _write_english(words: locale_words.Words) -> None:
    file = locale_words.LOCALES / "en" / "nodeDefs.json"
    before = locale_words.flat(locale_words.read("en")) if file.is_file() else {}
    after = locale_words.flat(words)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(locale_words.text_of(words), encoding="utf-8")
    if changed := [path for path, text in after.items() if before.get(path) != text]:
        print("to be translated, or read again, in the other languages:", *changed, sep="\n  ")


if __name__ == "__main__":
    main()
