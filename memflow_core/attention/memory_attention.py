"""Self-attention over a chunk and its memory, with Sparse Memory Activation (SMA, section 3.3 of arXiv 2512.14699)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..memory import FrameSpan, KVCache, LayerHook, Stretch, frames_of_slots
from ..model import AttentionBackend, Rope, Rotation
from .activation import activate
from .rope_write import MOST_RUNS, Destination, RopeWrite
from .share import BANK, SINK, UNREAD, WINDOW
from .sparse import GatherAttention, SparseAttention

AttentionObserver = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called with (layer, q, keys, kinds) as a layer attends: see `share.AttentionShareMeter`."""


class MemoryAttention:
    """Self-attention of a stream over bank, sink, window and the chunk itself; `begin` makes one pass of it.

    top_k             SMA over sink + bank; None reads every frame.
    relative          keys are stored before RoPE and rotated when read, by their place in the attended set.
    reads_empty_sink  published behaviour: the sink is read whole even while its slots are still empty, and a stream
                      without a sink reads no bank.
    shot_offset       how far absolute positions move on at each of the layout's jumps.
    reader            how the frames that SMA chose are read; None: copied side by side, then read by `backend`.
    bank_layers       layers that read the bank; None: all.
    rope_write        rotates and writes in one step, where no gradients are recorded and keys are not kept in fp8;
                      None: one after the other.
    """

    def __init__(
        self,
        cache: KVCache,
        rope: Rope,
        *,
        backend: AttentionBackend,
        top_k: int | None = None,
        relative: bool = False,
        reads_empty_sink: bool = False,
        shot_offset: int = 0,
        reader: SparseAttention | None = None,
        bank_layers: Collection[int] | None = None,
        rope_write: RopeWrite | None = None,
    ):
        self.cache = cache
        self.rope = rope
        self.backend = backend
        self.top_k = top_k
        self.relative = relative
        self.reads_empty_sink = reads_empty_sink
        self.shot_offset = shot_offset
        self.reader = reader or GatherAttention(backend)
        self.bank_layers = None if bank_layers is None else frozenset(bank_layers)
        self.rope_write = rope_write
        self._rotation: tuple[tuple[int, ...], Rotation] | None = None
        self._places: Tensor | None = None

    def begin(
        self,
        span: FrameSpan,
        *,
        before_layer: LayerHook | None = None,
        observer: AttentionObserver | None = None,
        draft: bool = False,
    ) -> AttentionPass:
        """Set up one forward pass over `span`. `cache.layout` must already say which slots hold these frames.

        before_layer  called before each layer attends.
        observer      called as each layer attends.
        draft         a denoising pass: a later pass overwrites its keys before other chunks read them, so their mean
                      keys are not computed.
        """
        # SMA may read a sink that is just being made, so its mean keys are always written
        draft = draft and not self.cache.layout.in_sink(span.start)
        return AttentionPass(self, span, before_layer=before_layer, observer=observer, draft=draft)

    def position(self, frame: int) -> int:
        """Where a frame stands for RoPE where positions are absolute: its number in the present story, moved on by the
        jumps before it."""
        layout = self.cache.layout
        jumps = sum(frame >= jump for jump in layout.jumps)
        # pictures are numbered below zero, and belong to no story
        return (frame if frame < 0 else frame - layout.began) + jumps * self.shot_offset

    def rotation(self, positions: tuple[int, ...]) -> Rotation:
        """The rotation of queries or keys [..., frames * tokens, head_dim] at RoPE positions; the last one is kept.

        All passes of a chunk stand at the same positions, and with relative ones all chunks, once the window is full.
        """
        if self._rotation is None or self._rotation[0] != positions:
            self._rotation = positions, self.rotation_of(positions).over_rows()
        return self._rotation[1]

    def rotation_of(self, positions: Sequence[int]) -> Rotation:
        """The rotation of frames [..., frames, tokens, head_dim] at RoPE positions."""
        # a number at a time: a list would be waited for on its way to a GPU
        at = [torch.full((1,), position, device=self.cache.device) for position in positions]
        return self.rope.at(torch.cat(at))

    def rotation_at_places(self, places: Tensor) -> Rotation:
        """The rotation of keys [B, heads, slots, tokens, head_dim] at places [B, slots] int64 in the attended set."""
        if self._places is None:
            self._places = self.rope.at(torch.arange(self.cache.layout.total, device=self.cache.device)).table
        return Rotation(self._places[places][:, None])


