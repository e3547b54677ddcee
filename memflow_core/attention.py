"""Self-attention over a chunk and its memory, and Sparse Memory Activation (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention_share import BANK, SINK, WINDOW
from .backbone import AttentionBackend
from .cache import KVCache
from .rope import Rope, Rotation
from .trace import frames_of_slots


def activate(q: Tensor, mean_k: Tensor, top_k: int) -> Tensor:
    """SMA: the memory frames each head reads.

    A frame's relevance is the dot product of the chunk's mean query and the frame's mean key, per head.
    q [B, heads, L, head_dim], mean_k [B, heads, n, head_dim] -> frame indices [B, heads, top_k], ascending.
    """
    relevance = torch.einsum("bhd,bhnd->bhn", q.mean(dim=2, dtype=torch.float32), mean_k)
    return relevance.topk(top_k, dim=-1).indices.sort(dim=-1).values


def take_frames(x: Tensor, chosen: Tensor) -> Tensor:
    """x [B, heads, n, tokens, head_dim], chosen [B, heads, k] -> [B, heads, k, tokens, head_dim]."""
    return x.gather(2, chosen[..., None, None].expand(*chosen.shape, *x.shape[3:]))


@dataclass(frozen=True)
class Span:
    """The latent frames of one forward. The first `unwritten` of them only ask: their keys are not stored."""

    start: int
    frames: int
    unwritten: int = 0


LayerHook = Callable[[int, Tensor], None]
"""Called with (layer, q [B, heads, L, head_dim] in the form that stored keys are met with) before a layer attends."""

AttentionObserver = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called with (layer, q, keys, kinds) as a layer attends: see `attention_share.ShareMeter`."""


class MemoryAttention:
    """The `Attend` of a stream: writes a chunk's keys into its slots, then reads bank, sink and window.

    top_k       SMA over sink + bank; None reads every frame.
    relative    keys are stored before RoPE and rotated when read, by their place in the attended set.
    zero_sink   published behaviour: the sink is read whole even while its slots are still empty, and a stream
                without a sink reads no bank.
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
    ):
        self.cache, self.rope, self.backend = cache, rope, backend
        self.top_k, self.relative, self.zero_sink = top_k, relative, zero_sink
        self.activation: list[Tensor] = []

    def begin(
        self, span: Span, before_layer: LayerHook | None = None, observer: AttentionObserver | None = None
    ) -> None:
        """Set up one forward. `cache.at` must already say which slots hold these frames."""
        self.span, self.before_layer, self.observer = span, before_layer, observer
        self.activation = []
        frames = torch.arange(span.start, span.start + span.frames, device=self.cache.device)
        self._rotation = self.rope.at(self._places(frames))

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(2, (self.span.frames, -1)) for x in (q, k, v))
        rotated_q = self._rotation.apply(q)
        stored_k, meeting_q = (k, q) if self.relative else (self._rotation.apply(k), rotated_q)
        keep = self.span.unwritten
        self.cache.write(layer, self.span.start + keep, stored_k[:, :, keep:], v[:, :, keep:])
        meeting_q = meeting_q.flatten(2, 3)
        if self.before_layer is not None:
            self.before_layer(layer, meeting_q)
        keys, values = self._attended(layer, meeting_q)
        rotated_q = rotated_q.flatten(2, 3)
        if self.observer is not None:
            self.observer(layer, rotated_q, keys, self._kinds(keys))
        return self.backend(rotated_q, keys.flatten(2, 3), values.flatten(2, 3))

    def activated_frames(self) -> list[Tensor]:
        """What `activation` chose, as latent frames: one [B, heads, k] a layer."""
        at = self.cache.at
        return [
            frames_of_slots(slots, self.cache.frames[layer], at.border, at.origin)
            for layer, slots in enumerate(self.activation)
        ]

    def _bounds(self) -> tuple[int, int, int]:
        """(first bank slot, first window slot, end) of the stretch of slots that is read."""
        at = self.cache.at
        bank = 0 if self.zero_sink and at.sink_slots == 0 else at.bank
        sink = at.sink_slots if self.zero_sink else at.sink
        return at.border - bank, at.border + sink, at.border + sink + at.window

    def _attended(self, layer: int, q: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values to read, [B, heads, frames, tokens, head_dim]: views, unless SMA leaves frames out, or the
        cache keeps fp8."""
        first, border, end = self._bounds()
        keys = self.cache.keys(layer, slice(first, end))
        if self.relative:
            keys = self._rotate_read(layer, keys, first)
        values = self.cache.values(layer, slice(first, end))
        memory = border - first
        sparse = self.top_k is not None and not (self.zero_sink and self.cache.at.sink_slots == 0)
        if not sparse or memory == 0:
            return keys, values
        chosen = activate(q, self.cache.mean_k[layer, :, :, first:border], min(self.top_k, memory))
        self.activation.append(chosen + first)
        if self.top_k >= memory:
            return keys, values
        return (
            torch.cat((take_frames(keys[:, :, :memory], chosen), keys[:, :, memory:]), dim=2),
            torch.cat((take_frames(values[:, :, :memory], chosen), values[:, :, memory:]), dim=2),
        )

    def _kinds(self, keys: Tensor) -> Tensor:
        """SINK, BANK or WINDOW for each frame that is read: [frames], or [B, heads, frames] where SMA chose."""
        first, border, end = self._bounds()
        slots = torch.arange(first, end, device=keys.device)
        if keys.shape[2] < end - first:
            chosen = self.activation[-1]
            slots = torch.cat((chosen, slots[border - first :].expand(*chosen.shape[:2], -1)), dim=-1)
        older = torch.where(slots < self.cache.at.border, BANK, SINK)
        return torch.where(slots < border, older, WINDOW)

    def _places(self, frames: Tensor) -> Tensor:
        """Positions of sink and window frames: the frame itself, or its place in the attended set."""
        if not self.relative:
            return frames
        at = self.cache.at
        in_window = at.sink_slots + at.bank + frames - at.window_start
        return torch.where(frames - at.origin < at.sink_slots, frames - at.origin, in_window)

    def _rotate_read(self, layer: int, keys: Tensor, first: int) -> Tensor:
        """Rotate stored keys by their place: sink first, then the bank by age, then the window."""
        at, device = self.cache.at, keys.device
        age = self.cache.frames[layer, :, first : at.border].argsort(dim=-1, stable=True).argsort(dim=-1)
        sink = torch.arange(at.sink_slots, device=device)
        ring = torch.arange(at.window_slots, device=device)
        turned = (ring - (at.window_start - at.origin - at.sink_slots)) % at.window_slots
        rest = torch.cat((sink, at.sink_slots + at.bank + turned))[: keys.shape[2] - age.shape[-1]]
        places = torch.cat((age + at.sink_slots, rest.expand(age.shape[0], -1)), dim=-1)  # [B, slots]
        rotation = self.rope.at(places)
        return Rotation(rotation.cos[:, None], rotation.sin[:, None]).apply(keys)
