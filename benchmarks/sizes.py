"""Sizes of models, pictures and runs that benchmarks measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memflow_core.config import LatentShape, ModelConfig, SamplingConfig

FPS = 16


@dataclass(frozen=True)
class Size:
    """Model and run: `prompts` of `text_length` tokens, one after another over `latent_frames`."""

    model: ModelConfig
    shape: LatentShape
    text_length: int
    latent_frames: int
    prompts: int

    @property
    def chunks(self) -> int:
        return self.latent_frames // SamplingConfig().chunk_frames

    @property
    def switches(self) -> list[int]:
        """Chunks at which a prompt begins."""
        return [number * self.chunks // self.prompts for number in range(self.prompts)]

    def with_length(self, latent_frames: int) -> Size:
        return replace(self, latent_frames=latent_frames)


SIZES = {
    "tiny": Size(
        ModelConfig(dim=128, num_heads=1, num_layers=6, ffn_dim=512, text_dim=128),
        LatentShape(8, 8),
        text_length=16,
        latent_frames=120,
        prompts=4,
    ),
    "medium": Size(
        ModelConfig(dim=384, num_heads=6, num_layers=6, ffn_dim=1536, text_dim=256),
        LatentShape(20, 24),
        text_length=128,
        latent_frames=30,
        prompts=2,
    ),
    "1.3b": Size(
        ModelConfig(dim=1536, num_heads=12, num_layers=30, ffn_dim=8960, text_dim=4096),
        LatentShape(60, 104),
        text_length=512,
        latent_frames=240,
        prompts=6,
    ),
}
