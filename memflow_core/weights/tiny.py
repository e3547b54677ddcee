"""Where the bundled tiny story model lies: what `training.train_vae` and `training.train_generator` export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .files import Checkpoint, check_finite, read_checkpoint

ASSETS = Path(__file__).parents[1] / "assets"
TINY_GENERATOR = "tiny_story_generator.safetensors"
TINY_VAE = "tiny_story_vae.safetensors"
TINY_TEXT = "tiny_story_text.safetensors"

METADATA_KEY = "tiny_text"
END = 0  # the mark after the last word: embedding row 0, so that an empty prompt has a token too
MAX_WORDS, MAX_LENGTH, MAX_WIDTH = 100_000, 4096, 8192

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class TextConfig:
    """Sizes of a tiny text encoder, and its vocabulary.

    words   token 1, 2, 3 ...; token 0 is the end mark.
    length  rows of an embedding: words, the end mark, then zeros.
    """

    words: tuple[str, ...]
    length: int = 32
    width: int = 64
    heads: int = 2
    layers: int = 1
    ffn_dim: int = 128

    def __post_init__(self) -> None:
        words_ok = 0 < len(self.words) <= MAX_WORDS and all(isinstance(word, str) for word in self.words)
        if not words_ok or len(set(self.words)) != len(self.words):
            raise ValueError(f"the vocabulary must be 1 to {MAX_WORDS} different words.")
        limits = {"length": MAX_LENGTH, "width": MAX_WIDTH, "heads": 64, "layers": 64, "ffn_dim": MAX_WIDTH}
        for name, most in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ValueError(f"text encoder {name} is {value!r}, but must be a whole number from 1 to {most}.")
        if self.width % self.heads:
            raise ValueError(f"text encoder width {self.width} cannot be split into {self.heads} heads.")

    def to_metadata(self) -> dict[str, str]:
        """Metadata of a safetensors file, from which `read_text_encoder` learns the sizes."""
        return {METADATA_KEY: json.dumps(asdict(self))}

    def ids(self, text: str) -> list[int]:
        """Tokens of a text, without the end mark. Case and punctuation do not count.

        Raises ValueError naming the words that are not in the vocabulary, with the closest that are.
        """
        found = _WORD.findall(text.lower())
        known = {word: token for token, word in enumerate(self.words, start=END + 1)}
        unknown = [word for word in dict.fromkeys(found) if word not in known]
        if unknown:
            raise ValueError(self._describe_unknown(unknown))
        if len(found) >= self.length:
            raise ValueError(
                f"the prompt has {len(found)} words, but the tiny story model reads at most {self.length - 1}: "
                "shorten it."
            )
        return [known[word] for word in found]

    def _describe_unknown(self, unknown: list[str]) -> str:
        named = []
        for word in unknown:
            close = get_close_matches(word, self.words, n=1)
            named.append(f"{word!r} (did you mean {close[0]!r}?)" if close else repr(word))
        return f"the tiny story model does not know {', '.join(named)}: it knows only {', '.join(sorted(self.words))}."


class TextEncoder(nn.Module):
    """Tokens of one prompt -> its embedding."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(len(config.words) + 1, config.width)
        self.position = nn.Parameter(torch.zeros(config.length, config.width))
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.ffn_dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens: Iterable[int], weights: Iterable[float] | None = None) -> Tensor:
        """[1, length, width] for the tokens of a prompt, the end mark put behind them.

        weights  how strongly each token counts, 1.0 as it is: its row is multiplied by it.
        """
        device = self.embedding.weight.device
        ids = torch.tensor([[*tokens, END]], device=device)
        x = self.embedding(ids) + self.position[: ids.shape[1]]
        x = self.norm(self.layers(x))
        if weights is not None:
            x = x * torch.tensor([*weights, 1.0], device=device, dtype=x.dtype)[:, None]
        return F.pad(x, (0, 0, 0, self.config.length - ids.shape[1]))


def read_text_encoder(path: str | Path) -> TextEncoder:
    """Read a tiny text encoder, in float32.

    Raises FileNotFoundError, or ValueError for a file that is none, is damaged, or does not fit together.
    """
    checkpoint = read_checkpoint(path)
    name = checkpoint.path.name
    encoder = TextEncoder(_read_config(checkpoint))
    check_finite(name, checkpoint.tensors)
    try:
        encoder.load_state_dict(checkpoint.tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name} does not fit together: {reason}") from error
    return encoder.eval().requires_grad_(False)


def _read_config(checkpoint: Checkpoint) -> TextConfig:
    name = checkpoint.path.name
    if METADATA_KEY not in checkpoint.metadata:
        raise ValueError(f"{name} is not the text encoder of a tiny story model: its metadata has no {METADATA_KEY}.")
    try:
        sizes = json.loads(checkpoint.metadata[METADATA_KEY])
        return TextConfig(**{**sizes, "words": tuple(sizes["words"])})
    # whatever a stranger may have put there
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{name} has a damaged {METADATA_KEY} in its metadata: {error}") from error
