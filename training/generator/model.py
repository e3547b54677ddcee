"""The generator in training: the forward pass of a stream, over a whole sample at once and under a mask.

Weights, block, modulation and head are those of `memflow_core`. Here each frame of each sample has a timestep, a
position and a prompt of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memflow_core.config import ModelConfig
from memflow_core.model import Backbone, Rope, Rotation, TextKV, WanModel
from memflow_core.weights import END, TextConfig, TextEncoder

from ..cartoons import vocabulary

_TEXT = TextConfig(vocabulary(), length=16, width=128, heads=2, layers=2, ffn_dim=256)

PRESETS = {
    # 2.1 million weights with the text encoder, 4.2 MB
    "small": ModelConfig(dim=128, num_heads=1, num_layers=6, ffn_dim=512, text_dim=_TEXT.width),
    # 7.6 million, 15 MB
    "large": ModelConfig(dim=256, num_heads=2, num_layers=6, ffn_dim=1024, text_dim=_TEXT.width),
}


class Generator(nn.Module):
    """Text encoder and Wan-layout tree, which are trained together."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.text = TextEncoder(_TEXT)
        self.tree = WanModel(config)
        initialise(self)

    def embed_text(self, embedded: Tensor) -> list[TextKV]:
        """Return cross-attention keys and values of embedded prompts, [prompts, length, text_dim].

        They are [prompts, heads, length, head_dim] for each layer, as a stream has them.
        """
        return Backbone(self.tree).embed_text(embedded)


@torch.no_grad()
def initialise(generator: Generator) -> None:
    """Set first weights in place: the head is zero, and so the first flow; the gates of the blocks are half open."""
    nn.init.normal_(generator.text.embedding.weight, std=0.5)
    nn.init.normal_(generator.text.position, std=0.1)
    nn.init.zeros_(generator.tree.head.head.weight)
    nn.init.zeros_(generator.tree.head.head.bias)
    for block in generator.tree.blocks:
        nn.init.normal_(block.modulation, std=0.02)
        for layer in (block.cross_attn.o, block.self_attn.o, block.ffn[2]):
            layer.weight *= 0.5
        block.modulation[:, [2, 5]] += 0.5  # the gates


