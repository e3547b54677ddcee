"""Write the tiny story model: a generator and a VAE in the Wan 2.1 layout, and a text encoder of a few words.

    python -m tools.make_tiny_model [--seed N] [--out DIR]

The weights are drawn, not trained: pictures move and follow the prompt's words, but show nothing. The same seed
writes the same bytes on every machine. Both models load with ComfyUI's stock loaders.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from memflow_core import tiny_story
from memflow_core.config import ModelConfig
from memflow_core.model import WanModel
from memflow_core.tiny_text import TextConfig, TextEncoder

SEED = 8
# what the stories are told with
VOCABULARY = """
    a an the this that his her its and or with without of in on at to from by into over across through under near behind
    beside between up down out is are was lies stays keeps while then again now still later always never not
    robot cat ghost car dog bird fish tree house ball hat sun moon star cloud
    meadow beach city snow forest desert night day morning evening sky sea street hill
    red orange yellow green cyan blue purple pink white black gold silver brown grey
    big small tall round striped spotted plain dark bright empty quiet nobody nothing somebody everything
    walks runs jumps stands sits sleeps waits dances flies swims turns looks plays returns leaves comes goes arrives
    appears disappears moves stops starts rises falls right left forward back away home slowly fast
    story video cartoon scene picture style
"""

MODEL = ModelConfig(dim=128, num_heads=1, num_layers=2, ffn_dim=256, text_dim=64)
PATCH = 4  # latent pixels of a 2 x 2 patch
NOISE_DIMS = MODEL.in_channels * PATCH  # the first half of a token carries the noisy patch, the rest the picture

VAE_DIM, VAE_MULTIPLES, LATENTS = 8, (1, 2, 4, 4), 16
VAE_DOWNS = ("2d", "3d", "3d")  # from the picture to the latents; the decoder goes the other way
# the decoder's convolutions whose outputs add up to what its head sees
LAST_FEATURES = ("11.resample.1", "12.residual.6", "13.residual.6", "14.residual.6")
LATENT_STD = 2.2  # about that of Wan 2.1 latents, which ComfyUI scales the model's to


class Draw:
    """Uniform random numbers by exact arithmetic, so that they are the same everywhere."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, std: float = 1.0) -> Tensor:
        """Zero mean and the given standard deviation, float64."""
        whole = torch.randint(-(2**15), 2**15, shape, generator=self._generator)
        return (whole.double() + 0.5) * (std * math.sqrt(3) / 2**15)

    def fan_in(self, rows: int, columns: int, gain: float = 1.0) -> Tensor:
        """A matrix that keeps the size of what it is applied to, times `gain`."""
        return self(rows, columns, std=gain / math.sqrt(columns))


# -- generator -------------------------------------------------------------------------------------------------------


def generator_weights(draw: Draw) -> dict[str, Tensor]:
    """Weights in plain Wan keys under which flow = noisy latents - picture.

    The noisy patch goes through unharmed. The picture is what attention makes of its surroundings (soft blobs that
    are carried on from frame to frame) and of the prompt (which word's colour a blob takes).
    """
    weights = {name: torch.zeros_like(value).double() for name, value in WanModel(MODEL).state_dict().items()}
    _embeddings(weights, draw)
    for layer in range(MODEL.num_layers):
        _block(weights, f"blocks.{layer}.", draw)
    _head(weights, draw)
    return weights


def _embeddings(weights: dict[str, Tensor], draw: Draw) -> None:
    patch = weights["patch_embedding.weight"]
    # rows in the order in which the head gives them back: row, column, channel of a patch
    identity = torch.eye(NOISE_DIMS, dtype=torch.float64).view(2, 2, MODEL.in_channels, NOISE_DIMS)
    patch[:NOISE_DIMS] = identity.permute(3, 2, 0, 1).unsqueeze(2)
    weights["text_embedding.0.weight"] += draw.fan_in(MODEL.dim, MODEL.text_dim, 2.0)
    weights["text_embedding.2.weight"] += draw.fan_in(MODEL.dim, MODEL.dim, 2.0)
    weights["time_embedding.0.weight"] += draw.fan_in(MODEL.dim, MODEL.freq_dim)
    weights["time_embedding.2.weight"] += draw.fan_in(MODEL.dim, MODEL.dim, 0.1)
    weights["time_projection.1.weight"] += draw.fan_in(6 * MODEL.dim, MODEL.dim, 0.1)


