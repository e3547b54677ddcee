"""The generator in training: its network, its prompts, and attention in a form that is fast on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memflow_core.config import ModelConfig
from memflow_core.model import Backbone, TextKV, WanModel
from memflow_core.weights import END, TextConfig, TextEncoder

from ..cartoons import full_vocabulary

TEXT = TextConfig(full_vocabulary(), length=16, width=128, heads=2, layers=2, ffn_dim=256)

PRESETS = {
    # 2.1 million weights with the text encoder, 4.2 MB
    "small": ModelConfig(dim=128, num_heads=1, num_layers=6, ffn_dim=512, text_dim=TEXT.width),
    # 7.6 million, 15 MB
    "large": ModelConfig(dim=256, num_heads=2, num_layers=6, ffn_dim=1024, text_dim=TEXT.width),
}


class Generator(nn.Module):
    """Text encoder and Wan-layout tree, which are trained together."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.text = TextEncoder(TEXT)
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


def text_per_frame(text: list[TextKV], prompts: Tensor) -> list[TextKV]:
    """Gather the keys and values of each frame's prompt.

    text     [prompts, heads, length, head_dim] for each layer.
    prompts  of each frame, int64 [B, frames]: rows of `text`.

    Returns [B * frames, heads, length, head_dim] for each layer.
    """
    rows = prompts.flatten()
    return [TextKV(layer.k[rows], layer.v[rows]) for layer in text]