def encode_prompts(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Embed many prompts as `TextEncoder` does one: those of equal length go through it together.

    Returns float32 [prompts, length, width], in the order of `texts`. Raises ValueError for a word that the encoder
    does not know.
    """
    tokens = [[*encoder.config.ids(text), END] for text in texts]
    device = encoder.embedding.weight.device
    parts, order = [], []
    for length in sorted({len(ids) for ids in tokens}):
        members = [number for number, ids in enumerate(tokens) if len(ids) == length]
        ids = torch.tensor([tokens[number] for number in members], device=device)
        x = encoder.norm(encoder.layers(encoder.embedding(ids) + encoder.position[:length]))
        parts.append(F.pad(x.float(), (0, 0, 0, encoder.config.length - length)))
        order += members
    rows = torch.tensor(order, device=device).argsort()
    return torch.cat(parts)[rows]


@dataclass(frozen=True)
class SparseActivation:
    """Sparse Memory Activation (SMA, arXiv 2512.14699) for some samples of a batch.

    A sample is laid out as memory, window, copies of the target chunk.

    samples  bool [B]: where True, each copy reads only the `top_k` most relevant memory frames, head by head.
    valid    bool [B, memory frames]: whether there is such a frame.
    context  frames of memory and window.
    chunk    frames of a copy.
    """

    samples: Tensor
    valid: Tensor
    context: int
    chunk: int
    top_k: int = 3

    def restrict(self, mask: Tensor, q: Tensor, mean_k: Tensor) -> Tensor:
        """Take the memory frames that are not activated out of a mask.

        mask    bool [B, frames, frames]: which frame (row) may attend to which (column).
        q       queries, [B, heads, frames, tokens, head_dim].
        mean_k  mean key of each frame, float32 [B, heads, frames, head_dim].

        Returns bool [B, heads, frames, frames].
        """
        memory, heads = self.valid.shape[1], q.shape[1]
        mean_q = q[:, :, self.context :].float().mean(3).unflatten(2, (-1, self.chunk)).mean(3)
        relevance = torch.einsum("bhcd,bhnd->bhcn", mean_q, mean_k[:, :, :memory])
        best = relevance.masked_fill(~self.valid[:, None, None], -torch.inf).topk(self.top_k, dim=-1).indices
        read = torch.zeros_like(relevance, dtype=torch.bool).scatter(-1, best, True)
        read = (read | ~self.samples[:, None, None, None]).repeat_interleave(self.chunk, dim=2)
        every = read.new_ones(())
        before = every.expand(*read.shape[:2], self.context, memory)
        rest = every.expand(*read.shape[:2], mask.shape[1], mask.shape[2] - memory)
        return mask[:, None].expand(-1, heads, -1, -1) & torch.cat((torch.cat((before, read), 2), rest), 3)


@dataclass
class MaskedAttention:
    """Self-attention of training, an `Attend`: every frame of a sample at its own position, under a mask.

    rotation  for the frames' positions [B, 1, frames].
    mask      bool [B, frames, frames]: which frame (row) may attend to which (column).
    sparse    restricts the mask where memory is read sparsely.
    mean_k    is filled: for each layer so far the mean key of each frame, float32 [B, heads, frames, head_dim].
    """

    rotation: Rotation
    mask: Tensor
    sparse: SparseActivation
    mean_k: list[Tensor]

    def __call__(self, _layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend. q, k, v and the result are [B, heads, frames * tokens, head_dim]; q and k come without RoPE."""
        frames = self.rotation.table.shape[2]
        q, k = (self.rotation.apply(x.unflatten(2, (frames, -1))) for x in (q, k))
        self.mean_k.append(k.float().mean(3))
        tokens = q.shape[3]
        mask = self.sparse.restrict(self.mask, q.detach(), self.mean_k[-1].detach())
        by_token = mask.repeat_interleave(tokens, 2).repeat_interleave(tokens, 3)
        return masked_attention(q.flatten(2, 3), k.flatten(2, 3), v, by_token)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute softmax(q k^T / sqrt(head_dim)) v where `mask` allows it.

    q     [B, heads, L, head_dim]; k and v [B, heads, L', head_dim].
    mask  bool, broadcast to [B, heads, L, L'].

    Returns [B, heads, L, head_dim] in the dtype of v.
    """
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    # for sequences as short as these the plain form is several times faster on a CPU than torch's tiled one,
    # above all in the backward pass
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1).to(v.dtype) @ v


class TrainingBackbone(Backbone):
    """`Backbone` for samples of `frames` latent frames: timesteps [B * frames], text keys [B * frames, ...]."""

    def __init__(self, tree: nn.Module, frames: int):
        super().__init__(tree, attention=masked_attention)
        self.frames = frames

    def _modulate(self, table: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.unflatten(0, (-1, self.frames)) for part in super()._modulate(table, time))


def predict_flow(
    generator: Generator,
    x: Tensor,
    *,
    timesteps: Tensor,
    positions: Tensor,
    mask: Tensor,
    text: list[TextKV],
    sparse: SparseActivation,
) -> tuple[Tensor, list[Tensor]]:
    """Predict the flow of all frames of a batch of samples in one forward pass.

    x                     latents, float32 [B, frames, C, h, w].
    timesteps, positions  of each frame, [B, frames]; timesteps in 0..1000.
    mask                  bool [B, frames, frames]: which frame (row) may attend to which (column).
    text                  keys and values of each frame's prompt, [B * frames, heads, length, head_dim] for each layer.

    Returns (flow, float32 [B, frames, C, h, w]; mean key of every frame, float32 [B, heads, frames, head_dim] for each
    layer).
    """
    backbone = TrainingBackbone(generator.tree, x.shape[1])
    rope = Rope(backbone.head_dim, x.shape[-2] // 2, x.shape[-1] // 2, x.device)
    memory = MaskedAttention(rope.at(positions[:, None]), mask, sparse, [])
    flow = backbone(x.movedim(1, 2), timesteps.flatten(), text, memory)
    return flow.movedim(2, 1).float(), memory.mean_k


def text_per_frame(text: list[TextKV], prompts: Tensor) -> list[TextKV]:
    """Gather the keys and values of each frame's prompt.

    text     [prompts, heads, length, head_dim] for each layer.
    prompts  of each frame, int64 [B, frames]: rows of `text`.

    Returns [B * frames, heads, length, head_dim] for each layer.
    """
    rows = prompts.flatten()
    return [TextKV(layer.k[rows], layer.v[rows]) for layer in text]
