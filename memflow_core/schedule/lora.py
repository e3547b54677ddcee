"""LoRAs of a segment: `[lora NAME 0.8]`, by the name of a file and a strength."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ScheduleError, check_text, require, show

MOST_STRENGTH = 20.0
MOST_NAME = 300
MOST_LORAS = 16
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


@dataclass(frozen=True)
class Lora:
    """A LoRA by the name of its file, folders before it with `/`; the extension may be left out.

    strength  from -20 to 20; 0 is the model without it.

    Raises ScheduleError for a name that cannot be written in brackets, and for any other strength.
    """

    name: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_text("a LoRA's name", self.name)
        name = self.name.strip().replace("\\", "/")
        proper = 0 < len(name) <= MOST_NAME and name.isprintable() and not set("[]") & set(name)
        require(
            proper,
            f"a LoRA's name is {show(self.name)}, but must have 1 to {MOST_NAME} characters, and no brackets: rename "
            f"the file.",
        )
        number = isinstance(self.strength, (int, float)) and not isinstance(self.strength, bool)
        proper = number and math.isfinite(self.strength) and abs(self.strength) <= MOST_STRENGTH
        require(
            proper,
            f"the strength of LoRA {show(name)} is {show(self.strength)}, but must be a number from "
            f"-{MOST_STRENGTH:g} to {MOST_STRENGTH:g}.",
        )
        object.__setattr__(self, "name", name)
        # as it is written; and no -0
        object.__setattr__(self, "strength", round(float(self.strength), 6) + 0.0)

    def __str__(self) -> str:
        written = f"{self.strength:.6f}".rstrip("0").rstrip(".")
        return f"lora {self.name} {written}"


def is_lora_option(option: str) -> bool:
    """Whether an option, without its brackets, is a LoRA; `lora` alone may be the name of a pin."""
    return option.startswith(("lora ", "lora\t"))


def read_lora(option: str) -> Lora:
    """Read `lora NAME 0.8`, or `lora NAME` for strength 1. Raises ScheduleError."""
    words = option.split()[1:]
    if len(words) > 1 and _NUMBER.fullmatch(words[-1]):
        # spaces within a name stay as they are
        return Lora(option.strip()[4:].strip()[: -len(words[-1])], float(words[-1]))
    if len(words) == 1 and _NUMBER.fullmatch(words[0]):
        raise ScheduleError(f"option [{option[:40]}] names no LoRA: write the file's name before the strength.")
    return Lora(option.strip()[4:])


def check_loras(loras: Any) -> tuple[Lora, ...]:
    """LoRAs of a segment, each a Lora or a pair of name and strength. Raises ScheduleError."""
    is_list = isinstance(loras, Sequence) and not isinstance(loras, str)
    require(
        is_list and len(loras) <= MOST_LORAS, f"loras is {show(loras)}, but must be a list of at most {MOST_LORAS}."
    )
    found = tuple(_lora(one) for one in loras)
    names = [one.name for one in found]
    require(len(set(names)) == len(names), f"loras is {show(loras)}, but must name each LoRA once.")
    return found


def _lora(value: Any) -> Lora:
    if isinstance(value, Lora):
        return value
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    require(is_pair, f'a LoRA is {show(value)}, but must be a pair like ["name", 0.8].')
    return Lora(*value)
