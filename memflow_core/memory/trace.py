"""Trace of every decision that memory takes, as JSON-able records.

Decisions are made on the device. They are kept there as tensors until the chunk is finished and then fetched
together, so that tracing never stops the device in the middle of a chunk. Finished records are kept compressed: an
hour of them must not add up in a stream whose memory use is otherwise flat.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

KINDS = ("sink", "bank", "window")

Record = dict[str, Any]
SIGNIFICANT_DIGITS = 6


def _fetch(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _fetch(value.cpu().tolist())
    if isinstance(value, (list, tuple)):
        return [_fetch(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return value


def _count_choices(record: Record) -> Record:
    frames, times = torch.cat([layer.flatten() for layer in record["frames"]]).unique(return_counts=True)
    return {**record, "frames": torch.stack((frames, times), dim=-1)}


class Trace:
    """An append-only list of records, each with `chunk` and `event`.

    record     {"frame"}: this latent frame became a candidate for the bank.
    retrieve   {"policy", "candidate", "first_layer", "before", "scores", "after"}: what the bank held, the score of
               each frame (with the candidate's own last where it competes), and what it holds now.
               Lists are [layers][batch][slot], from layer `first_layer` on; slots hold latent frame indices.
    choose     {"rule", "archived", "frames", "scores", "first_layer", "before", "after"}: the bank was chosen anew from
               the archive of so many frames: the best of those that could come back, by falling score, their scores
               for each batch item, and the bank as in `retrieve`.
    ban        {"frame"}: this latent frame is never recalled again.
    activate   {"kind", "step", "frames"}: how often SMA chose each latent frame in one forward, over all layers and
               heads, as [frame, times] pairs. The last layer of a context pass or a recache reads nothing.
    switch     {"kind", "recomputed"}: a prompt change and the latent frames whose keys were recomputed.
    blend      {"weight", "path"}: the new prompt's share in the text that this chunk is made under.
    pin        {"frame", "name"}: from now on this latent frame is kept; the name is null where it is kept for good.
    unpin      {"frame", "name"}: no longer.
    recall     {"names", "frames"}: the named pins that stand in the bank from now on, instead of those before.
    share      {"sink", "bank", "window", "even"}: how a chunk's first step shared its attention out, over all layers
               and heads, sampled, and the three shares if every frame that was read had got the same; only where the
               stream has a meter. Earlier code wrote no `even`.

    Scores are rounded to 6 significant digits.
    """

    def __init__(self) -> None:
        self._pending: list[Record] = []
        self._packed: list[bytes] = []

    def add(self, event: str, chunk: int, **fields: Any) -> None:
        """Note a decision; tensors are fetched by the next `flush`."""
        self._pending.append({"event": event, "chunk": chunk, **fields})

    def flush(self) -> list[Record]:
        """Fetch the tensors of the records added since the last flush; returns those records."""
        pending, self._pending = self._pending, []
        pending = [_count_choices(record) if record["event"] == "activate" else record for record in pending]
        fresh = [{key: _fetch(value) for key, value in record.items()} for record in pending]
        self.extend(fresh)
        return fresh

    def extend(self, records: Iterable[Record]) -> None:
        """Append finished records, for example those of the stream this one goes on from."""
        self._packed.append(zlib.compress(json.dumps(list(records), separators=(",", ":")).encode()))

    @property
    def nbytes(self) -> int:
        """Bytes of all finished records, compressed."""
        return sum(len(packed) for packed in self._packed)

    @property
    def records(self) -> list[Record]:
        """All finished records, decompressed at every call."""
        return [record for packed in self._packed for record in json.loads(zlib.decompress(packed))]