def _block(weights: dict[str, Tensor], block: str, draw: Draw) -> None:
    dim = MODEL.dim
    weights[block + "modulation"][:, [2, 5]] = 1.0  # gates open, nothing shifted or scaled
    weights[block + "norm3.weight"] += 1.0
    for attention, sharpness, gain in (("self_attn.", 1.0, 3.0), ("cross_attn.", 1.4, 2.0)):
        name = block + attention
        for part in "qkv":
            weights[f"{name}{part}.weight"] += draw.fan_in(dim, dim)
        for part in "qk":
            weights[f"{name}norm_{part}.weight"] += sharpness
        weights[name + "o.weight"][NOISE_DIMS:] += draw.fan_in(dim - NOISE_DIMS, dim, gain)
    # the frames' noise alone, or a picture would feed on the pictures before until all is one colour
    weights[block + "self_attn.v.weight"][:, NOISE_DIMS:] = 0.0
    # a bias that all queries and keys share: attention by distance alone, which is what makes soft blobs
    shared = draw(dim, std=1.5)
    for part in "qk":
        weights[f"{block}self_attn.{part}.bias"] += shared
    weights[block + "ffn.0.weight"] += draw.fan_in(MODEL.ffn_dim, dim)
    weights[block + "ffn.2.weight"][NOISE_DIMS:] += draw.fan_in(dim - NOISE_DIMS, MODEL.ffn_dim)


def _head(weights: dict[str, Tensor], draw: Draw) -> None:
    head, picture_dims = weights["head.head.weight"], MODEL.dim - NOISE_DIMS
    head[:, :NOISE_DIMS] = torch.eye(NOISE_DIMS, dtype=torch.float64)
    # nearly the same for all four pixels of a patch, or its edges would show
    even = draw.fan_in(MODEL.out_channels, picture_dims, 0.7).repeat(PATCH, 1)
    head[:, NOISE_DIMS:] = -even + draw.fan_in(NOISE_DIMS, picture_dims, 0.2)


# -- video autoencoder -----------------------------------------------------------------------------------------------


