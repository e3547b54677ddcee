"""Keys and values of one latent frame outside the cache, and candidates for the bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..model import fp8
from .state_dict import StateDict


@dataclass
class FrameKV:
    """Keys and values of one latent frame in all layers, outside the attended slots (the paper's "prototype").

    k, v              [layers, B, heads, tokens, head_dim], in the cache's dtype, bit for bit as in the cache.
    mean_k            [layers, B, heads, head_dim] float32.
    scale_k, scale_v  [layers, B, heads] float32 where the cache keeps fp8, else None.
    """

    k: Tensor
    v: Tensor
    mean_k: Tensor
    scale_k: Tensor | None = None
    scale_v: Tensor | None = None

    @property
    def parts(self) -> dict[str, Tensor]:
        """The tensors by the names that they have in the cache."""
        return {name: part for name, part in vars(self).items() if part is not None}

    def copy(self, device: torch.device) -> FrameKV:
        """A copy on a device."""
        return FrameKV(**{name: part.to(device, copy=True) for name, part in self.parts.items()})

    def keys(self, layer: int, dtype: torch.dtype) -> Tensor:
        """Keys of one layer, [B, heads, tokens, head_dim]."""
        k = self.k[layer]
        return k if self.scale_k is None else fp8.decode(k, self.scale_k[layer], dtype)


@dataclass(frozen=True)
class Candidate:
    """A latent frame that may enter the bank, made under prompt number `prompt`.

    `kv` is None while the frame is safe in the sink, whose slots are not overwritten.
    """

    frame: int
    prompt: int
    kv: FrameKV | None

    @property
    def copied(self) -> FrameKV:
        """Its keys and values. Raises ValueError while they are in the sink alone."""
        if self.kv is None:
            raise ValueError(f"latent frame {self.frame} has no copy of its keys and values outside the sink.")
        return self.kv


@dataclass(frozen=True)
class RebuiltKV:
    """Keys and values made anew for a compact state, by latent frame, outside the cache.

    candidates  of candidates for the bank, in buffers of it.
    pins        of named pins, where these wait.
    """

    candidates: dict[int, FrameKV] = field(default_factory=dict)
    pins: dict[int, FrameKV] = field(default_factory=dict)


def candidates_state(prefix: str, key: str, candidates: Sequence[Candidate | None]) -> StateDict:
    """State of a list of candidates: JSON under `key`, keys and values under `prefix.N.part`."""
    state = StateDict(meta={key: [c and [c.frame, c.prompt, c.kv is not None] for c in candidates]})
    for number, candidate in enumerate(candidates):
        if candidate is not None and candidate.kv is not None:
            state.tensors |= {f"{prefix}.{number}.{name}": part for name, part in candidate.kv.parts.items()}
    return state


def read_candidates(
    state: StateDict, prefix: str, key: str, device: torch.device, rebuilt: Mapping[int, FrameKV]
) -> list[Candidate | None]:
    """The candidates that `candidates_state` wrote.

    Their keys and values are copies, since a stream reuses buffers; those that the state lacks come from `rebuilt`.
    """

    def read(number: int, frame: int) -> FrameKV:
        start = f"{prefix}.{number}."
        parts = {name.removeprefix(start): part for name, part in state.tensors.items() if name.startswith(start)}
        return FrameKV(**parts).copy(device) if parts else rebuilt[frame]

    found: list[Candidate | None] = []
    for number, entry in enumerate(state.meta[key]):
        if entry is None:
            found.append(None)
            continue
        frame, prompt, stored = entry
        found.append(Candidate(frame, prompt, read(number, frame) if stored else None))
    return found