class AttentionPass:
    """Self-attention of one forward pass, an `Attend`: writes keys into their slots, then reads bank, sink and window.

    activation  slot numbers chosen by SMA, [B, heads, k] int64, by layer; none where a layer reads no memory.
    """

    def __init__(
        self,
        attention: MemoryAttention,
        span: FrameSpan,
        *,
        before_layer: LayerHook | None,
        observer: AttentionObserver | None,
        draft: bool,
    ):
        self.attention = attention
        self.cache = attention.cache
        self.span = span
        self.activation: dict[int, Tensor] = {}
        self._relative = attention.relative
        self._before_layer = before_layer
        self._observer = observer
        self._draft = draft
        self._rotation = attention.rotation(self._positions())
        self._runs = self.cache.layout.runs(span.stored.start, len(span.stored))
        fits = len(self._runs) <= MOST_RUNS and not self.cache.in_fp8 and not torch.is_grad_enabled()
        self._fused = attention.rope_write if fits else None
        self._with_bank, self._border, self._end = self._bounds()
        self._kinds_of: dict[int, Tensor] = {}
        self._places: Sequence[Tensor] | None = None

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend in one layer: q, k, v [B, heads, L, head_dim] before RoPE -> [B, heads, L, head_dim]."""
        rotated_q = self._turn_and_store(layer, q, k, v)
        # keys stored before RoPE are met with queries that are not rotated either
        stored_space_q = q if self._relative else rotated_q
        if self._before_layer is not None:
            self._before_layer(layer, stored_space_q)
        read = self._readable(layer)
        chosen = self._activate(layer, stored_space_q)
        if self._observer is not None:
            self._observer(layer, rotated_q, read.rows_k, self._kinds(layer, chosen))
        if not rotated_q.numel():
            # a process that shares the stream may have no heads of its own
            return rotated_q
        if chosen is None:
            return self.attention.backend(rotated_q, read.rows_k, read.rows_v)
        return self.attention.reader(rotated_q, read.k, read.v, chosen, self._border - self._first(layer))

    def store(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Only write keys and values [B, heads, L, head_dim] into their slots; k may be overwritten."""
        self._turn_and_store(layer, k[:, :, :0], k, v)

    def _turn_and_store(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`store`, and queries, or none, rotated, as q; q may be overwritten where positions are absolute."""
        skip = self.span.query_only * self.cache.tokens
        if self._fused is not None:
            to = Destination(
                self._rotation.table, *self.cache.slots(layer), self._runs, skip, turn_keys=not self._relative
            )
            rotated_q = self._fused(q, k, v, to)
            if not self._draft:
                self.cache.mean_keys(layer, self._runs)
            return rotated_q
        rotated_q = q
        if q.shape[2]:
            rotated_q = self._rotation.apply(q) if self._relative else self._rotation.turn_(q).to(q.dtype)
        # float32 is rounded as it is written
        turned = k if self._relative else self._rotation.turn_(k)
        if skip:
            turned, v = turned[:, :, skip:], v[:, :, skip:]
        self.cache.write(layer, self._runs, turned, v, self._draft)
        return rotated_q

    def activated_frames(self) -> list[Tensor]:
        """Latent frames that `activation` chose, [B, heads, k] int64 each, for all heads of the model."""
        if not self.activation:
            return []
        cache, slots = self.cache, torch.stack(list(self.activation.values()))  # [layers, B, heads, k]
        bank = torch.stack([cache.frames[layer] for layer in self.activation]).flatten(0, 1)
        frames = frames_of_slots(slots.flatten(0, 1), bank, cache.layout.border, cache.layout.origin)
        return cache.share.gather(list(frames.view_as(slots)), dim=1)

    def _bounds(self) -> tuple[int, int, int]:
        """(first bank slot, first window slot, end) of the stretch of slots that is read."""
        layout, whole_sink = self.cache.layout, self.attention.reads_empty_sink
        bank = 0 if whole_sink and layout.sink_slots == 0 else layout.bank
        sink = layout.sink_slots if whole_sink else layout.sink
        return layout.border - bank, layout.border + sink, layout.border + sink + layout.window

    def _first(self, layer: int) -> int:
        """The first slot that a layer reads: that of the bank, or of the sink in a layer that reads no bank."""
        reads_bank = self.attention.bank_layers is None or layer in self.attention.bank_layers
        return self._with_bank if reads_bank else self.cache.layout.border

    def _readable(self, layer: int) -> Stretch:
        """Keys and values of bank, sink and window: views, but for keys that are rotated here and a cache in fp8."""
        read = self.cache.read(layer, slice(self._first(layer), self._end))
        return replace(read, k=self._rotate_read(layer, read.k)) if self._relative else read

    def _activate(self, layer: int, q: Tensor) -> Tensor | None:
        """The memory frames that each head reads, [B, heads, k] counted from the first readable one; None: all."""
        top_k = self.attention.top_k
        no_sink = self.attention.reads_empty_sink and self.cache.layout.sink_slots == 0
        first = self._first(layer)
        memory = self._border - first  # sink and bank frames that can be read
        if top_k is None or no_sink or memory == 0:
            return None
        chosen = activate(q, self.cache.mean_k[layer, :, :, first : self._border], min(top_k, memory))
        self.activation[layer] = chosen + first
        return chosen if top_k < memory else None

    def _kinds(self, layer: int, chosen: Tensor | None) -> Tensor:
        """SINK, BANK or WINDOW for each readable frame, [frames]; with `chosen` [B, heads, frames], the rest UNREAD."""
        first = self._first(layer)
        if first not in self._kinds_of:
            slots = torch.arange(first, self._end, device=self.cache.device)
            memory = torch.where(slots < self.cache.layout.border, BANK, SINK)
            self._kinds_of[first] = torch.where(slots < self._border, memory, WINDOW)
        kinds = self._kinds_of[first]
        if chosen is None:
            return kinds
        kinds = kinds.expand(*chosen.shape[:2], -1)
        read = (kinds == WINDOW).scatter(-1, chosen, True)
        return torch.where(read, kinds, UNREAD)

    def _positions(self) -> tuple[int, ...]:
        """RoPE positions of the span's frames: the frame itself, or its place in the attended set."""
        position = self._place if self._relative else self.attention.position
        return tuple(position(frame) for frame in self.span.all)

    def _place(self, frame: int) -> int:
        """A frame's place in the attended set: sink, bank, window."""
        layout = self.cache.layout
        if frame - layout.origin < layout.sink_slots:
            return frame - layout.origin
        return layout.sink_slots + layout.bank + frame - layout.window_start

    def _rotate_read(self, layer: int, keys: Tensor) -> Tensor:
        """Rotate stored keys [B, heads, slots, tokens, head_dim] by their place in the attended set."""
        if self._before_layer is not None:
            # which may have changed what the layer's bank holds
            places = self._read_places(slice(layer, layer + 1))[0]
        else:
            if self._places is None:
                self._places = self._read_places(slice(None)).unbind()
            places = self._places[layer]
        return self.attention.rotation_at_places(places[:, -keys.shape[2] :]).apply(keys)

    def _read_places(self, layers: slice) -> Tensor:
        """Places of the slots that are read, [layers, B, slots]: sink first, then the bank by age, then the window."""
        layout, device = self.cache.layout, self.cache.device
        bank_frames = self.cache.frames[layers, :, self._with_bank : layout.border]
        age = bank_frames.argsort(dim=-1, stable=True).argsort(dim=-1)
        sink = torch.arange(layout.sink_slots, device=device)
        ring = torch.arange(layout.window_slots, device=device)
        turned = (ring - (layout.window_start - layout.origin - layout.sink_slots)) % layout.window_slots
        rest = torch.cat((sink, layout.sink_slots + layout.bank + turned))[: self._end - layout.border]
        return torch.cat((age + layout.sink_slots, rest.expand(*age.shape[:2], -1)), dim=-1)
