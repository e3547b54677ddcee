"""The bundled tiny story model: its files, and its text encoder.

The generator has the Wan layout (`read_generator`), the VAE is ComfyUI's own; the text encoder is written here: a small
transformer over a vocabulary of its own, which stands in its file's metadata.
"""

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

# exported by `training.train_generator` and `training.train_vae`
ASSETS = Path(__file__).parents[1] / "assets"
TINY_GENERATOR = "tiny_story_generator.safetensors"
TINY_CONTROL = "tiny_story_control.safetensors"
TINY_TEXT = "tiny_story_text.safetensors"
TINY_VAE = "tiny_story_vae.safetensors"

METADATA_KEY = "tiny_text"
END = 0  # token after the last word, so that an empty prompt has one too
MAX_WORDS = 100_000
MAX_LENGTH = 4096
MAX_WIDTH = 8192

# with either apostrophe, as in "don't"
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


@dataclass(frozen=True)
class TextConfig:
    """Vocabulary and sizes of a tiny text encoder.

    words   the vocabulary: token 1, 2, 3 ...; token 0 is END.
    length  rows of an embedding: words, END, then zeros.
    width   columns of an embedding.

    Raises ValueError for values that fit no encoder.
    """

    words: tuple[str, ...]
    length: int = 32
    width: int = 64
    heads: int = 2
    layers: int = 1
    ffn_dim: int = 128

    def __post_init__(self) -> None:
        valid = 0 < len(self.words) <= MAX_WORDS and all(isinstance(word, str) for word in self.words)
        if not valid or len(set(self.words)) != len(self.words):
            raise ValueError(f"the vocabulary must be 1 to {MAX_WORDS} different words.")
        limits = {"length": MAX_LENGTH, "width": MAX_WIDTH, "heads": 64, "layers": 64, "ffn_dim": MAX_WIDTH}
        for name, most in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ValueError(f"text encoder {name} is {value!r}, but must be a whole number from 1 to {most}.")
        if self.width % self.heads:
            raise ValueError(f"text encoder width {self.width} cannot be split into {self.heads} heads.")

    def to_metadata(self) -> dict[str, str]:
        """This config as metadata of a safetensors file, for `read_text_encoder`."""
        return {METADATA_KEY: json.dumps(asdict(self))}

    def ids(self, text: str) -> list[int]:
        """Tokenise a text, without END. Case and punctuation are ignored.

        Raises ValueError for words that are not in the vocabulary, and for too many words.
        """
        words = _WORD.findall(text.lower())
        tokens = {word: token for token, word in enumerate(self.words, start=END + 1)}
        unknown = [word for word in dict.fromkeys(words) if word not in tokens]
        if unknown:
            raise ValueError(self._describe_unknown(unknown))
        if len(words) >= self.length:
            raise ValueError(
                f"the prompt has {len(words)} words, but the tiny story model reads at most {self.length - 1}: "
                "shorten it."
            )
        return [tokens[word] for word in words]

    def _describe_unknown(self, unknown: list[str]) -> str:
        """An error message that names unknown words, each with the closest word of the vocabulary."""
        listed = []
        for word in unknown:
            close = get_close_matches(word, self.words, n=1)
            listed.append(f"{word!r} (did you mean {close[0]!r}?)" if close else repr(word))
        return f"the tiny story model does not know {', '.join(listed)}: it knows only {', '.join(sorted(self.words))}."


class TextEncoder(nn.Module):
    """A small transformer from the tokens of one prompt to its embedding."""

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

    def encode(self, text: str) -> Tensor:
        """Embed a prompt: [1, length, width] float32. Raises ValueError for unknown words, and for too many words."""
        return self(self.config.ids(text))

    def forward(self, tokens: Iterable[int], weights: Iterable[float] | None = None) -> Tensor:
        """Embed the tokens of a prompt, with END after them.

        weights  a factor for the row of each token, 1.0 by default.

        Returns [1, length, width] float32, rows of zeros behind END.
        """
        device = self.embedding.weight.device
        ids = torch.tensor([[*tokens, END]], device=device)
        x = self.embedding(ids) + self.position[: ids.shape[1]]
        x = self.norm(self.layers(x))
        if weights is not None:
            x = x * torch.tensor([*weights, 1.0], device=device, dtype=x.dtype)[:, None]
        return F.pad(x, (0, 0, 0, self.config.length - ids.shape[1]))


def read_text_encoder(path: str | Path) -> TextEncoder:
    """Read a tiny text encoder from its file, in float32 on the CPU, without gradients.

    Raises FileNotFoundError; ValueError for a file of another kind, or one that is incomplete or damaged.
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
    # a foreign file may hold anything there
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{name} has a damaged {METADATA_KEY} in its metadata: {error}") from error
