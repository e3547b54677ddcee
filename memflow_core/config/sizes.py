"""Sizes of latents and of a model."""

from __future__ import annotations

from dataclasses import dataclass

from .require import require, require_int


@dataclass(frozen=True)
class LatentShape:
    """Latent size and batch of a stream.

    rows, columns  the picture's height and width in pixels, divided by `pixels`; even, since patches are 2 x 2.
    pixels         pixels of the picture along a latent's side: 8 for the Wan 2.1 VAE, 16 for that of Wan 2.2.

    Raises ValueError for other sizes.
    """

    rows: int
    columns: int
    batch: int = 1
    pixels: int = 8

    def __post_init__(self) -> None:
        require_int("the pixels of a latent's side", self.pixels, 1, 64)
        for name, value in (("height", self.rows), ("width", self.columns)):
            if value < 2 or value % 2:
                raise ValueError(
                    f"the picture {name} is {value * self.pixels} pixels, but must be a multiple of {2 * self.pixels}, "
                    f"at least {2 * self.pixels}."
                )
        if self.batch < 1:
            raise ValueError(f"the batch is {self.batch}, but must be at least 1.")

    @staticmethod
    def of_picture(width: int, height: int, pixels: int = 8) -> LatentShape:
        """The latents of a picture in pixels. Raises ValueError for a size off the grid of two latents."""
        step = 2 * pixels
        if height % step or width % step:
            raise ValueError(f"the picture is {width} x {height} pixels, but both must be multiples of {step}.")
        return LatentShape(height // pixels, width // pixels, pixels=pixels)

    @property
    def picture(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.columns * self.pixels, self.rows * self.pixels

    @property
    def tokens(self) -> int:
        """Tokens of one latent frame."""
        return (self.rows // 2) * (self.columns // 2)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a Wan text-to-video backbone. Patches are (1, 2, 2), as in every Wan file.

    Raises ValueError for sizes that are no whole numbers above 0, or that heads cannot share.
    """

    dim: int
    num_heads: int
    num_layers: int
    ffn_dim: int
    text_dim: int
    freq_dim: int = 256
    in_channels: int = 16
    out_channels: int = 16
    eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("dim", "num_heads", "num_layers", "ffn_dim", "text_dim", "freq_dim", "in_channels", "out_channels")
        for name in sizes:
            require_int(f"model {name}", getattr(self, name), 1)
        require(
            self.dim % self.num_heads == 0 and (self.dim // self.num_heads) % 2 == 0,
            f"model dim {self.dim} cannot be split into {self.num_heads} heads of even width.",
        )
        require(self.freq_dim % 2 == 0, f"model freq_dim is {self.freq_dim}, but must be even.")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads
