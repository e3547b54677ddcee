"""The VACE part of a Wan model as a control branch: blocks of its own that steer the hidden state of the main ones.

    control latents [B, C, F, h, w] -> patch tokens -> before_proj + tokens of the chunk -> control blocks
                                                                                 | after_proj = hint of one main block

Control block n stands beside main block n * (layers / control blocks), behind which its hint is added, times a strength
(VACE, arXiv 2503.07598). The branch sees the chunk alone, from position 0, and keeps nothing: it has no part in the KV
cache but what its hints make of the hidden state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import ModelConfig
from .block import AttentionBackend, TextKV, project_text_kv
from .functional import Modulation
from .rope import Rope, Rotation
from .tree import Layer, PatchEmbedding, WanBlock
from .wan import Block

Stages = tuple[Callable, Callable]
"""`pre_attention` and `post_attention` of `block.py`, compiled or not."""

MASK_SIDE = 8  # pixels along the side of the square that the mask's channels are


class ControlBlock(WanBlock, Protocol):
    """A block of the branch; the first one also has `before_proj`, [..., dim] -> [..., dim]."""

    after_proj: Layer


class ControlTree(Protocol):
    """The branch's modules, in the attribute names of the published VACE checkpoints."""

    vace_patch_embedding: PatchEmbedding
    vace_blocks: Sequence[ControlBlock]


class _Block(Block):
    def __init__(self, config: ModelConfig, first: bool):
        super().__init__(config)
        if first:
            self.before_proj = nn.Linear(config.dim, config.dim)
        self.after_proj = nn.Linear(config.dim, config.dim)


class WanControl(nn.Module):
    """A control branch in plain torch. Its state dict has the keys of the VACE files: `vace_blocks.0.after_proj.bias`.

    config    sizes of the main model, or of one as wide.
    blocks    of the branch.
    channels  that its patch embedding reads.
    """

    def __init__(self, config: ModelConfig, blocks: int, channels: int):
        super().__init__()
        patch = (1, 2, 2)
        self.vace_patch_embedding = nn.Conv3d(channels, config.dim, kernel_size=patch, stride=patch)
        self.vace_blocks = nn.ModuleList(_Block(config, first=number == 0) for number in range(blocks))


@dataclass(frozen=True)
class ControlInput:
    """What steers the latent frames of one pass.

    context    [B, C, F, h, w] floating point: control latents and mask, see `control_channels`.
    strengths  of each of the F latent frames: factors of the hints.
    text       from `ControlBranch.embed_text`.
    """

    context: Tensor
    strengths: tuple[float, ...]
    text: list[TextKV]

    @property
    def idle(self) -> bool:
        """Whether no latent frame is steered."""
        return not any(self.strengths)


def control_channels(latent_channels: int) -> int:
    """Channels of a control's context: latents of what is kept, of what is made anew, and 8 x 8 pixels of the mask."""
    return 2 * latent_channels + MASK_SIDE**2


class ControlBranch:
    """A control branch beside the blocks of a main model.

    tree                the branch's modules; their parameters stay where their owner keeps them.
    layers, dim, heads  of the main model; the branch has as many heads.
    channels            latent channels of the main model; the attribute is those of a control's context.
    dtype               precision of the activations.
    attention           the attention backend.

    Raises ValueError, in one sentence, for a branch of another model.
    """

    def __init__(
        self,
        tree: ControlTree | nn.Module,
        *,
        layers: int,
        dim: int,
        heads: int,
        channels: int,
        dtype: torch.dtype,
        attention: AttentionBackend,
    ):
        # torch types every attribute of a module as Tensor | Module
        self.tree = cast(ControlTree, tree)
        self.blocks = self.tree.vace_blocks
        self.channels = self.tree.vace_patch_embedding.weight.shape[1]
        width = self.tree.vace_patch_embedding.weight.shape[0]
        check_control(blocks=len(self.blocks), width=width, channels=self.channels, layers=layers, dim=dim, of=channels)
        self.dtype = dtype
        self.attention = attention
        self._every = layers // len(self.blocks)
        self._head_dim = dim // heads
        self._ropes: dict[tuple[int, int, torch.device], Rope] = {}

    def block_at(self, layer: int) -> int | None:
        """The control block whose hint is added behind a main block; None for none."""
        block, between = divmod(layer, self._every)
        return None if between else block

    def embed_text(self, context: Tensor) -> list[TextKV]:
        """Cross-attention keys and values of each control block. context: embedded prompt [B, length, dim]."""
        return [project_text_kv(block.cross_attn, context) for block in self.blocks]

    def begin(
        self, given: ControlInput, tokens: Tensor, modulation: Sequence[tuple[Modulation, Modulation]], stages: Stages
    ) -> ControlPass:
        """Start a pass over a chunk.

        tokens      [B, F, tokens, dim], the chunk's patches before the first main block; left as they are.
        modulation  of each control block.
        stages      (pre_attention, post_attention), which may be compiled.

        Raises ValueError for a context of another size.
        """
        batch, frames, _, _ = tokens.shape
        rows, columns = given.context.shape[-2] // 2, given.context.shape[-1] // 2
        found = (*given.context.shape[:3], rows * columns)
        if found != (batch, self.channels, frames, tokens.shape[2]) or len(given.strengths) != frames:
            raise ValueError(
                f"the control has shape {list(given.context.shape)} and {len(given.strengths)} strengths, but the "
                f"chunk needs [{batch}, {self.channels}, {frames}, ...] of {tokens.shape[2]} tokens."
            )
        context = given.context.to(tokens.device)
        patches = embed_patches(self.tree.vace_patch_embedding, context, self.dtype)
        before: Layer = self.blocks[0].before_proj  # pyright: ignore[reportAttributeAccessIssue]
        rotation = self._rope(rows, columns, tokens.device).at(torch.arange(frames, device=tokens.device))
        return ControlPass(self, given, before(patches) + tokens, modulation, rotation, stages)

    def _rope(self, rows: int, columns: int, device: torch.device) -> Rope:
        key = (rows, columns, device)
        if key not in self._ropes:
            self._ropes = {key: Rope(self._head_dim, rows, columns, device)}
        return self._ropes[key]


