"""Banks taken out of streams and put into others, at the first pass of a chunk that reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memflow_core.stream import ForwardPass, Stream

# passes of a chunk that read the bank as it was chosen for the chunk
READING = ("recache", "denoise")


@dataclass(frozen=True)
class BankCopy:
    """What a stream's bank holds: parts of the cache by name, the tables of its slots, and how many are in use."""

    parts: dict[str, Tensor]
    frames: Tensor
    order: Tensor
    prompts: Tensor
    used: int


def take_bank(stream: Stream) -> BankCopy:
    """A copy of a stream's bank."""
    cache, bank = stream.cache, stream.memory.bank
    slots = slice(0, cache.layout.bank_slots)
    parts = {name: part[:, :, :, slots].clone() for name, part in cache.parts.items()}
    return BankCopy(parts, cache.frames.clone(), cache.order.clone(), bank.prompts.clone(), cache.layout.bank)


def put_bank(stream: Stream, bank: BankCopy) -> None:
    """Put a bank of a stream with the same settings in place of a stream's own."""
    cache = stream.cache
    slots = slice(0, cache.layout.bank_slots)
    for name, part in cache.parts.items():
        part[:, :, :, slots] = bank.parts[name]
    cache.frames.copy_(bank.frames)
    cache.order.copy_(bank.order)
    stream.memory.bank.prompts.copy_(bank.prompts)
    cache.layout.bank = bank.used


def empty_bank(stream: Stream) -> None:
    """Let a stream forget what its bank holds."""
    stream.cache.layout.bank = 0


class AtFirstRead:
    """Do something to a stream once, right before the first pass of a chunk that reads the bank; for `on_forward`."""

    def __init__(self, chunk: int, act: Callable[[Stream], None]):
        self.stream: Stream | None = None
        self.done = False
        self._chunk = chunk
        self._act = act

    def __call__(self, forward: ForwardPass) -> None:
        if not self.done and forward.chunk == self._chunk and forward.kind in READING:
            assert self.stream is not None, "set before the first chunk"
            if forward.kind == "recache" and self.stream.memory_config.archive_rule == "attention":
                # the bank is chosen after it
                return
            self.done = True
            self._act(self.stream)
