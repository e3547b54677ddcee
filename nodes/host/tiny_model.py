"""Make a ComfyUI `VAE` and `CLIP` of the tiny story model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.utils
import torch
from comfy.sd1_clip import escape_important, token_weights, unescape_important
from comfy.supported_models_base import ClipTarget
from torch import Tensor, nn

from ...memflow_core.weights import TextConfig, TextEncoder
from .cpu_vae import speed_up_on_cpu


def vae_from_file(path: Path) -> comfy.sd.VAE:
    """A `VAE` from a file that ComfyUI recognises. Raises ValueError if it does not."""
    weights, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    vae = comfy.sd.VAE(sd=weights, metadata=metadata)
    if vae.first_stage_model is None:
        raise ValueError(f"ComfyUI does not recognise {path.name} as a VAE; update ComfyUI to 0.30 or newer.")
    speed_up_on_cpu(vae.first_stage_model)
    # for nodes that put a copy on another device
    vae.patcher.cached_patcher_init = (_vae_patcher, (str(path), metadata, None))
    return vae


def _vae_patcher(*arguments: Any, **options: Any) -> Any:
    """The patcher of the same `VAE` with weights of its own, as ComfyUI calls for it."""
    patcher = comfy.sd.load_vae_patcher(*arguments, **options)
    speed_up_on_cpu(patcher.model)
    return patcher


def text_encoder(read: Callable[[], TextEncoder]) -> comfy.sd.CLIP:
    """A `CLIP` that encodes prompts with a tiny text encoder; `read` gives it, a new one at each call."""
    encoder = read()
    target = ClipTarget(lambda **_: _TinyTokenizer(encoder.config), lambda **_: _TinyClip(encoder))
    clip = comfy.sd.CLIP(target, parameters=sum(parameter.numel() for parameter in encoder.parameters()))
    clip.patcher.cached_patcher_init = (_text_patcher, (read,))
    return clip


def _text_patcher(read: Callable[[], TextEncoder], disable_dynamic: bool = False) -> Any:  # noqa: ARG001
    """The patcher of the same `CLIP` with weights of its own, as ComfyUI calls for it; it is never dynamic."""
    return text_encoder(read).patcher


class _TinyTokenizer:
    """The methods that ComfyUI calls on a tokenizer."""

    def __init__(self, config: TextConfig):
        self._config = config

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_options: Any) -> dict[str, list]:
        """Tokens with weights from ComfyUI's (word:1.2) notation. Raises ValueError for unknown words."""
        parts = [(unescape_important(part), weight) for part, weight in token_weights(escape_important(text), 1.0)]
        # all of the text at once, so that one error names every unknown word
        self._config.ids(" ".join(part for part, _ in parts))
        tokens = [(token, weight) for part, weight in parts for token in self._config.ids(part)]
        if return_word_ids:
            tokens = [(*token, word) for word, token in enumerate(tokens, start=1)]
        return {"tiny": [tokens]}

    def untokenize(self, tokens: list[tuple]) -> list[tuple]:
        return [(token, self._config.words[token[0] - 1]) for token in tokens]

    def state_dict(self) -> dict[str, Tensor]:
        return {}


class _TinyClip(nn.Module):
    """The methods that ComfyUI calls on a text encoder."""

    # plain torch modules: ComfyUI moves them to a device as a whole
    disable_offload = True

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.encoder = encoder
        self.dtypes = {torch.float32}
        self._device: torch.device | None = None

    def set_clip_options(self, options: dict) -> None:
        self._device = options.get("execution_device", self._device)

    def reset_clip_options(self) -> None:
        self._device = None

    @torch.inference_mode()
    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[Tensor, None, dict]:
        """Embedding [1, length, text_dim], where other text encoders have a pooled one too, and no further output."""
        prompt = tokens["tiny"][0]
        # after Select CLIP Device these weights are not those that ComfyUI loaded, and stay where they are
        weights = {name: tensor.to(self._device or tensor.device) for name, tensor in self.encoder.state_dict().items()}
        arguments = [token[0] for token in prompt], [token[1] for token in prompt]
        embedding = torch.func.functional_call(self.encoder, weights, arguments)
        return embedding.to(comfy.model_management.intermediate_device()), None, {}
