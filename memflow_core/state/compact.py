"""A stream's state without its keys and values: a few megabytes instead of gigabytes.

Keys and values are made anew when a stream goes on from it, by clean forwards in the order in which the stream wrote
them, each under the prompt that it was written under. A frame that the stream wrote while it saw frames that nothing
holds any more comes out a little different: its first layer is the same, deeper ones have seen less.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..memory import UNKNOWN, FrameKV, FrameSpan, KVWrite, SlotLayout, part_names
from ..model import TextKV
from ..stream import ForwardPass, Stream, keys_alone
from .format import COMPACT, trace_tensor


def compacted(tensors: dict[str, Tensor], meta: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON of a state, less its keys and values, and less the trace of each head's choices.

    Raises ValueError where something that is held could not be made again.
    """
    if any(write["kind"] == UNKNOWN for write in meta["ledger"]["writes"]):
        raise ValueError(
            "what the stream remembers began in a state file of version 1, which does not say what it was made of, so "
            "it cannot be saved as compact: save it as exact."
        )
    keys, outside = part_names(in_fp8=True), ("offer.", "kept.")
    kept = {name: tensor for name, tensor in tensors.items() if name not in keys and not name.startswith(outside)}
    records = json.loads(bytes(tensors["trace"].numpy()))
    summary = [record for record in records if record["event"] != "activate"]
    return kept | {"trace": trace_tensor(summary)}, {**meta, "content": COMPACT}


@dataclass(frozen=True)
class Rebuilt:
    """Keys and values that stand outside a cache, by latent frame.

    waiting  of frames that wait for the bank, in buffers of it.
    named    of frames under a name, where named pins wait.
    """

    waiting: dict[int, FrameKV] = field(default_factory=dict)
    named: dict[int, FrameKV] = field(default_factory=dict)


class Rebuild:
    """Fills the cache of a stream, whose ledger, bank frames and layout are restored, with keys and values.

    waiting, named  frames whose keys and values `run` returns as well, see `Rebuilt`.
    """

    def __init__(self, stream: Stream, waiting: set[int], named: set[int]):
        self.stream, self.cache, self.ledger = stream, stream.cache, stream.ledger
        self.waiting, self.named = waiting, named
        self._rebuilt = Rebuilt()
        self._texts: dict[int, list[TextKV]] = {}

    @torch.inference_mode()
    def run(self) -> Rebuilt:
        at = self.cache.layout
        origin, end, bank = at.origin, at.end, at.bank
        at.end = origin
        banked = set(self.cache.frames.unique().tolist())
        last = max((n for n, write in enumerate(self.ledger.writes) if banked & self._copies(write)), default=-1)
        for number, write in enumerate(self.ledger.writes):
            # a bank is seen once it is complete
            at.bank = bank if number > last else 0
            self._write(write, origin)
        moved = SlotLayout(at.sink_slots, at.window_slots, at.bank_slots, at.origin, at.end)
        at.origin, at.end, at.bank = origin, end, bank
        self._put_window_in_place(moved)
        return self._rebuilt

    def _copies(self, write: KVWrite) -> set[int]:
        """Frames whose keys, as this write left them, the bank holds or waits for."""
        return {frame for frame, source in self.ledger.sources.items() if source is write}

    def _write(self, write: KVWrite, origin: int) -> None:
        stream = self.stream
        stream.announce(ForwardPass("rebuild", stream.progress.chunk))
        latents = torch.stack([self.ledger.latents[frame] for frame in write.frames], dim=2)
        x, text, copies = latents.to(stream.device, torch.float32), self._text(write), sorted(self._copies(write))
        if write.kind == "picture":
            made = {frame: keys_alone(stream, frame, x, text) for frame in copies}
        else:
            _place(self.cache.layout, write.span, origin)
            stream.attention.begin(write.span)
            stream.backbone.write(x, write.timestep, text, stream.attention)
            made = {frame: stream.memory.bank.copy_frame(frame) for frame in copies}
            self._empty_sink(write)
        for frame, prototype in made.items():
            self._fill_bank(frame, prototype)
            self._hand_out(frame, prototype)

    def _hand_out(self, frame: int, prototype: FrameKV) -> None:
        memory = self.stream.memory
        if frame in self.named:
            self._rebuilt.named[frame] = prototype.copy(memory.pin_device)
        if frame in self.waiting:
            self._rebuilt.waiting[frame] = prototype
        else:
            memory.bank.release(prototype)

    def _empty_sink(self, write: KVWrite) -> None:
        """The published sink is read even where it holds nothing: a frame written for the bank alone must not stay."""
        at = self.cache.layout
        slots = [at.slot(frame) for frame in write.frames[write.span.unwritten :] if frame not in write.standing]
        for part in self.cache.parts.values():
            part[:, :, :, [slot for slot in slots if slot < at.border + at.sink_slots]] = 0

    def _text(self, write: KVWrite) -> list[TextKV]:
        if id(write.text) not in self._texts:
            # one at a time: a prompt's keys weigh as much as some latent frames'
            self._texts = {id(write.text): self.stream.backbone.embed_text(write.text.to(self.stream.device))}
        return self._texts[id(write.text)]

    def _fill_bank(self, frame: int, prototype: FrameKV) -> None:
        """Put a frame's keys into the slots that hold it, which may be others in every layer."""
        for layer, item, slot in (self.cache.frames == frame).nonzero().tolist():
            for name, part in self.cache.parts.items():
                part[layer, item, :, slot] = prototype.parts[name][layer, item]

    def _put_window_in_place(self, moved: SlotLayout) -> None:
        at = self.cache.layout
        frames = [frame for frame in range(at.window_start, at.end) if moved.slot(frame) != at.slot(frame)]
        source, target = [moved.slot(frame) for frame in frames], [at.slot(frame) for frame in frames]
        for part in self.cache.parts.values():
            # layer by layer, since what is read here is a copy
            for layer in part if frames else ():
                layer[:, :, target] = layer[:, :, source]


def _place(at: SlotLayout, span: FrameSpan, origin: int) -> None:
    """Make room for the frames that `span` writes, beside those of before that they can still see.

    The window wants frames without gaps, so behind a gap it starts anew, as if the sink had just ended; positions are
    those of the frames themselves, and do not care.
    """
    first, end = span.start + span.unwritten, span.start + span.frames
    if first < origin:
        # of the shots before the last cut, nothing but bank frames is left
        at.origin, at.end = first, end
    elif first <= origin + at.sink_slots:
        at.origin, at.end = origin, end if at.origin != origin else max(at.end, end)
    elif at.window_start <= first <= at.end:
        at.end = max(at.end, end)
    else:
        at.origin, at.end = first - at.sink_slots, end