class VaeWriter:
    """Weights of a Wan 2.1 VAE, written layer by layer. Convolutions look at the newest frame alone."""

    def __init__(self, draw: Draw):
        self.weights: dict[str, Tensor] = {}
        self._draw = draw

    def conv(self, name: str, out: int, ins: int, *kernel: int, gain: float = 1.0, blur: bool = False) -> None:
        """A convolution; `blur` spreads each pixel evenly instead of at random."""
        weight = torch.zeros(out, ins, *kernel, dtype=torch.float64)
        newest = weight[:, :, -1] if len(kernel) == 3 else weight
        height, width = newest.shape[2:]
        if blur:
            newest += self._draw.fan_in(out, ins, gain)[:, :, None, None] * _hat(height)[:, None] * _hat(width)
        else:
            newest += self._draw(out, ins, height, width, std=gain / math.sqrt(ins * height * width))
        self.weights[f"{name}.weight"] = weight
        self.weights[f"{name}.bias"] = torch.zeros(out, dtype=torch.float64)

    def norm(self, name: str, channels: int, extra_dims: int = 3) -> None:
        self.weights[f"{name}.gamma"] = torch.ones(channels, *[1] * extra_dims, dtype=torch.float64)

    def residual(self, name: str, ins: int, out: int) -> None:
        self.norm(f"{name}.residual.0", ins)
        self.conv(f"{name}.residual.2", out, ins, 3, 3, 3)
        self.norm(f"{name}.residual.3", out)
        self.conv(f"{name}.residual.6", out, out, 3, 3, 3, gain=0.05)
        if ins != out:
            self.conv(f"{name}.shortcut", out, ins, 1, 1, 1)

    def middle(self, name: str, channels: int) -> None:
        self.residual(f"{name}.0", channels, channels)
        self.norm(f"{name}.1.norm", channels, extra_dims=2)
        self.conv(f"{name}.1.to_qkv", 3 * channels, channels, 1, 1)
        self.conv(f"{name}.1.proj", channels, channels, 1, 1, gain=0.1)
        self.residual(f"{name}.2", channels, channels)

    def head(self, name: str, ins: int, out: int, gain: float) -> None:
        self.norm(f"{name}.0", ins)
        self.conv(f"{name}.2", out, ins, 3, 3, 3, gain=gain, blur=True)

    def downsample(self, name: str, channels: int, kind: str) -> None:
        self.conv(f"{name}.resample.1", channels, channels, 3, 3, blur=True)
        if kind == "3d":
            self.conv(f"{name}.time_conv", channels, channels, 3, 1, 1)

    def upsample(self, name: str, channels: int, kind: str) -> None:
        self.conv(f"{name}.resample.1", channels // 2, channels, 3, 3, blur=True)
        if kind == "3d":
            self.conv(f"{name}.time_conv", 2 * channels, channels, 3, 1, 1)
            self._between(f"{name}.time_conv.weight", channels)

    def _between(self, name: str, channels: int) -> None:
        """Of the two frames made from one, the first is half way from the one before, the second is the frame."""
        weight, same = self.weights[name].zero_(), torch.eye(channels, dtype=torch.float64)
        weight[:channels, :, 1:, 0, 0] = torch.stack((same / 2, same / 2), dim=-1)
        weight[channels:, :, 2, 0, 0] = same


def vae_weights(draw: Draw) -> dict[str, Tensor]:
    """Weights of a VAE in ComfyUI's names of the Wan 2.1 layout."""
    writer = VaeWriter(draw)
    _encoder(writer)
    writer.conv("conv1", 2 * LATENTS, 2 * LATENTS, 1, 1, 1, gain=LATENT_STD)
    writer.conv("conv2", LATENTS, LATENTS, 1, 1, 1, gain=1 / LATENT_STD)
    _decoder(writer)
    return writer.weights


def _encoder(writer: VaeWriter) -> None:
    widths = [VAE_DIM * multiple for multiple in VAE_MULTIPLES]
    writer.conv("encoder.conv1", VAE_DIM, 3, 3, 3, 3, gain=2.0)
    layer, ins = 0, VAE_DIM
    for level, out in enumerate(widths):
        for _ in range(2):
            writer.residual(f"encoder.downsamples.{layer}", ins, out)
            layer, ins = layer + 1, out
        if level < len(VAE_DOWNS):
            writer.downsample(f"encoder.downsamples.{layer}", out, VAE_DOWNS[level])
            layer += 1
    writer.middle("encoder.middle", ins)
    writer.head("encoder.head", ins, 2 * LATENTS, gain=1.0)


def _decoder(writer: VaeWriter) -> None:
    widths = [VAE_DIM * multiple for multiple in reversed(VAE_MULTIPLES)]
    writer.conv("decoder.conv1", widths[0], LATENTS, 3, 3, 3, blur=True)
    writer.middle("decoder.middle", widths[0])
    layer, ins = 0, widths[0]
    for level, out in enumerate(widths):
        for _ in range(3):
            writer.residual(f"decoder.upsamples.{layer}", ins, out)
            layer, ins = layer + 1, out
        if level < len(VAE_DOWNS):
            writer.upsample(f"decoder.upsamples.{layer}", out, VAE_DOWNS[::-1][level])
            layer, ins = layer + 1, out // 2
    writer.head("decoder.head", ins, 3, gain=0.7)
    _pair_last_channels(writer.weights)


def _pair_last_channels(weights: dict[str, Tensor]) -> None:
    """Last features as pairs of opposite sign: silu(x) - silu(-x) = x, so that no colour is favoured."""
    head, half = weights["decoder.head.2.weight"], VAE_DIM // 2
    head[:, half:] = -head[:, :half]
    for name in LAST_FEATURES:
        features = weights[f"decoder.upsamples.{name}.weight"]
        features[half:] = -features[:half]


def _hat(width: int) -> Tensor:
    """1, or 1/4 1/2 1/4."""
    return torch.tensor({1: [1.0], 3: [0.25, 0.5, 0.25]}[width], dtype=torch.float64)


# -- text encoder ----------------------------------------------------------------------------------------------------


def text_weights(config: TextConfig, draw: Draw) -> dict[str, Tensor]:
    """Each word a direction of its own; a little of the other words and of the position mixed in."""
    gains = {"embedding.weight": 1.0, "position": 0.2}
    weights = {}
    for name, value in TextEncoder(config).state_dict().items():
        if value.ndim == 1:
            weights[name] = torch.full(value.shape, float("norm" in name and name.endswith("weight")))
        elif name in gains:
            weights[name] = draw(*value.shape, std=gains[name])
        else:
            weights[name] = draw.fan_in(*value.shape, gain=0.5)
    return weights


# -- files -----------------------------------------------------------------------------------------------------------


def files(seed: int = SEED) -> dict[str, bytes]:
    """The bytes of the three files, by name."""
    text = TextConfig(tuple(dict.fromkeys(VOCABULARY.split())), width=MODEL.text_dim)
    # the width of the text shows in no other way to ComfyUI's loader
    model = {"config": json.dumps({"transformer": {"text_dim": MODEL.text_dim, "freq_dim": MODEL.freq_dim}})}
    return {
        tiny_story.GENERATOR: _file(generator_weights(Draw(seed)), model),
        tiny_story.VAE: _file(vae_weights(Draw(seed + 1)), {"format": "pt"}),
        tiny_story.TEXT: _file(text_weights(text, Draw(seed + 2)), text.to_metadata()),
    }


def _file(weights: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    # one entry of metadata at most: safetensors writes several in any order
    return save({name: value.half().contiguous() for name, value in weights.items()}, metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the tiny story model's three files.")
    parser.add_argument("--seed", type=int, default=SEED, help=f"which weights to draw ({SEED})")
    parser.add_argument(
        "--out", type=Path, default=tiny_story.ASSETS, help="folder to write to (the pack's own assets)"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in files(arguments.seed).items():
        (arguments.out / name).write_bytes(content)
        print(f"{arguments.out / name}: {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
