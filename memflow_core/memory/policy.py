"""What a retrieval policy and the stream hand one another."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

LayerHook = Callable[[int, Tensor], None]
"""Called with (layer, q [B, heads, L, head_dim] in the form that stored keys are met with) before a layer attends."""
