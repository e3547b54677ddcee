"""Check that a tag names the version of pyproject.toml, and print that version's section of CHANGELOG.md.

Called as `python -m tools.release_notes v0.2.0`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def release_notes(tag: str, pyproject: str, changelog: str) -> str:
    """The section of the changelog for `tag`. Raises ValueError with what is missing, in one sentence."""
    found = re.search(r'^version = "([^"]+)"$', pyproject, re.MULTILINE)
    version = found.group(1) if found else "unknown"
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, but pyproject.toml has version {version}: tag v{version}, or change it.")
    section = re.search(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if section is None or not section.group(1).strip():
        raise ValueError(f"CHANGELOG.md has no section [{version}], or an empty one: write down what changed.")
    return section.group(1).strip()


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "CHANGELOG.md")]
    try:
        print(release_notes(sys.argv[1], *texts))
    except ValueError as error:
        sys.exit(f"no release: {error}")


if __name__ == "__main__":
    main()
