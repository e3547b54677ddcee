"""Plain streaming program, written as the published one works: the baseline of `benchmarks.stream`.

Every pass clones each layer's cache and bank, rolls the cache, puts the new keys in, and concatenates sink, bank and
window for attention. Only the context pass and a recache keep the result. Rotations are complex and in float64, norms
and modulations are steps of their own, time and text are embedded in every pass. The latents are those of
`MemoryConfig(retrieval="reference")`; tests compare them.
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
    """Keys and values of one layer, [B, frames, tokens, heads, head_dim]: `filled` frames, up to latent frame `end`."""

    k: Tensor
    v: Tensor
    end: int = 0
    filled: int = 0


@dataclass
class LayerBank:
    """Bank of one layer, as in `LayerCache`, and the newest recorded frame; `recorded` counts all recorded frames."""

    k: Tensor
    v: Tensor
    new_k: Tensor
    new_v: Tensor
    recorded: int = 0


@dataclass(frozen=True)
class Call:
    """One pass over latent frames from `start` on.

    update_bank  update the bank before it.
    keep         keep the new keys in the cache.
    record       record the first frame for the bank.
    """

    start: int
    frames: int
    update_bank: bool = False
    keep: bool = False
    record: bool = False


class PlainStream:
    """Stream whose `next()` returns one chunk's latents, float32 [B, C, F, h, w].

    tree    Wan-layout module tree in the dtype to compute in.
    memory  taken as `reference` retrieval with a sink, and `record` as `interval`.
    """

    def __init__(self, tree: nn.Module, shape: LatentShape, memory: MemoryConfig, sampling: SamplingConfig, seed: int):
        self.tree = tree
        self.shape = shape
        self.memory = memory
        self.sampling = sampling
        self.noise = SeededNoise(seed)
        self.flow = FlowSchedule(sampling.shift)
        self.timesteps = denoising_timesteps(sampling)
        weight = tree.blocks[0].self_attn.q.weight
        self.device = weight.device
        self.dtype = weight.dtype
        self.dim = weight.shape[0]
        self.heads = tree.blocks[0].self_attn.num_heads
        self.attended = memory.sink_frames + memory.window_frames
        self.caches = [LayerCache(k=self._zeros(self.attended), v=self._zeros(self.attended)) for _ in tree.blocks]
        self.banks = [self._empty_bank(memory.bank_frames) for _ in tree.blocks]
        self.rotations = self._rotations()
        self.latents: list[Tensor] = []
        self.chunk = 0
        self.text: Tensor | None = None
        self.next_text: Tensor | None = None
        self.cross: list[tuple[Tensor, Tensor] | None] = [None] * len(tree.blocks)

    def set_prompt(self, text: Tensor) -> None:
        """Set the prompt of the coming chunks: its embedding, [B, length, text_dim]."""
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
        self.latents.append(x0)
        self.chunk += 1
        return x0

    def _switch(self) -> None:
        """Switch to the new prompt: recache the window. The bank update before it does not know the prompt's keys."""
        self.text, self.next_text = self.next_text, None
        self.cross = [None] * len(self.tree.blocks)
        end = self.chunk * self.sampling.chunk_frames
        if not end:
            return
        frames = min(self.attended, end)
        x = torch.cat(self.latents, dim=2)[:, :, end - frames :]
        self._forward(x, 0.0, Call(end - frames, frames, update_bank=True, keep=True))
        self.cross = [None] * len(self.tree.blocks)

    # -- one pass -----------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor, timestep: float, call: Call) -> Tensor:
        tree, frames = self.tree, call.frames
        times = torch.full((frames,), timestep, device=self.device)
        time = tree.time_embedding(sinusoid(times, tree.time_embedding[0].in_features).to(self.dtype))
        modulation = tree.time_projection(time).unflatten(1, (6, self.dim))
        text = tree.text_embedding(self.text.to(self.dtype))
        if call.update_bank:
            for layer in range(len(tree.blocks)):
                self._update_bank(layer)
        tokens = tree.patch_embedding(x.to(self.dtype)).flatten(2).transpose(1, 2).contiguous()
        temporary = []
        for layer in range(len(tree.blocks)):
            tokens, cache = self._block(layer, tokens, modulation=modulation, text=text, call=call)
            temporary.append(cache)
        if call.keep:
            for layer, cache in enumerate(temporary):
                self._commit(layer, cache, call)
        shift, scale = (tree.head.modulation + time[:, None]).unsqueeze(2).unbind(1)
        tokens = tree.head.head(_modulated(tree.head.norm(tokens), frames, shift, scale))
        flow = tokens.view(len(x), frames, self.shape.rows // 2, self.shape.columns // 2, 2, 2, -1)
        return flow.permute(0, 6, 1, 2, 4, 3, 5).reshape(x.shape).to(x.dtype)

    def _block(
        self, layer: int, x: Tensor, *, modulation: Tensor, text: Tensor, call: Call
    ) -> tuple[Tensor, LayerCache]:
        block, frames = self.tree.blocks[layer], call.frames
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (block.modulation + modulation).unsqueeze(2).unbind(1)
        y, cache = self._self_attention(
            layer, block.self_attn, _modulated(block.norm1(x), frames, shift_a, scale_a), call
        )
        x = x + _by_frame(y, frames, gate_a)
        x = x + self._cross_attention(layer, block.cross_attn, block.norm3(x), text)
        y = block.ffn(_modulated(block.norm2(x), frames, shift_f, scale_f))
        return x + _by_frame(y, frames, gate_f), cache

    def _cross_attention(self, layer: int, attn: nn.Module, x: Tensor, text: Tensor) -> Tensor:
        q = self._split(_plain_rms_norm(attn.norm_q, attn.q(x)))
        if self.cross[layer] is None:
            k = self._split(_plain_rms_norm(attn.norm_k, attn.k(text)))
            self.cross[layer] = k, self._split(attn.v(text))
        return attn.o(_attention(q, *self.cross[layer]).flatten(2))

    def _self_attention(self, layer: int, attn: nn.Module, x: Tensor, call: Call) -> tuple[Tensor, LayerCache]:
        q, k = (self._split(_plain_rms_norm(n, p(x))) for n, p in ((attn.norm_q, attn.q), (attn.norm_k, attn.k)))
        v = self._split(attn.v(x)).unflatten(1, (call.frames, -1))
        q, k = (self._rotate(part.unflatten(1, (call.frames, -1)), call.start) for part in (q, k))
        cache = self._with_new(self.caches[layer], k, v, call)
        keys, values = self._attended(layer, q.flatten(1, 2), cache)
        return attn.o(_attention(q.flatten(1, 2), keys, values).flatten(2)), cache

    # -- cache and bank -----------------------------------------------------------------------------------------------

    def _with_new(self, cache: LayerCache, k: Tensor, v: Tensor, call: Call) -> LayerCache:
        """Return a copy of the cache, rolled to make room, with the new frames in it."""
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
        """Return the keys and values to read, [B, L, heads, head_dim]."""
        sink, bank = self.memory.sink_frames, self.banks[layer]
        held = min(bank.recorded, self.memory.bank_frames)
        banked_k, banked_v = bank.k.clone(), bank.v.clone()
        k, v = (torch.cat((new[:, :sink], old[:, :held]), 1) for new, old in ((cache.k, banked_k), (cache.v, banked_v)))
        if self.memory.top_k is not None:
            k, v = _select(q, k, v, self.memory.top_k)
        window = slice(max(sink, cache.filled - self.memory.window_frames), cache.filled)
        k, v = torch.cat((k, cache.k[:, window]), 1), torch.cat((v, cache.v[:, window]), 1)
        return k.flatten(1, 2), v.flatten(1, 2)

    def _commit(self, layer: int, cache: LayerCache, call: Call) -> None:
        again = cache.end == self.caches[layer].end
        self.caches[layer] = cache
        if call.record and not again:
            bank, first = self.banks[layer], cache.filled - call.frames
            bank.new_k = cache.k[:, first : first + 1].clone()
            bank.new_v = cache.v[:, first : first + 1].clone()
            bank.recorded += 1

    def _update_bank(self, layer: int) -> None:
        bank, size = self.banks[layer], self.memory.bank_frames
        if not size or not bank.recorded:
            return
        if bank.recorded <= size:
            slot = slice(bank.recorded - 1, bank.recorded)
            bank.k[:, slot] = bank.new_k
            bank.v[:, slot] = bank.new_v
            return
        known = self.cross[layer]
        text = torch.zeros_like(bank.k[:, 0]) if known is None else known[0]
        scores = torch.einsum("bhd,bnhd->bn", text.mean(1), bank.k.mean(2))
        best = scores.sort(dim=-1, descending=True, stable=True).indices[:, : size - 1, None, None, None]
        for name in ("k", "v"):
            old, new = getattr(bank, name), getattr(bank, f"new_{name}")
            setattr(bank, name, torch.cat((old.gather(1, best.expand(-1, -1, *old.shape[2:])), new), 1))

    # -- small parts --------------------------------------------------------------------------------------------------

    def _zeros(self, frames: int) -> Tensor:
        size = (self.shape.batch, frames, self.shape.tokens, self.heads, self.dim // self.heads)
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def _empty_bank(self, frames: int) -> LayerBank:
        return LayerBank(self._zeros(frames), self._zeros(frames), new_k=self._zeros(1), new_v=self._zeros(1))

    def _split(self, x: Tensor) -> Tensor:
        """[B, L, dim] -> [B, L, heads, head_dim]."""
        return x.unflatten(2, (self.heads, -1))

    def _rotations(self) -> list[Tensor]:
        """Compute RoPE's exp(i angle) by time, row and column: complex128 [1024 positions, pairs] each."""
        pairs = self.dim // self.heads // 2
        positions = torch.arange(1024, dtype=torch.float64, device=self.device)[:, None]
        sizes = pairs - 2 * (pairs // 3), pairs // 3, pairs // 3
        exponents = (torch.arange(size, dtype=torch.float64, device=self.device) / size for size in sizes)
        return [torch.polar(torch.ones_like(a), a) for a in (positions * THETA**-exponent for exponent in exponents)]

    def _rotate(self, x: Tensor, start: int) -> Tensor:
        """Apply RoPE to x, [B, frames, tokens, heads, head_dim], whose first latent frame is `start`."""
        frames, rows, columns = x.shape[1], self.shape.rows // 2, self.shape.columns // 2
        time, row, column = self.rotations
        rotation = torch.cat(
            (
                time[start : start + frames].view(frames, 1, 1, -1).expand(-1, rows, columns, -1),
                row[:rows].view(1, rows, 1, -1).expand(frames, -1, columns, -1),
                column[:columns].view(1, 1, columns, -1).expand(frames, rows, -1, -1),
            ),
            dim=-1,
        ).view(frames, rows * columns, 1, -1)
        pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * rotation).flatten(-2).to(x.dtype)


def _plain_rms_norm(norm: nn.Module, x: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + norm.eps)).to(x.dtype) * norm.weight


def _by_frame(x: Tensor, frames: int, factor: Tensor) -> Tensor:
    return (x.unflatten(1, (frames, -1)) * factor).flatten(1, 2)


def _modulated(x: Tensor, frames: int, shift: Tensor, scale: Tensor) -> Tensor:
    return (x.unflatten(1, (frames, -1)) * (1 + scale) + shift).flatten(1, 2)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend: q, k, v and the result are [B, L, heads, head_dim]."""
    out = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
    return out.transpose(1, 2).contiguous()


def _select(q: Tensor, k: Tensor, v: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Keep each head's `top_k` best frames of k and v, [B, frames, tokens, heads, head_dim] (SMA)."""
    scores = torch.einsum("bhd,bnhd->bhn", q.mean(1), k.mean(2))
    best = scores.topk(min(top_k, k.shape[1]), dim=-1).indices.sort(dim=-1).values
    index = best.transpose(1, 2)[:, :, None, :, None].expand(-1, -1, k.shape[2], -1, k.shape[4])
    return k.gather(1, index), v.gather(1, index)
