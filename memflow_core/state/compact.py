"""Compact states: a stream's state without its keys and values, a few megabytes instead of gigabytes.

Keys and values are made again when a stream goes on from it, by clean forward passes in the order in which the stream
wrote them, each under the prompt that it was written under. A frame that the stream wrote while it saw frames that are
no longer held comes out a little different: its first layer is the same, deeper ones have seen less.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from ..memory import UNKNOWN, FrameKV, FrameSpan, KVWrite, RebuiltKV, SlotLayout
from ..model import TextKV
from ..stream import CONTROL, ForwardPass, Stream, keys_alone
from .format import COMPACT, trace_tensor
from .heads import has_heads


def compacted(tensors: dict[str, Tensor], meta: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON of a state, less its keys and values, what a control carries, and the trace of heads' choices.

    Raises ValueError where something that is held could not be made again.
    """
    if any(write["kind"] == UNKNOWN for write in meta["ledger"]["writes"]):
        raise ValueError(
            "what the stream remembers began in a state file of version 1, which does not say what it was made of, so "
            "it cannot be saved as compact: save it as exact."
        )
    if meta["memory"].get("sink", "first") == "average":
        raise ValueError(
            "the stream's sink is an average over all that it has seen, which cannot be made again from what a compact "
            "state keeps: save it as exact."
        )
    kept = {name: tensor for name, tensor in tensors.items() if not (has_heads(name) or name.startswith(CONTROL))}
    records = json.loads(bytes(tensors["trace"].numpy()))
    summary = [record for record in records if record["event"] != "activate"]
    # an archive's keys are made again too, by reading each frame alone when it is recalled
    archive = {"archived_keys": []} if "archived_keys" in meta else {}
    return kept | {"trace": trace_tensor(summary)}, {**meta, **archive, "content": COMPACT}


class Rebuild:
    """Fills the cache of a stream with keys and values; its provenance, bank tables and layout are loaded already.

    candidates, pins  frames whose keys and values `run` returns as well, see `RebuiltKV`.
    """

    def __init__(self, stream: Stream, *, candidates: set[int], pins: set[int]):
        self.stream = stream
        self.cache = stream.cache
        self.provenance = stream.provenance
        self.candidates = candidates
        self.pins = pins
        self._rebuilt = RebuiltKV()
        self._text: tuple[KVWrite, list[TextKV]] | None = None

    @torch.inference_mode()
    def run(self) -> RebuiltKV:
        """Make every write of the provenance again, oldest first."""
        layout = self.cache.layout
        origin, end, bank = layout.origin, layout.end, layout.bank
        layout.end = origin
        banked = set(self.cache.frames.unique().tolist())
        writes = self.provenance.writes
        last = max((number for number, write in enumerate(writes) if banked & self._copies(write)), default=-1)
        for number, write in enumerate(writes):
            if not write.in_cache and not self._is_held(write, banked):
                continue  # archived: it is read when it is recalled
            # a bank is read once it is complete
            layout.bank = bank if number > last else 0
            self._write(write, origin)
        moved = SlotLayout(layout.sink_slots, layout.window_slots, layout.bank_slots, layout.origin, layout.end)
        layout.origin, layout.end, layout.bank = origin, end, bank
        self._put_window_in_place(moved)
        return self._rebuilt

    def _copies(self, write: KVWrite) -> set[int]:
        """Frames of which bank or candidates hold the keys as this write left them."""
        return {frame for frame, source in self.provenance.sources.items() if source is write}

    def _is_held(self, write: KVWrite, banked: set[int]) -> bool:
        return bool(self._copies(write) & (banked | self.pins | self.candidates))

    def _write(self, write: KVWrite, origin: int) -> None:
        stream = self.stream
        stream.announce(ForwardPass("rebuild", stream.progress.chunk))
        latents = torch.stack([self.provenance.latents[frame] for frame in write.span.all], dim=2)
        stream.backbone.use_weights(write.weights)
        x, text, copies = latents.to(stream.device, torch.float32), self._text_of(write), sorted(self._copies(write))
        if write.kind in ("picture", "alone"):
            made = {frame: keys_alone(stream, [frame], x, text)[0] for frame in copies}
        else:
            _place(self.cache.layout, write.span, origin)
            stream.backbone.write(x, write.timestep, text, stream.attention.begin(write.span))
            made = {frame: stream.memory.bank.copy_frame(frame) for frame in copies}
            self._empty_sink(write)
        for frame, kv in made.items():
            self._fill_bank(frame, kv)
            self._hand_out(frame, kv)

    def _hand_out(self, frame: int, kv: FrameKV) -> None:
        memory = self.stream.memory
        if frame in self.pins:
            self._rebuilt.pins[frame] = kv.copy(memory.pin_device)
        if frame in self.candidates:
            self._rebuilt.candidates[frame] = kv
        else:
            memory.bank.release(kv)

    def _empty_sink(self, write: KVWrite) -> None:
        """The published sink is read even where it holds nothing: a frame written for the bank alone must not stay."""
        layout = self.cache.layout
        slots = [layout.slot(frame) for frame in write.span.stored if frame not in write.in_cache]
        for part in self.cache.parts.values():
            part[:, :, :, [slot for slot in slots if slot < layout.border + layout.sink_slots]] = 0

    def _text_of(self, write: KVWrite) -> list[TextKV]:
        """Cross-attention keys of a write's prompt; one is kept, since it weighs as much as keys of latent frames."""
        if self._text is None or self._text[0].text is not write.text or self._text[0].weights != write.weights:
            self._text = None
            self._text = write, self.stream.backbone.embed_text(write.text.to(self.stream.device))
        return self._text[1]

    def _fill_bank(self, frame: int, kv: FrameKV) -> None:
        """Put a frame's keys into the slots that hold it, which may be others in every layer."""
        for layer, item, slot in (self.cache.frames == frame).nonzero().tolist():
            for name, part in self.cache.parts.items():
                part[layer, item, :, slot] = kv.parts[name][layer, item]

    def _put_window_in_place(self, moved: SlotLayout) -> None:
        """Move window frames from where the rebuild wrote them to their slots."""
        layout = self.cache.layout
        frames = [f for f in range(layout.window_start, layout.end) if moved.slot(f) != layout.slot(f)]
        source, target = [moved.slot(frame) for frame in frames], [layout.slot(frame) for frame in frames]
        for part in self.cache.parts.values():
            # layer by layer, since what is read here is a copy
            for layer in part if frames else ():
                layer[:, :, target] = layer[:, :, source]


def _place(layout: SlotLayout, span: FrameSpan, origin: int) -> None:
    """Make room for the frames that `span` writes, beside those of before that they can still see.

    The window wants frames without gaps, so behind a gap it starts anew, as if the sink had just ended; positions are
    those of the frames themselves, and do not change with it.
    """
    first, end = span.stored.start, span.end
    if first < origin:
        # of the shots before the last cut, only bank frames are left
        layout.origin, layout.end = first, end
    elif first <= origin + layout.sink_slots:
        layout.end = end if layout.origin != origin else max(layout.end, end)
        layout.origin = origin
    elif layout.window_start <= first <= layout.end:
        layout.end = max(layout.end, end)
    else:
        layout.origin, layout.end = first - layout.sink_slots, end
