"""Write malformed inputs to a folder, with a list of what each is: python -m tools.malformed DIR [--seed S]."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

from . import KINDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, action="append", help="may be given several times; all by default")
    arguments = parser.parse_args()
    listed = []
    for kind in arguments.kind or KINDS:
        folder = arguments.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        for case in KINDS[kind](folder, Random(f"{kind} {arguments.seed}")):
            value = case.value.name if isinstance(case.value, Path) else repr(case.value)[:200]
            listed.append({"kind": kind, "name": case.name, "value": value})
    (arguments.folder / "list.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    print(f"{len(listed)} malformed inputs in {arguments.folder}")


if __name__ == "__main__":
    main()
