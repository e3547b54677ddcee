"""A sink that is a running average: frames that leave the window are folded into it (Reward Forcing's EMA sink)."""

from __future__ import annotations

from ..model import fp8
from .cache import KVCache


def fold_into_sink(cache: KVCache, chunk_frames: int, decay: float) -> None:
    """Fold the frames that the coming chunk pushes out of the window into the sink: decay sink + (1 - decay) frame.

    Keys must be stored before RoPE. The frame at place n since the last cut meets sink slot n modulo the sink's slots.
    """
    layout = cache.layout
    if layout.sink < layout.sink_slots:
        return
    for frame in range(layout.window_start, min(layout.first_seen_after(chunk_frames), layout.end)):
        source = layout.slot(frame)
        target = layout.border + (frame - layout.origin) % layout.sink_slots
        cache.mean_k[:, :, :, target].lerp_(cache.mean_k[:, :, :, source], 1 - decay)
        for name in "kv":
            _fold(cache, name, target, source, 1 - decay)


def _fold(cache: KVCache, name: str, target: int, source: int, share: float) -> None:
    part = getattr(cache, name)
    if not cache.in_fp8:
        mixed = part[:, :, :, target].float().lerp(part[:, :, :, source].float(), share)
        part[:, :, :, target] = mixed.to(part.dtype)
        return
    scale = getattr(cache, f"scale_{name}")
    old, new = (fp8.decode(part[:, :, :, slot], scale[:, :, :, slot], cache.dtype).float() for slot in (target, source))
    part[:, :, :, target], scale[:, :, :, target] = fp8.encode(old.lerp(new, share))
