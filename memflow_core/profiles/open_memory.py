"""Memory settings that are left to a model's profile, and what they become beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..config import ARCHIVE_GB, ARCHIVE_RULES, ARCHIVES, BANK_KEYS, MemoryConfig

# settings that may be left open, with all that they can become
OPEN_SETTINGS: dict[str, tuple[str, ...]] = {"bank_keys": BANK_KEYS, "archive": ARCHIVES}


@dataclass(frozen=True)
class OpenMemory:
    """Memory settings of which some are left to the model: what was measured best for it, where the others allow that.

    settings  those that are given, by their names in `MemoryConfig`.
    left      names of OPEN_SETTINGS that are left open.
    whole     whether all others are the model's, too; if not, they have the defaults of `MemoryConfig`.

    Raises ValueError for settings that do not fit together, whatever those left open become.
    """

    settings: Mapping[str, Any]
    left: frozenset[str]
    whole: bool = False

    def __post_init__(self) -> None:
        self.settled(MemoryConfig())

    def settled(self, best: MemoryConfig) -> MemoryConfig:
        """Fill in what is left open: as `best` has it, else as the paper has it, else what the other settings need.

        What only an archive reads, its rule and its room, is left out where `archive` is left open and none is kept.

        Raises ValueError where what is given does not fit to the model's own settings.
        """
        usual = MemoryConfig()
        names = sorted(self.left)
        choices = [dict.fromkeys((getattr(best, name), getattr(usual, name), *OPEN_SETTINGS[name])) for name in names]
        for values in product(*choices):
            try:
                return self._with(best, dict(zip(names, values, strict=True)))
            except ValueError:
                continue
        # none fits, so the fault is not in those left open
        return self._with(best, {name: getattr(usual, name) for name in names})

    def _with(self, best: MemoryConfig, values: Mapping[str, str]) -> MemoryConfig:
        settings = {**(vars(best) if self.whole else {}), **self.settings, **values}
        if values.get("archive") == "off":
            settings["archive_rule"] = ARCHIVE_RULES[0]
        if values.get("archive", "keys") != "keys":
            settings["archive_gb"] = ARCHIVE_GB
        return MemoryConfig(**settings)


def settled(memory: MemoryConfig | OpenMemory | None, best: MemoryConfig) -> MemoryConfig:
    """Memory settings with nothing left open. best: those of the model's profile, which None stands for."""
    if isinstance(memory, OpenMemory):
        return memory.settled(best)
    return best if memory is None else memory


def left_open(memory: MemoryConfig | OpenMemory | None, best: MemoryConfig) -> frozenset[str]:
    """Names of settings that are left to the model's profile; None leaves all to it.

    Where all are, these are OPEN_SETTINGS, and what `best`, the profile's, has otherwise than the paper.
    """
    if isinstance(memory, MemoryConfig):
        return frozenset()
    memory = memory or OpenMemory({}, frozenset(OPEN_SETTINGS), whole=True)
    if not memory.whole:
        return memory.left
    usual = vars(MemoryConfig())
    others = {name for name, value in vars(best).items() if value != usual[name]}
    return memory.left | others - memory.settings.keys()
