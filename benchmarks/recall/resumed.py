"""A JSON file of rows that a long measurement goes on with where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Rows:
    """Rows that were measured, each under a key of its own, in a file or in memory alone.

    path      file, written anew after each row; None: nowhere.
    settings  what all rows have in common, JSON values. A file of others is refused.
    notes     what is written beside them and may differ from run to run, as the machine.

    Raises ValueError for a file that was made with other settings, or is none of these.
    """

    path: Path | None
    settings: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        try:
            held = json.loads(self.path.read_text())
            rows, settings = held["rows"], held["settings"]
        except (ValueError, KeyError, TypeError):
            rows, settings = None, None
        if not isinstance(rows, dict) or settings != self.settings:
            raise ValueError(
                f"{self.path} holds measurements of {settings}, but these are of {self.settings}: give another file, "
                f"or remove it."
            )
        self.rows = rows

    def take(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the row of a key, measured only where the file has none yet."""
        if key not in self.rows:
            self.rows[key] = measure()
            self._write()
        return self.rows[key]

    def _write(self) -> None:
        if self.path is None:
            return
        text = json.dumps({"settings": self.settings, **self.notes, "rows": self.rows}, indent=1) + "\n"
        # a run that is stopped while it writes must not lose what was measured
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(text)
        part.replace(self.path)
