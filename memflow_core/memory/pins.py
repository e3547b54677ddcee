"""User pins: latent frames that memory keeps whatever the retrieval policy decides.

An unnamed pin stands in the bank for good. A named pin waits in a store of its own, outside the attended slots, and
stands in the bank while the prompt asks for it by name; after that its frame is one like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from .frame_kv import Candidate, FrameKV, candidates_state, read_candidates
from .prompt_keys import PromptKeys
from .state_dict import StateDict


@dataclass
class NamedPin:
    """A latent frame under a name; `kept` holds its keys and values as soon as the frame is made, never overwritten."""

    frame: int
    kept: Candidate | None = None


class Pins:
    """Pinned frames, and the names that the current prompt asks for.

    slots     bank slots there are.
    frames    latent frames pinned for good.
    named     named pins.
    recalled  names that the current prompt asks for.
    """

    def __init__(self, slots: int, frames: Iterable[int] = ()):
        self.slots = slots
        self.frames = set(frames)
        self.named: dict[str, NamedPin] = {}
        self.recalled: tuple[str, ...] = ()

    @property
    def listed(self) -> list[tuple[int, str | None]]:
        """Latent frames and their names, by frame."""
        named = [(pin.frame, name) for name, pin in self.named.items()]
        return sorted([*((frame, None) for frame in self.frames), *named], key=lambda pin: (pin[0], pin[1] or ""))

    @property
    def recalled_frames(self) -> set[int]:
        """Latent frames of the names that the current prompt asks for."""
        return {self.named[name].frame for name in self.recalled}

    @property
    def protected(self) -> set[int]:
        """Frames that must not be dropped from the bank now."""
        return self.held(self.recalled)

    @property
    def kept(self) -> dict[int, Candidate]:
        """Named pins whose frames are made, by latent frame."""
        return {pin.frame: pin.kept for pin in self.named.values() if pin.kept is not None}

    def held(self, recall: Iterable[str]) -> set[int]:
        """Frames that need a place while a prompt asks for these names."""
        return self.frames | {self.named[name].frame for name in recall}

    def has(self, frame: int, name: str | None) -> bool:
        """Whether this frame is pinned under this name, or for good where the name is None."""
        return frame in self.frames if name is None else name in self.named and self.named[name].frame == frame

    def check_new(self, frame: int, name: str | None, recall: Sequence[str]) -> None:
        """Raise ValueError unless there is room for a new pin beside those that `recall` asks for."""
        if name is None:
            held = self.held(recall)
            self._check_room(f"latent frame {frame} cannot be pinned", held | {frame}, len(held))
            return
        if not isinstance(name, str) or not name:
            raise ValueError(f"a pin's name is {name!r}, but must be a text that is not empty.")
        if name in self.named:
            raise ValueError(
                f"latent frame {frame} cannot be pinned as {name!r}: that is the name of latent frame "
                f"{self.named[name].frame}; unpin it first, or choose another name."
            )
        self._check_room(f"latent frame {frame} cannot be pinned", {frame}, 0)

    def check_recall(self, names: Sequence[str]) -> None:
        """Raise ValueError unless all these pins are there and find room in the bank together."""
        for name in names:
            if name not in self.named:
                known = f"there are {', '.join(self.named)}" if self.named else "there is none"
                raise ValueError(f"the prompt asks for pin {name!r}, but {known}: pin a moment under that name first.")
            if self.named[name].kept is None:
                raise ValueError(
                    f"the prompt asks for pin {name!r}, but its latent frame {self.named[name].frame} is not made yet."
                )
        asked = {self.named[name].frame for name in names}
        self._check_room(f"the prompt cannot have {', '.join(names)} in memory", self.frames | asked, len(self.frames))

    def drop(self, pin: int | str) -> int:
        """Take back the pin of a latent frame, or of a name. Returns the frame; raises ValueError if there is none."""
        if pin not in (self.named if isinstance(pin, str) else self.frames):
            raise ValueError(f"{pin!r} is not pinned, so it cannot be unpinned.")
        if not isinstance(pin, str):
            self.frames.remove(pin)
            return pin
        self.recalled = tuple(name for name in self.recalled if name != pin)
        return self.named.pop(pin).frame

    def forget(self, first_frame: int) -> None:
        """Forget the pins of all frames before a latent frame, pictures included."""
        self.frames = {frame for frame in self.frames if frame >= first_frame}
        self.named = {name: pin for name, pin in self.named.items() if pin.frame >= first_frame}
        self.recalled = ()

    def state_dict(self) -> StateDict:
        """Pins, names, and keys and values of named pins."""
        kept = candidates_state("kept", "kept", [pin.kept for pin in self.named.values()])
        kept.meta |= {
            "pins": sorted(self.frames),
            "recalled": list(self.recalled),
            "named": [[name, pin.frame] for name, pin in self.named.items()],
        }
        return kept

    def load_state_dict(self, state: StateDict, device: torch.device, rebuilt: Mapping[int, FrameKV]) -> None:
        """Read pins back; keys and values go to `device`, those that the state lacks come from `rebuilt`."""
        kept = read_candidates(state, "kept", "kept", device, rebuilt)
        self.frames = set(state.meta["pins"])
        self.recalled = tuple(state.meta["recalled"])
        self.named = {
            name: NamedPin(frame, candidate) for (name, frame), candidate in zip(state.meta["named"], kept, strict=True)
        }

    def _check_room(self, what: str, frames: set[int], taken: int) -> None:
        if len(frames) > self.slots:
            raise ValueError(
                f"{what}: the bank holds {self.slots} latent frames, {taken} of them pinned; make the bank larger."
            )


class WithoutPins:
    """The part of a `MemoryPolicy` that takes no pins, no pictures to remember, and bans nothing: ValueError for each.

    no_pins, no_archive  sentences that say so.
    """

    no_pins: ClassVar[str]
    no_archive: ClassVar[str]

    def check_recall(self, names: Sequence[str]) -> None:
        if names:
            raise ValueError(self.no_pins)

    def pin(self, chunk: int, frame: int, name: str | None, upcoming: Sequence[str], prompt: int) -> None:  # noqa: ARG002
        raise ValueError(self.no_pins)

    def unpin(self, chunk: int, pin: int | str) -> None:  # noqa: ARG002
        raise ValueError(self.no_pins)

    def insert(self, chunk: int, frame: int, prompt: PromptKeys, kv: FrameKV) -> None:  # noqa: ARG002
        raise ValueError(self.no_pins)

    def ban(self, chunk: int, frame: int) -> None:  # noqa: ARG002
        raise ValueError(self.no_archive)
