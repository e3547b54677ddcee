"""What the keys and values in a cache were made of.

A frame's keys follow from its latents and the prompt that it was read under, so those are kept, on the CPU, for every
frame that sink, window or bank still hold: megabytes where the keys themselves are gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from .layout import FrameSpan, SlotLayout

UNKNOWN = "unknown"
WRITES = ("context", "recache", "picture", UNKNOWN)


@dataclass(eq=False)
class KVWrite:
    """One forward over clean latents that left keys behind.

    kind      `context`: a finished chunk. `recache`: frames read anew at a prompt change. `picture`: a frame that no
              chunk made, read alone. `unknown`: a frame that came with a state of before there were ledgers; of what
              and how its keys were made is not known, so span and text only say which frame it is.
    span      its latent frames; the first `unwritten` of them only asked.
    text      the prompt's embedding, [B, length, text_dim].
    timestep  0 is clean.
    standing  frames that stand in sink or window with the keys of this write.
    """

    kind: str
    span: FrameSpan
    text: Tensor
    timestep: float = 0.0
    standing: set[int] = field(default_factory=set)

    @property
    def frames(self) -> range:
        """All latent frames that took part."""
        return range(self.span.start, self.span.start + self.span.frames)

    @property
    def needed(self) -> range:
        """Latent frames whose latents it takes to write the same again."""
        return range(0) if self.kind == UNKNOWN else self.frames


class KVProvenance:
    """The writes behind everything that a cache holds, oldest first.

    sources  the write whose keys were copied for the bank, by latent frame.
    latents  [B, C, h, w] on the CPU of each latent frame that a write needs.
    """

    def __init__(self) -> None:
        self.writes: list[KVWrite] = []
        self.sources: dict[int, KVWrite] = {}
        self.latents: dict[int, Tensor] = {}
        self._fresh: dict[int, Tensor] = {}  # on the stream's device, until `settle`

    def wrote(self, write: KVWrite, latents: Tensor) -> None:
        """Note a write of latents [B, C, F, h, w]. Nothing is copied before `settle`."""
        if write.kind == "picture":
            self.sources |= dict.fromkeys(write.frames, write)
        else:
            write.standing = set(write.frames[write.span.unwritten :])
        for earlier in self.writes:
            earlier.standing -= write.standing
        self.writes.append(write)
        self._fresh |= dict(zip(write.frames, latents.unbind(dim=2), strict=True))

    def forget_standing(self) -> None:
        """The keys in sink and window were thrown away."""
        for write in self.writes:
            write.standing = set()

    def settle(self, at: SlotLayout, copied: Iterable[int]) -> None:
        """After a chunk: keep what is still held, on the CPU.

        at      which frames stand in sink and window.
        copied  frames whose keys the bank holds, or will be offered.
        """
        stands = set(range(at.origin, at.origin + at.sink)) | set(range(at.window_start, at.end))
        for write in self.writes:
            write.standing &= stands
        self._find_sources(copied)
        sources = set(self.sources.values())
        self.writes = [write for write in self.writes if write.standing or write in sources]
        self._keep_latents({frame for write in self.writes for frame in write.needed})

    def _find_sources(self, copied: Iterable[int]) -> None:
        standing = {frame: write for write in self.writes for frame in write.standing}
        # once copied, keys do not change with those in the window
        found = {frame: self.sources.get(frame) or standing.get(frame) for frame in copied}
        self.sources = {frame: write for frame, write in found.items() if write is not None}

    def _keep_latents(self, needed: set[int]) -> None:
        self.latents = {frame: latents for frame, latents in self.latents.items() if frame in needed}
        for frame in needed - self.latents.keys():
            # a copy, or one frame would keep its whole chunk
            self.latents[frame] = self._fresh[frame].detach().to("cpu", copy=True)
        self._fresh = {}
