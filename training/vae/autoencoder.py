"""Small causal video autoencoder in the layout of the Wan 2.1 VAE, in a form that trains fast.

Its convolutions over space see one picture at a time; only the `time_conv` of the resampling layers mixes time. In the
Wan layout a convolution over space is a 3 x 3 x 3 one, whose two older taps are zero here: so `wan_weights` writes it.
Training costs a third of that with full convolutions. The network looks back over few pictures, so nothing drifts, and
what it learns on short clips holds for long stories.

Module names are those of the layout. Pictures pass the layers as one batch [clips * pictures, channels, rows, columns].
The first picture of a clip is a latent frame of its own; each later latent frame is 4 pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENTS = 16
MULTIPLES = (1, 2, 4, 4)  # widths of the levels, in base widths
DOWNS = ("downsample2d", "downsample3d", "downsample3d")
UPS = ("upsample3d", "upsample3d", "upsample2d")


class Conv(nn.Conv2d):
    """Convolution over space: [N, ins, rows, columns] -> [N, out, rows, columns], fewer with a stride.

    taps  its length in time in the Wan layout; 0: it has no such axis there.
    """

    def __init__(self, ins: int, out: int, *, kernel: int, taps: int = 0, stride: int = 1, padding: int | None = None):
        super().__init__(ins, out, kernel, stride, kernel // 2 if padding is None else padding)
        self.taps = taps

    def wan_weight(self) -> Tensor:
        """Return the weight as the Wan layout has it: [out, ins, taps, kernel, kernel], or without the axis of taps."""
        if not self.taps:
            return self.weight
        older = self.weight.new_zeros(*self.weight.shape[:2], self.taps - 1, *self.weight.shape[2:])
        return torch.cat((older, self.weight[:, :, None]), 2)


class TimeConv(nn.Module):
    """Convolution over time alone: each output sees `TAPS` pictures, the oldest first."""

    TAPS = 3

    def __init__(self, ins: int, out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out, ins, self.TAPS))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, pictures: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return [clips * n, out, rows, columns] of three tensors [clips, n, ins, rows, columns]."""
        together = torch.cat(pictures, 2).flatten(0, 1)
        return F.conv2d(together, self.weight.transpose(1, 2).flatten(1)[..., None, None], self.bias)

    def wan_weight(self) -> Tensor:
        """Return the weight as the Wan layout has it: [out, ins, taps, 1, 1]."""
        return self.weight[..., None, None]