class ControlPass:
    """One pass of the branch, block by block beside the main ones, with room for one hidden state and one hint."""

    def __init__(
        self,
        branch: ControlBranch,
        given: ControlInput,
        tokens: Tensor,
        modulation: Sequence[tuple[Modulation, Modulation]],
        rotation: Rotation,
        stages: Stages,
    ):
        self._branch = branch
        self._text = given.text
        self._tokens = tokens
        self._modulation = modulation
        self._rotation = rotation
        self._stages = stages
        self._strengths = given.strengths

    def steer(self, layer: int, x: Tensor) -> Tensor:
        """The output x [B, F, tokens, dim] of a main block, which may be overwritten, with its hint: as x."""
        number = self._branch.block_at(layer)
        if number is None:
            return x
        branch, block = self._branch, self._branch.blocks[number]
        pre, post = self._stages
        q, k, v = pre(block, self._tokens, self._modulation[number][0])
        attended = branch.attention(self._rotated(q), self._rotated(k), v)
        del q, k, v
        text, modulation = self._text[number], self._modulation[number]
        self._tokens = post(block, self._tokens, attended, modulation, text, branch.attention)
        return x + self._scaled(block.after_proj(self._tokens))

    def _scaled(self, hint: Tensor) -> Tensor:
        first, *others = self._strengths
        if all(strength == first for strength in others):
            return hint * first
        # by numbers of the host: a tensor of them would be waited for, and rounded
        for frame, strength in enumerate(self._strengths):
            hint[:, frame] *= strength
        return hint

    def _rotated(self, x: Tensor) -> Tensor:
        """Queries or keys [B, heads, L, head_dim] at positions from 0 on."""
        by_frame = x.unflatten(2, self._rotation.table.shape[:2])
        return self._rotation.apply(by_frame).flatten(2, 3)


def embed_patches(conv: PatchEmbedding, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Patches of x [B, C, F, h, w] as tokens [B, F, tokens, dim] in the activations' dtype."""
    # ComfyUI keeps this convolution in float32 whatever the rest is in
    wide = torch.float32 if conv.weight.dtype == torch.float32 else dtype
    patches = rearrange(conv(x.to(wide)), "b d f h w -> b f (h w) d").to(dtype)
    # contiguous by token: every step of every block keeps the memory layout of its input
    return patches.contiguous()


def check_control(*, blocks: int, width: int, channels: int, layers: int, dim: int, of: int) -> None:
    """Raise ValueError, in one sentence, unless a control branch fits a main model.

    blocks, width, channels  of the branch: control blocks, their width, channels of the context.
    layers, dim, of          of the main model: blocks, their width, latent channels.
    """
    if width != dim or layers % blocks or channels != control_channels(of):
        raise ValueError(
            f"the control weights have {blocks} blocks, {width} wide, for a control of {channels} channels, but the "
            f"model has {layers} blocks, {dim} wide, whose control has {control_channels(of)} channels: use control "
            f"weights that were made for a model of this size."
        )
