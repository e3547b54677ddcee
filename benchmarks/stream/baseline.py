"""The published program's way of streaming, plainly: what `Stream` is measured against.

Every call clones each layer's cache and bank, rolls the cache, puts the new keys in, and concatenates sink, bank and
window for attention; only the context pass and a recache keep the outcome. Rotations are complex and in float64,
norms and modulations are steps of their own, time and text are embedded in every call. The numbers are those of
`MemoryConfig(retrieval="reference")`, which tests hold it to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import THETA, sinusoid
from memflow_core.stream import FlowSchedule, SeededNoise, denoising_timesteps


@dataclass
class LayerCache:
    """k, v [B, frames, tokens, heads, head_dim] of one layer: `filled` of them, up to latent frame `end`."""

    k: Tensor
    v: Tensor
    end: int = 0
    filled: int = 0


@dataclass
class LayerBank:
    """k, v as in `LayerCache`, and the newest recorded frame; `promised` counts what was recorded."""

    k: Tensor
    v: Tensor
    new_k: Tensor
    new_v: Tensor
    promised: int = 0


@dataclass(frozen=True)
class Call:
    """One pass: which latent frames, and what it may keep."""

    start: int
    frames: int
    update_bank: bool = False
    keep: bool = False
    record: bool = False


class PlainStream:
    """One `next()` is one chunk's latents [B, C, F, h, w], float32.

    tree    a Wan-layout module tree in the dtype to compute in.
    memory  of which retrieval is taken to be `reference`, with a sink, and `record` to be `interval`.
    """

    def __init__(self, tree: nn.Module, shape: LatentShape, memory: MemoryConfig, sampling: SamplingConfig, seed: int):
        self.tree, self.shape, self.memory, self.sampling = tree, shape, memory, sampling
        self.noise, self.flow = SeededNoise(seed), FlowSchedule(sampling.shift)
        self.timesteps = denoising_timesteps(sampling)
        weight = tree.blocks[0].self_attn.q.weight
        self.device, self.dtype, self.dim = weight.device, weight.dtype, weight.shape[0]
        self.heads = tree.blocks[0].self_attn.num_heads
        self.attended = memory.sink_frames + memory.window_frames
        self.caches = [LayerCache(*self._room(self.attended)) for _ in tree.blocks]
        self.banks = [LayerBank(*self._room(memory.bank_frames), *self._room(1)) for _ in tree.blocks]
        self.turns = self._turns()
        self.made: list[Tensor] = []
        self.chunk, self.text, self.next_text = 0, None, None
        self.cross: list[tuple[Tensor, Tensor] | None] = [None] * len(tree.blocks)

    def set_prompt(self, text: Tensor) -> None:
        """From the next chunk on. text [B, length, text_dim]."""
        self.next_text = text.to(self.device)

    def __next__(self) -> Tensor:
        if self.next_text is not None:
            self._switch()
        frames = self.sampling.chunk_frames
        start, size = self.chunk * frames, (self.shape.batch, 16, frames, self.shape.rows, self.shape.columns)
        draw = self.noise.chunk(self.chunk)
        x = draw(size).to(self.device)
        for step, timestep in enumerate(self.timesteps):
            x0 = self.flow.x0(x, self._forward(x, timestep, Call(start, frames, update_bank=step == 0)), timestep)
            if step + 1 < len(self.timesteps):
                x = self.flow.add_noise(x0, draw(size).to(self.device), self.timesteps[step + 1])
        due = self.chunk % self.memory.record_every == 0
        self._forward(x0, self.sampling.context_noise, Call(start, frames, keep=True, record=due))
        self.made.append(x0)
        self.chunk += 1
        return x0

    def _switch(self) -> None:
        """A new prompt: its keys are not known to the bank update that comes first, and the window is made again."""
        self.text, self.next_text = self.next_text, None
        self.cross = [None] * len(self.tree.blocks)
        end = self.chunk * self.sampling.chunk_frames
        if not end:
            return
        frames = min(self.attended, end)
        x = torch.cat(self.made, dim=2)[:, :, end - frames :]
        self._forward(x, 0.0, Call(end - frames, frames, update_bank=True, keep=True))
        self.cross = [None] * len(self.tree.blocks)

    # -- one pass -----------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor, timestep: float, call: Call) -> Tensor:
        tree, frames = self.tree, call.frames
        times = torch.full((frames,), timestep, device=self.device)
        time = tree.time_embedding(sinusoid(times, tree.time_embedding[0].in_features).to(self.dtype))
        shifts = tree.time_projection(time).unflatten(1, (6, self.dim))
        text = tree.text_embedding(self.text.to(self.dtype))
        if call.update_bank:
            for layer in range(len(tree.blocks)):
                self._update_bank(layer)
        tokens = tree.patch_embedding(x.to(self.dtype)).flatten(2).transpose(1, 2).contiguous()
        kept = []
        for layer, block in enumerate(tree.blocks):
            tokens, temporary = self._block(layer, block, tokens, shifts, text, call)
            kept.append(temporary)
        if call.keep:
            for layer, temporary in enumerate(kept):
                self._commit(layer, temporary, call)
        shift, scale = (tree.head.modulation + time[:, None]).unsqueeze(2).unbind(1)
        tokens = tree.head.head(_modulated(tree.head.norm(tokens), frames, shift, scale))
        flow = tokens.view(len(x), frames, self.shape.rows // 2, self.shape.columns // 2, 2, 2, -1)
        return flow.permute(0, 6, 1, 2, 4, 3, 5).reshape(x.shape).to(x.dtype)

    def _block(self, layer: int, block: nn.Module, x: Tensor, shifts: Tensor, text: Tensor, call: Call):
        m = (block.modulation + shifts).unsqueeze(2).unbind(1)
        y, temporary = self._self_attention(
            layer, block.self_attn, _modulated(block.norm1(x), call.frames, *m[:2]), call
        )
        x = x + _by_frame(y, call.frames, m[2])
        x = x + self._cross_attention(layer, block.cross_attn, block.norm3(x), text)
        y = block.ffn(_modulated(block.norm2(x), call.frames, *m[3:5]))
        return x + _by_frame(y, call.frames, m[5]), temporary

    def _cross_attention(self, layer: int, attn: nn.Module, x: Tensor, text: Tensor) -> Tensor:
        q = self._split(_plain_rms_norm(attn.norm_q, attn.q(x)))
        if self.cross[layer] is None:
            k = self._split(_plain_rms_norm(attn.norm_k, attn.k(text)))
            self.cross[layer] = k, self._split(attn.v(text))
        return attn.o(_attention(q, *self.cross[layer]).flatten(2))

    def _self_attention(self, layer: int, attn: nn.Module, x: Tensor, call: Call):
        q, k = (self._split(_plain_rms_norm(n, p(x))) for n, p in ((attn.norm_q, attn.q), (attn.norm_k, attn.k)))
        v = self._split(attn.v(x)).unflatten(1, (call.frames, -1))
        q, k = (self._rotate(part.unflatten(1, (call.frames, -1)), call.start) for part in (q, k))
        cache = self._with_new(self.caches[layer], k, v, call)
        keys, values = self._attended(layer, q.flatten(1, 2), cache)
        return attn.o(_attention(q.flatten(1, 2), keys, values).flatten(2)), cache

    # -- cache and bank -----------------------------------------------------------------------------------------------

    def _with_new(self, cache: LayerCache, k: Tensor, v: Tensor, call: Call) -> LayerCache:
        """A copy of the cache, rolled to make room, with the new frames in it."""
        sink, end, frames = self.memory.sink_frames, call.start + call.frames, call.frames
        again = end <= cache.end and call.start > 0
        new_k, new_v, filled = cache.k.clone(), cache.v.clone(), cache.filled
        if end > cache.end:
            over = max(0, filled + frames - self.attended)
            if over:
                for new in (new_k, new_v):
                    new[:, sink : filled - over] = new[:, sink + over : filled].clone()
            filled += end - cache.end - over
        first = max(filled - frames, sink) if again else filled - frames
        skipped = first - (filled - frames)
        new_k[:, first:filled], new_v[:, first:filled] = k[:, skipped:], v[:, skipped:]
        return LayerCache(new_k, new_v, max(end, cache.end), filled)

    def _attended(self, layer: int, q: Tensor, cache: LayerCache) -> tuple[Tensor, Tensor]:
        """Keys and values to read, [B, L, heads, head_dim]."""
        sink, bank = self.memory.sink_frames, self.banks[layer]
        held = min(bank.promised, self.memory.bank_frames)
        banked_k, banked_v = bank.k.clone(), bank.v.clone()
        k, v = (torch.cat((new[:, :sink], old[:, :held]), 1) for new, old in ((cache.k, banked_k), (cache.v, banked_v)))
        if self.memory.top_k is not None:
            k, v = _select(q, k, v, self.memory.top_k)
        window = slice(max(sink, cache.filled - self.memory.window_frames), cache.filled)
        k, v = torch.cat((k, cache.k[:, window]), 1), torch.cat((v, cache.v[:, window]), 1)
        return k.flatten(1, 2), v.flatten(1, 2)

    def _commit(self, layer: int, temporary: LayerCache, call: Call) -> None:
        again = temporary.end == self.caches[layer].end
        self.caches[layer] = temporary
        if call.record and not again:
            bank, newest = self.banks[layer], slice(temporary.filled - call.frames, temporary.filled - call.frames + 1)
            bank.new_k, bank.new_v = temporary.k[:, newest].clone(), temporary.v[:, newest].clone()
            bank.promised += 1

    def _update_bank(self, layer: int) -> None:
        bank, size = self.banks[layer], self.memory.bank_frames
        if not size or not bank.promised:
            return
        if bank.promised <= size:
            place = slice(bank.promised - 1, bank.promised)
            bank.k[:, place], bank.v[:, place] = bank.new_k, bank.new_v
            return
        known = self.cross[layer]
        text = torch.zeros_like(bank.k[:, 0]) if known is None else known[0]
        scores = torch.einsum("bhd,bnhd->bn", text.mean(1), bank.k.mean(2))
        best = scores.sort(dim=-1, descending=True, stable=True).indices[:, : size - 1, None, None, None]
        for name in ("k", "v"):
            old, new = getattr(bank, name), getattr(bank, f"new_{name}")
            setattr(bank, name, torch.cat((old.gather(1, best.expand(-1, -1, *old.shape[2:])), new), 1))

    # -- small parts --------------------------------------------------------------------------------------------------

    def _room(self, frames: int) -> tuple[Tensor, Tensor]:
        size = (self.shape.batch, frames, self.shape.tokens, self.heads, self.dim // self.heads)
        return tuple(torch.zeros(size, dtype=self.dtype, device=self.device) for _ in range(2))

    def _split(self, x: Tensor) -> Tensor:
        """[B, L, dim] -> [B, L, heads, head_dim]."""
        return x.unflatten(2, (self.heads, -1))

    def _turns(self) -> list[Tensor]:
        """exp(i angle) by time, row and column: complex128 [1024 positions, pairs] each."""
        pairs = self.dim // self.heads // 2
        positions = torch.arange(1024, dtype=torch.float64, device=self.device)[:, None]
        sizes = pairs - 2 * (pairs // 3), pairs // 3, pairs // 3
        exponents = (torch.arange(size, dtype=torch.float64, device=self.device) / size for size in sizes)
        return [torch.polar(torch.ones_like(a), a) for a in (positions * THETA**-exponent for exponent in exponents)]

    def _rotate(self, x: Tensor, start: int) -> Tensor:
        """x [B, frames, tokens, heads, head_dim]."""
        frames, rows, columns = x.shape[1], self.shape.rows // 2, self.shape.columns // 2
        time, row, column = self.turns
        turn = torch.cat(
            (
                time[start : start + frames].view(frames, 1, 1, -1).expand(-1, rows, columns, -1),
                row[:rows].view(1, rows, 1, -1).expand(frames, -1, columns, -1),
                column[:columns].view(1, 1, columns, -1).expand(frames, rows, -1, -1),
            ),
            dim=-1,
        ).view(frames, rows * columns, 1, -1)
        pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)


def _plain_rms_norm(norm: nn.Module, x: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + norm.eps)).to(x.dtype) * norm.weight


def _by_frame(x: Tensor, frames: int, factor: Tensor) -> Tensor:
    return (x.unflatten(1, (frames, -1)) * factor).flatten(1, 2)


def _modulated(x: Tensor, frames: int, shift: Tensor, scale: Tensor) -> Tensor:
    return (x.unflatten(1, (frames, -1)) * (1 + scale) + shift).flatten(1, 2)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """[B, L, heads, head_dim] each."""
    out = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
    return out.transpose(1, 2).contiguous()


def _select(q: Tensor, k: Tensor, v: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """SMA: each head's best frames of k, v [B, frames, tokens, heads, head_dim]."""
    scores = torch.einsum("bhd,bnhd->bhn", q.mean(1), k.mean(2))
    best = scores.topk(min(top_k, k.shape[1]), dim=-1).indices.sort(dim=-1).values
    index = best.transpose(1, 2)[:, :, None, :, None].expand(-1, -1, k.shape[2], -1, k.shape[4])
    return k.gather(1, index), v.gather(1, index)
