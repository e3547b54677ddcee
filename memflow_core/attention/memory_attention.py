"""Self-attention over a chunk and its memory, and Sparse Memory Activation (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..memory import FrameSpan, KVCache, LayerHook, frames_of_slots
from ..model import AttentionBackend, Rope, Rotation
from .share import BANK, SINK, UNREAD, WINDOW
from .sparse import GatherAttention, SparseAttention


def activate(q: Tensor, mean_k: Tensor, top_k: int) -> Tensor:
    """SMA: the memory frames each head reads.

    A frame's relevance is the dot product of the chunk's mean query and the frame's mean key, per head.
    q [B, heads, L, head_dim], mean_k [B, heads, n, head_dim] -> frame indices [B, heads, top_k], ascending.
    """
    relevance = torch.einsum("bhd,bhnd->bhn", q.mean(dim=2, dtype=torch.float32), mean_k)
    return relevance.topk(top_k, dim=-1).indices.sort(dim=-1).values


AttentionObserver = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called with (layer, q, keys, kinds) as a layer attends: see `attention_share.ShareMeter`."""


class MemoryAttention:
    """The `Attend` of a stream: writes a chunk's keys into its slots, then reads bank, sink and window.

    top_k       SMA over sink + bank; None reads every frame.
    relative    keys are stored before RoPE and rotated when read, by their place in the attended set.
    zero_sink   published behaviour: the sink is read whole even while its slots are still empty, and a stream
                without a sink reads no bank.
    reader      how the frames that SMA chose are read; None: copied side by side, then read by `backend`.
    activation  the frames chosen by SMA in this forward, one [B, heads, k] of slot numbers a layer.
    """

    def __init__(
        self,
        cache: KVCache,
        rope: Rope,
        backend: AttentionBackend,
        top_k: int | None = None,
        relative: bool = False,
        zero_sink: bool = False,
        reader: SparseAttention | None = None,
    ):
        self.cache, self.rope, self.backend = cache, rope, backend
        self.top_k, self.relative, self.zero_sink = top_k, relative, zero_sink
        self.reader = reader or GatherAttention(backend)
        self.activation: list[Tensor] = []

    def begin(
        self,
        span: FrameSpan,
        before_layer: LayerHook | None = None,
        observer: AttentionObserver | None = None,
        draft: bool = False,
    ) -> None:
        """Set up one forward. `cache.layout` must already say which slots hold these frames.

        draft  another forward will write the same frames before a chunk after them does.
        """
        self.span, self.before_layer, self.observer = span, before_layer, observer
        # SMA may read a sink that is just being made
        self.draft = draft and not self.cache.layout.in_sink(span.start)
        self.activation = []
        frames = torch.arange(span.start, span.start + span.frames, device=self.cache.device)
        self._rotation = self.rope.at(self._places(frames))
        # the same in every layer
        self._first, self._border, self._end = self._bounds()

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (self._by_frame(x) for x in (q, k, v))
        # the hook of a stream with relative positions meets keys with queries that are not rotated
        rotated_q = self._rotation.apply(q) if self.relative else self._rotation.apply_(q)
        self._write(layer, k, v)
        stored_space_q = (q if self.relative else rotated_q).flatten(2, 3)
        if self.before_layer is not None:
            self.before_layer(layer, stored_space_q)
        keys, values = self._readable(layer)
        chosen = self._activate(layer, stored_space_q)
        rotated_q = rotated_q.flatten(2, 3)
        if self.observer is not None:
            self.observer(layer, rotated_q, keys, self._kinds(chosen))
        if chosen is None:
            return self.backend(rotated_q, keys.flatten(2, 3), values.flatten(2, 3))
        return self.reader(rotated_q, keys, values, chosen, self._memory)

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Only write a chunk's keys and values into its slots."""
        self._write(layer, self._by_frame(k), self._by_frame(v))

    def _by_frame(self, x: Tensor) -> Tensor:
        """[B, heads, L, head_dim] -> [B, heads, frames, tokens, head_dim]."""
        return x.unflatten(2, (self.span.frames, -1))

    def _write(self, layer: int, k: Tensor, v: Tensor) -> None:
        keep = self.span.unwritten
        k = k if self.relative else self._rotation.apply_(k)
        self.cache.write(layer, self.span.start + keep, k[:, :, keep:], v[:, :, keep:], self.draft)

    def activated_frames(self) -> list[Tensor]:
        """What `activation` chose, as latent frames: one [B, heads, k] a layer."""
        at = self.cache.layout
        return [
            frames_of_slots(slots, self.cache.frames[layer], at.border, at.origin)
            for layer, slots in enumerate(self.activation)
        ]

    def _bounds(self) -> tuple[int, int, int]:
        """(first bank slot, first window slot, end) of the stretch of slots that is read."""
        at = self.cache.layout
        bank = 0 if self.zero_sink and at.sink_slots == 0 else at.bank
        sink = at.sink_slots if self.zero_sink else at.sink
        return at.border - bank, at.border + sink, at.border + sink + at.window

    @property
    def _memory(self) -> int:
        """How many of the frames that can be read are sink and bank."""
        return self._border - self._first

    def _readable(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of bank, sink and window, [B, heads, frames, tokens, head_dim]: views, unless rotated or
        kept in fp8."""
        slots = slice(self._first, self._end)
        keys, values = self.cache.keys(layer, slots), self.cache.values(layer, slots)
        return (self._rotate_read(layer, keys, self._first) if self.relative else keys), values

    def _activate(self, layer: int, q: Tensor) -> Tensor | None:
        """The memory frames that each head reads, [B, heads, k] counted from the first readable one; None: all."""
        sparse = self.top_k is not None and not (self.zero_sink and self.cache.layout.sink_slots == 0)
        if not sparse or self._memory == 0:
            return None
        chosen = activate(q, self.cache.mean_k[layer, :, :, self._first : self._border], min(self.top_k, self._memory))
        self.activation.append(chosen + self._first)
        return chosen if self.top_k < self._memory else None

    def _kinds(self, chosen: Tensor | None) -> Tensor:
        """SINK, BANK or WINDOW for each readable frame, [frames]; with `chosen` [B, heads, frames], the rest UNREAD."""
        slots = torch.arange(self._first, self._end, device=self.cache.device)
        kinds = torch.where(slots < self._border, torch.where(slots < self.cache.layout.border, BANK, SINK), WINDOW)
        if chosen is None:
            return kinds
        kinds = kinds.expand(*chosen.shape[:2], -1)
        read = (slots >= self._border).expand_as(kinds).scatter(-1, chosen, True)
        return torch.where(read, kinds, UNREAD)

    def _places(self, frames: Tensor) -> Tensor:
        """Positions of sink and window frames: the frame itself, or its place in the attended set."""
        if not self.relative:
            return frames
        at = self.cache.layout
        in_window = at.sink_slots + at.bank + frames - at.window_start
        return torch.where(frames - at.origin < at.sink_slots, frames - at.origin, in_window)

    def _rotate_read(self, layer: int, keys: Tensor, first: int) -> Tensor:
        """Rotate stored keys by their place: sink first, then the bank by age, then the window."""
        at, device = self.cache.layout, keys.device
        age = self.cache.frames[layer, :, first : at.border].argsort(dim=-1, stable=True).argsort(dim=-1)
        sink = torch.arange(at.sink_slots, device=device)
        ring = torch.arange(at.window_slots, device=device)
        turned = (ring - (at.window_start - at.origin - at.sink_slots)) % at.window_slots
        rest = torch.cat((sink, at.sink_slots + at.bank + turned))[: keys.shape[2] - age.shape[-1]]
        places = torch.cat((age + at.sink_slots, rest.expand(age.shape[0], -1)), dim=-1)  # [B, slots]
        return Rotation(self.rope.at(places).table[:, None]).apply(keys)