class Norm(nn.Module):
    """RMS norm over the channels of [N, channels, rows, columns], with SiLU behind it unless `silu` is False.

    dims  number of axes behind the channels in the layout's `gamma`: 3 for video, 2 for pictures.
    """

    def __init__(self, channels: int, silu: bool = True, dims: int = 3):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * dims))
        self.silu = silu
        self.compiled: Callable[[Tensor, Tensor, bool], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        norm = self.compiled if self.compiled is not None and self.training else _norm
        return norm(x, self.gamma.view(1, -1, 1, 1), self.silu)


def _norm(x: Tensor, gamma: Tensor, silu: bool) -> Tensor:
    wide = x.float()
    wide = wide * (torch.rsqrt((wide * wide).mean(1, keepdim=True) + 1e-12) * gamma)
    return (F.silu(wide) if silu else wide).to(x.dtype)


def compile_norms(model: nn.Module) -> None:
    """Train with compiled norms from now on: plain ones take most of a step's time. A CPU needs a C++ compiler."""
    # each shape is compiled for itself; evaluation stays plain, since whole stories have too many shapes
    torch._dynamo.config.recompile_limit = 128
    compiled = torch.compile(_norm, dynamic=False)
    for layer in model.modules():
        if isinstance(layer, Norm):
            layer.compiled = compiled


class Residual(nn.Module):
    """Residual block of the Wan layout: [N, ins, rows, columns] -> [N, out, rows, columns]."""

    def __init__(self, ins: int, out: int):
        super().__init__()
        # the names count: the layout has its nonlinearities at 1 and 4, a dropout at 5
        self.residual = nn.ModuleDict(
            {
                "0": Norm(ins),
                "2": Conv(ins, out, kernel=3, taps=3),
                "3": Norm(out),
                "6": Conv(out, out, kernel=3, taps=3),
            }
        )
        self.shortcut = Conv(ins, out, kernel=1, taps=1) if ins != out else nn.Identity()

    def forward(self, x: Tensor, _clips: int) -> Tensor:
        inner = x
        for layer in self.residual.values():
            inner = layer(inner)
        return self.shortcut(x) + inner


class Attention(nn.Module):
    """Self-attention among the pixels of each picture: [N, channels, rows, columns] -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = Norm(channels, silu=False, dims=2)
        self.to_qkv = Conv(channels, 3 * channels, kernel=1)
        self.proj = Conv(channels, channels, kernel=1)

    def forward(self, x: Tensor, _clips: int) -> Tensor:
        rows, columns = x.shape[2:]
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj(mixed.transpose(1, 2).unflatten(2, (rows, columns)))


class Resample(nn.Module):
    """Halve or double the size; in the 3d kinds also the number of pictures, all but a clip's first.

    kind  one of DOWNS or UPS.
    """

    def __init__(self, channels: int, kind: str):
        super().__init__()
        self.kind = kind
        if kind.startswith("down"):
            self.resample = nn.ModuleDict({"1": Conv(channels, channels, kernel=3, stride=2, padding=0)})
        else:
            self.resample = nn.ModuleDict({"1": Conv(channels, channels // 2, kernel=3)})
        if kind.endswith("3d"):
            self.time_conv = TimeConv(channels, channels if kind.startswith("down") else 2 * channels)

    def forward(self, x: Tensor, clips: int) -> Tensor:
        if self.kind.startswith("up"):
            x = self._more_pictures(x, clips) if self.kind == "upsample3d" else x
            return self.resample["1"](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = self.resample["1"](F.pad(x, (0, 1, 0, 1)))
        return self._fewer_pictures(x, clips) if self.kind == "downsample3d" else x

    def _fewer_pictures(self, x: Tensor, clips: int) -> Tensor:
        x = x.unflatten(0, (clips, -1))
        if x.shape[1] == 1:
            return x.flatten(0, 1)
        fewer = self.time_conv((x[:, 0:-2:2], x[:, 1::2], x[:, 2::2])).unflatten(0, (clips, -1))
        return torch.cat((x[:, :1], fewer), 1).flatten(0, 1)

    def _more_pictures(self, x: Tensor, clips: int) -> Tensor:
        x = x.unflatten(0, (clips, -1))
        first, later = x[:, :1], x[:, 1:]
        if not later.shape[1]:
            return first.flatten(0, 1)
        padded = F.pad(later, (0, 0, 0, 0, 0, 0, 2, 0))  # zeros stand for what was before the second latent frame
        more = self.time_conv((padded[:, :-2], padded[:, 1:-1], later)).unflatten(0, (clips, -1))
        more = more.unflatten(2, (2, -1)).flatten(1, 2)
        return torch.cat((first, more), 1).flatten(0, 1)


class Coder(nn.Module):
    """Encoder or decoder: residual blocks at each width, with a `Resample` between widths.

    blocks  residual blocks of each width.
    kinds   of the `Resample` behind each width but the last; those of an encoder or those of a decoder.
    """

    def __init__(self, ins: int, out: int, *, widths: list[int], blocks: int, kinds: tuple[str, ...]):
        super().__init__()
        up = kinds[0].startswith("up")
        self.conv1 = Conv(ins, widths[0], kernel=3, taps=3)
        layers: list[nn.Module] = []
        width = widths[0]
        for level, wanted in enumerate(widths):
            for _ in range(blocks):
                layers.append(Residual(width, wanted))
                width = wanted
            if level < len(kinds):
                layers.append(Resample(width, kinds[level]))
                width = width // 2 if up else width
        end = widths[0] if up else width
        self.middle = nn.ModuleList([Residual(end, end), Attention(end), Residual(end, end)])
        self.head = nn.ModuleDict({"0": Norm(width), "2": Conv(width, out, kernel=3, taps=3)})
        self.add_module("upsamples" if up else "downsamples", nn.ModuleList(layers))
        self._order = [*self.middle, *layers] if up else [*layers, *self.middle]

    def forward(self, x: Tensor, clips: int) -> Tensor:
        x = self.conv1(x)
        for layer in self._order:
            x = layer(x, clips)
        return self.head["2"](self.head["0"](x))


class VideoAutoencoder(nn.Module):
    """Video autoencoder: pictures to latents and back.

    width  base width, 8 or 16 for the cartoons.
    seed   of the first weights.
    """

    def __init__(self, width: int = 16, seed: int = 0):
        super().__init__()
        widths = [width * multiple for multiple in MULTIPLES]
        self.width = width
        self.encoder = Coder(3, 2 * LATENTS, widths=widths, blocks=2, kinds=DOWNS)
        self.decoder = Coder(LATENTS, 3, widths=widths[::-1], blocks=3, kinds=UPS)
        self.conv1 = Conv(2 * LATENTS, 2 * LATENTS, kernel=1, taps=1)
        self.conv2 = Conv(LATENTS, LATENTS, kernel=1, taps=1)
        initialise(self, torch.Generator().manual_seed(seed))

    def encode(self, pictures: Tensor) -> Tensor:
        """Encode pictures, float [clips, 1 + 4 n, 3, rows, columns] in -1..1; rows and columns are multiples of 8.

        Returns raw latents, [clips, 1 + n, LATENTS, rows / 8, columns / 8].
        """
        clips = pictures.shape[0]
        flat = pictures.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.conv1(self.encoder(flat, clips))[:, :LATENTS].unflatten(0, (clips, -1))

    def decode(self, latents: Tensor) -> Tensor:
        """Decode raw latents, [clips, 1 + n, LATENTS, rows / 8, columns / 8].

        Returns pictures, [clips, 1 + 4 n, 3, rows, columns]; some values may lie a little outside -1..1.
        """
        clips = latents.shape[0]
        flat = latents.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.decoder(self.conv2(flat), clips).unflatten(0, (clips, -1))


# -- first weights ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def initialise(model: nn.Module, draw: torch.Generator) -> None:
    """Set weights in place from which pictures are learnt soon. Convolutions over time first pass pictures through."""
    for name, layer in model.named_modules():
        if isinstance(layer, TimeConv):
            _first_time_conv(layer)
        elif isinstance(layer, Conv):
            layer.bias.zero_()
            _first_conv(name, layer.weight, draw)


def _first_time_conv(layer: TimeConv) -> None:
    out, ins, _ = layer.weight.shape
    same = torch.eye(ins)
    layer.bias.zero_()
    layer.weight.zero_()
    if out == ins:
        for tap, share in enumerate((0.2, 0.4, 0.4)):
            layer.weight[:, :, tap] = share * same
    else:
        layer.weight[:, :, -1] = torch.cat((same, same))


def _first_conv(name: str, weight: Tensor, draw: torch.Generator) -> None:
    out, ins, height, width = weight.shape
    if name.endswith("proj"):
        weight.zero_()
        return
    gain = {"residual.2": 1.4, "residual.6": 0.2, "resample.1": 0.5}
    scale = next((value for end, value in gain.items() if name.endswith(end)), 1.0)
    weight.normal_(0, scale / math.sqrt(ins * height * width), generator=draw)
    if name.endswith(("resample.1", "shortcut", "conv1", "conv2")) and ins > 3:
        weight[:, :, height // 2, width // 2] += _orthogonal(out, ins, draw)


def _orthogonal(out: int, ins: int, draw: torch.Generator) -> Tensor:
    """Draw a matrix [out, ins] with orthogonal rows or columns, scaled so that the variance stays as it is."""
    q, _ = torch.linalg.qr(torch.randn(max(out, ins), min(out, ins), generator=draw))
    return q * math.sqrt(out / ins) if out >= ins else q.T


# -- Wan layout ------------------------------------------------------------------------------------------------------

# mean and standard deviation of each latent channel in ComfyUI's fixed latent format of Wan 2.1
WAN_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
WAN_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)
_NO_VARIANCE = -6.0  # the log variance that the layout has room for and ComfyUI does not read


@torch.no_grad()
def wan_weights(model: VideoAutoencoder, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Return the model's weights under the names and in the shapes of the Wan 2.1 VAE, float32 on the CPU.

    mean, std  of the raw latents, [LATENTS]. The layers next to the latents are changed so that latents come out, and
               are expected, with the mean and deviation that ComfyUI's latent format takes for granted.
    """
    weights = {}
    for name, parameter in model.state_dict().items():
        layer = model.get_submodule(name.rpartition(".")[0])
        weights[name] = layer.wan_weight() if name.endswith(".weight") else parameter
    scale = (torch.tensor(WAN_STD).double() / std.double()).cpu()
    shift = torch.tensor(WAN_MEAN).double() - mean.double().cpu() * scale
    weights = {name: value.detach().double().cpu().clone() for name, value in weights.items()}
    into, into_bias = weights["conv1.weight"], weights["conv1.bias"]
    into[:LATENTS] *= scale.view(-1, 1, 1, 1, 1)
    into_bias[:LATENTS] = into_bias[:LATENTS] * scale + shift
    into[LATENTS:] = 0
    into_bias[LATENTS:] = _NO_VARIANCE
    back, back_bias = weights["conv2.weight"], weights["conv2.bias"]
    back_bias -= back[:, :, 0, 0, 0] @ (shift / scale)
    back /= scale.view(1, -1, 1, 1, 1)
    return {name: value.float().contiguous() for name, value in weights.items()}
