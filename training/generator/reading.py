"""Forward passes of training: clean rows read as a stream reads them, and noisy chunks that attend to their keys.

Weights, block, modulation and head are those of `memflow_core`. Two passes make a step:

`read_story`    all clean rows of a story at once, without gradients. It leaves the input of every block.
`predict_flow`  noisy copies of target chunks. Keys and values of their context are projected, with gradients, from
                those inputs; so a context is read with the weights of the step, and what its rows saw is a constant.
                A gradient through rows that had seen each other would teach the model to pass an identity on through
                keys: then window frames would hold all identities, and a bank would be of no use. Bank frames that
                are read alone have seen nothing else, so these are read here, with all their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memflow_core.model import (
    Backbone,
    ControlInput,
    Rope,
    Rotation,
    TextKV,
    TimestepModulation,
    post_attention,
    pre_attention,
    project_kv,
)

from ..cartoons import CHUNK_LATENTS
from .model import Generator, masked_attention
from .plan import BANK, CONTEXT, OLDER, SINK, StoryPlan

TOP_K = 3  # memory frames that a sparse sample's copies read


@dataclass(frozen=True)
class StoryRows:
    """Clean rows of a story, read.

    latents  float32 [rows, C, h, w].
    inputs   of each block: [rows, tokens, dim].
    """

    latents: Tensor
    inputs: list[Tensor]


class CleanBackbone(Backbone):
    """`Backbone` at timestep 0, whose blocks' inputs can be had."""

    def __init__(self, tree: nn.Module):
        super().__init__(tree, attention=masked_attention)

    def block_inputs(self, x: Tensor, text: list[TextKV], attend: RowAttention) -> list[Tensor]:
        """Read clean rows x [rows, C, h, w]. Returns the input of every block, [rows, tokens, dim]."""
        modulation = self._clean(x.device)
        tokens = self._embed_patches(x[:, :, None])
        inputs = []
        for layer, block in enumerate(self.tree.blocks):
            inputs.append(tokens[:, 0].clone())
            if layer < self.layers - 1:
                attended = attend(*pre_attention(block, tokens, modulation.blocks[layer][0]))
                tokens = post_attention(block, tokens, attended, modulation.blocks[layer], text[layer], self.attention)
        return inputs

    def keys_values(self, layer: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Project a block's inputs [B, frames, tokens, dim] -> k, before RoPE, and v [B, heads, L, head_dim]."""
        self_attn, _ = self._clean(inputs.device).blocks[layer]
        return project_kv(self.tree.blocks[layer], inputs, self_attn)

    def _clean(self, device: torch.device) -> TimestepModulation:
        # one for all frames goes into layer norm, which wants the dtype of its input there
        with torch.autocast(device.type, enabled=False):
            return self._modulation(0.0, device)


@dataclass
class RowAttention:
    """Self-attention of clean rows, each of which attends to the rows that it may.

    rotation    for the rows' positions [rows, 1, 1].
    read        int64 [rows, READ], and where there is such a row, `read_valid`.
    """

    rotation: Rotation
    read: Tensor
    read_valid: Tensor

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend. q, k, v and the result are [rows, heads, tokens, head_dim]; q and k come without RoPE."""
        q, k = (self.rotation.apply(x.unsqueeze(2)).squeeze(2) for x in (q, k))
        rows, heads, tokens, width = k.shape
        keys, values = (x[self.read].transpose(1, 2).reshape(rows, heads, -1, width) for x in (k, v))
        mask = self.read_valid.repeat_interleave(tokens, 1)[:, None, None]
        return masked_attention(q, keys, values, mask)


@torch.no_grad()
def read_story(generator: Generator, plan: StoryPlan, latents: Tensor, text: list[TextKV]) -> StoryRows:
    """Read all clean rows of a story, as a stream of that plan does chunk by chunk.

    latents  float32 [rows, C, h, w].
    text     keys and values of each row's prompt, [rows, heads, length, head_dim] for each layer.
    """
    backbone, device = CleanBackbone(generator.tree), latents.device
    rope = Rope(backbone.head_dim, latents.shape[-2] // 2, latents.shape[-1] // 2, device)
    rotation = rope.at(torch.tensor(plan.frames, device=device)[:, None, None])
    read, valid = (torch.from_numpy(x).to(device) for x in (plan.read, plan.read_valid))
    attend = RowAttention(rotation, read, valid)
    return StoryRows(latents, backbone.block_inputs(latents, text, attend))


@dataclass(frozen=True)
class Context:
    """What the copies of a batch attend to beside themselves.

    inputs     of each block, of the context's rows: [B, CONTEXT, tokens, dim].
    valid      bool [B, CONTEXT]: whether there is such a row.
    alone      bool [B]: the bank's keys are those of BANK frames that are read alone in this pass.
    sparse     bool [B]: each copy reads only the TOP_K most relevant frames of sink and bank, head by head: Sparse
               Memory Activation (SMA, arXiv 2512.14699).
    positions  int64 [B, CONTEXT + CHUNK_LATENTS].
    """

    inputs: Sequence[Tensor]
    valid: Tensor
    alone: Tensor
    sparse: Tensor
    positions: Tensor


@dataclass
class ContextAttention:
    """Self-attention of BANK frames read alone, and behind them copies of a target chunk with their context.

    mean_k  is filled: for each layer so far the mean key of each context frame, float32 [B, heads, CONTEXT, head_dim].
    """

    clean: CleanBackbone
    context: Context
    rotation: Rotation
    mean_k: list[Tensor]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend. q, k, v and the result are [B, heads, frames * tokens, head_dim]; q and k come without RoPE."""
        inputs = self.context.inputs[layer]
        tokens = inputs.shape[2]
        held_k, held_v = (x.unflatten(2, (CONTEXT, tokens)) for x in self.clean.keys_values(layer, inputs))
        q, k, v = (x.unflatten(2, (-1, tokens)) for x in (q, k, v))
        rotated = Rotation(self.rotation.table[:, :, CONTEXT:])
        q, k = rotated.apply(q), rotated.apply(k)
        held_k = Rotation(self.rotation.table[:, :, :CONTEXT]).apply(held_k)
        held_k, held_v = self._with_alone(held_k, k), self._with_alone(held_v, v)
        self.mean_k.append(held_k.float().mean(3))
        alone = masked_attention(q[:, :, :BANK], k[:, :, :BANK], v[:, :, :BANK])
        copies = self._attend_copies(q[:, :, BANK:], k[:, :, BANK:], v[:, :, BANK:], held_k, held_v)
        return torch.cat((alone, copies), 2).flatten(2, 3)

    def _with_alone(self, held: Tensor, own: Tensor) -> Tensor:
        """Put the first frames of own, read alone, in the place of the bank; [B, heads, frames, tokens, head_dim]."""
        bank = torch.where(self.context.alone.view(-1, 1, 1, 1, 1), own[:, :, :BANK], held[:, :, SINK:OLDER])
        return torch.cat((held[:, :, :SINK], bank, held[:, :, OLDER:]), 2)

    def _attend_copies(self, q: Tensor, k: Tensor, v: Tensor, held_k: Tensor, held_v: Tensor) -> Tensor:
        """Each copy attends to the context and to itself; all [B, heads, frames, tokens, head_dim]."""
        q, k, v = (x.unflatten(2, (-1, CHUNK_LATENTS)).flatten(3, 4) for x in (q, k, v))  # [B, heads, copies, L, width]
        read = self._read(q.detach())  # [B, heads, copies, CONTEXT]
        tokens = held_k.shape[3]
        q = q * q.shape[-1] ** -0.5
        to_held = q.flatten(2, 3) @ held_k.flatten(2, 3).mT
        to_held = to_held.unflatten(2, q.shape[2:4]).masked_fill(
            ~read.repeat_interleave(tokens, 3)[:, :, :, None], -torch.inf
        )
        share = torch.cat((to_held, q @ k.mT), -1).softmax(dim=-1).to(v.dtype)
        width = to_held.shape[-1]
        attended = (share[..., :width].flatten(2, 3) @ held_v.flatten(2, 3)).unflatten(2, q.shape[2:4])
        attended = attended + share[..., width:] @ v
        return attended.unflatten(3, (CHUNK_LATENTS, tokens)).flatten(2, 3)

    def _read(self, q: Tensor) -> Tensor:
        """Which context frames each copy reads, bool [B, heads, copies, CONTEXT]; q [B, heads, copies, L, head_dim]."""
        valid = self.context.valid[:, None, None].expand(*q.shape[:3], -1)
        mean_k = self.mean_k[-1].detach()[:, :, :OLDER]
        relevance = torch.einsum("bhcd,bhnd->bhcn", q.float().mean(3), mean_k)
        best = relevance.masked_fill(~valid[..., :OLDER], -torch.inf).topk(TOP_K, dim=-1).indices
        activated = torch.zeros_like(relevance, dtype=torch.bool).scatter(-1, best, True)
        activated = activated | ~self.context.sparse[:, None, None, None]
        return valid & torch.cat((activated, torch.ones_like(valid[..., OLDER:])), -1)


class TrainingBackbone(Backbone):
    """`Backbone` for samples of `frames` latent frames: timesteps [B * frames], text keys [B * frames, ...]."""

    def __init__(self, tree: nn.Module, frames: int):
        super().__init__(tree, attention=masked_attention)
        self.frames = frames

    def _modulate(self, table: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.unflatten(0, (-1, self.frames)) for part in super()._modulate(table, time))


def predict_flow(
    generator: Generator,
    bank: Tensor,
    noisy: Tensor,
    sigma: Tensor,
    *,
    context: Context,
    text: list[TextKV],
    backbone: Callable[[nn.Module, int], TrainingBackbone] = TrainingBackbone,
    control: ControlInput | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Predict the flow of noisy copies of target chunks.

    bank      float32 [B, BANK, C, h, w]: the bank's clean latents, for those samples that read them alone.
    noisy     float32 [B, copies, CHUNK_LATENTS, C, h, w], at noise levels sigma [B, copies].
    text      keys and values of the prompts of the bank's frames and of every copy's,
              [B * (BANK + copies * CHUNK_LATENTS), heads, length, head_dim] for each layer.
    backbone  makes a backbone of the generator's tree for samples of so many latent frames.
    control   handed to it: what steers the copies.

    Returns (flow, as noisy; mean key of every context frame, float32 [B, heads, CONTEXT, head_dim] for each layer).
    """
    copies = noisy.shape[1]
    x = torch.cat((bank, noisy.flatten(1, 2)), 1)
    trained = backbone(generator.tree, x.shape[1])
    times = torch.cat((sigma.new_zeros(len(sigma), BANK), 1000 * sigma.repeat_interleave(CHUNK_LATENTS, 1)), 1)
    positions = context.positions
    held, target = positions[:, :CONTEXT], positions[:, CONTEXT:]
    positions = torch.cat((held, held[:, SINK:OLDER], target.repeat(1, copies)), 1)
    rope = Rope(trained.head_dim, x.shape[-2] // 2, x.shape[-1] // 2, x.device)
    attend = ContextAttention(CleanBackbone(generator.tree), context, rope.at(positions[:, None]), [])
    flow = trained(x.movedim(1, 2), times.flatten(), text, attend, control).movedim(2, 1).float()
    return flow[:, BANK:].unflatten(1, (copies, CHUNK_LATENTS)), attend.mean_k
