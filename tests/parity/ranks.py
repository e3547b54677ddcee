"""Replay every recording in processes that share each pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from memflow_core.parallel import Group

from .case import Check, Way
from .replay import find_cases, run_case


@dataclass(frozen=True)
class Replays:
    """Work of one process: each recording of a folder in turn, and what every process found."""

    folder: Path

    def __call__(self, group: Group) -> Iterator[tuple[str, bool, list[str], tuple[str, float, float]]]:
        for case in find_cases(self.folder):
            check = run_case(replace(case, way=Way(group=group)))
            yield case.path.stem, self._all_passed(group, check), check.wrong, check.worst

    def _all_passed(self, group: Group, check: Check) -> bool:
        """Whether the recording was reproduced by every process."""
        return int(group.sum(torch.tensor(float(check.passed)))) == group.size
