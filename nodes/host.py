"""The one place that touches ComfyUI: models, memory, attention, progress, files."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import latent_preview
import torch
from aiohttp import web
from comfy.cli_args import args
from comfy.ldm.modules.attention import optimized_attention
from comfy.ldm.wan.vae import WanVAE
from comfy.sd1_clip import escape_important, token_weights, unescape_important
from comfy.supported_models_base import ClipTarget
from comfy_api.latest import InputImpl
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor, nn

from ..memflow_core.backbone import Backbone
from ..memflow_core.footprint import Decode
from ..memflow_core.stream import Chunk, LatentShape
from ..memflow_core.tiny_text import TextConfig, TextEncoder

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
STATE_FOLDER, STATE_ENDING = "memflow_states", ".safetensors"
DECODED_FRAMES = 3  # most latent frames that a streaming decode takes at once


# -- sampling on ComfyUI's terms -----------------------------------------------------------------------------


def wan_tree(model) -> nn.Module:
    """The Wan-layout module tree inside a `MODEL`. Raises ValueError, naming what it found, for anything else."""
    tree = model.model.diffusion_model
    found = type(model.model).__name__
    parts = ("patch_embedding", "text_embedding", "time_embedding", "time_projection", "blocks", "head")
    if not all(hasattr(tree, part) for part in parts):
        raise ValueError(
            f"the model is a {found}, but MemFlow needs a Wan 2.1 text-to-video model: load MemFlow, "
            f"Self-Forcing, LongLive or Causal Forcing weights of the 1.3B layout."
        )
    channels = tree.patch_embedding.weight.shape[1]
    if getattr(tree, "img_emb", None) is not None or channels != tree.out_dim:
        raise ValueError(
            f"the model is a {found} with {channels} input channels, but MemFlow needs a text-to-video model "
            f"with {tree.out_dim}: image-to-video and control models cannot be streamed."
        )
    return tree


@contextmanager
def sampling(model, latent_shape: tuple[int, ...], cache_bytes: int, vae=None) -> Iterator[Backbone]:
    """A `MODEL` on its device, patched and ready, as a `Backbone`; beside it a `VAE` to decode with, if there is one.

    ComfyUI makes room for the activations of one forward over `latent_shape`, for `cache_bytes` of ours and for the
    decode of a few latent frames, and offloads, casts and patches as for any sampler.
    """
    models, needed = [model], model.memory_required(list(latent_shape)) + cache_bytes
    if vae is not None:
        batch, channels, _, rows, columns = latent_shape
        models.append(vae.patcher)
        reckoned = vae.memory_used_decode((batch, channels, DECODED_FRAMES, rows, columns), vae.vae_dtype)
        decode = Decode.of(LatentShape(rows, columns, batch), 0, vae.vae_dtype.itemsize)
        needed += max(reckoned, decode.carry + decode.work)
    comfy.model_management.load_models_gpu(models, memory_required=needed)
    with comfy.model_management.cuda_device_context(model.load_device):
        try:
            model.pre_run()
            yield Backbone(wan_tree(model), model.model.get_dtype_inference(), attention_of(model))
        finally:
            model.cleanup()


def back_on_device(model, latent_shape: tuple[int, ...], vae=None) -> None:
    """Inside `sampling`, after another model ran: make sure that what samples is on its device again."""
    models = [model] if vae is None else [model, vae.patcher]
    comfy.model_management.load_models_gpu(models, memory_required=model.memory_required(list(latent_shape)))


def stop_if_cancelled() -> None:
    """Raise ComfyUI's own exception if the user pressed cancel."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def attention_of(model):
    """ComfyUI's attention, with any override that a node put on the model."""
    options = model.model_options.get("transformer_options", {})

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return optimized_attention(
            q, k, v, heads=q.shape[1], skip_reshape=True, skip_output_reshape=True, transformer_options=options
        )

    return attend


def to_latent(model, x: Tensor) -> Tensor:
    """From the model's latent space to that of ComfyUI's `LATENT`, on ComfyUI's device for results."""
    return model.model.process_latent_out(x).to(comfy.model_management.intermediate_device())


def from_latent(model, x: Tensor) -> Tensor:
    """From the latent space of ComfyUI's `LATENT` to the model's."""
    return model.model.process_latent_in(x)


class Progress:
    """Progress bar, previews and a line of text on the running node, and the way a cancel gets in.

    forwards, chunks  in the whole run; where nobody knows how many chunks there will be (None), of one chunk.
    """

    def __init__(self, model, forwards: int, chunks: int | None):
        self._bar, self._done, self._chunks = comfy.utils.ProgressBar(forwards), 0, chunks
        self._format = model.model.latent_format
        self._previewer = latent_preview.get_previewer(model.load_device, self._format)

    def step(self) -> None:
        """One forward is about to run. Raises ComfyUI's own exception if the user pressed cancel."""
        stop_if_cancelled()
        self._bar.update_absolute(self._done)
        self._done += 1

    def say(self, text: str) -> None:
        """A line of text on the node."""
        running = get_executing_context()
        if running is not None:
            # to the page that queued it; without its id, every open page would show it on a node of that number
            PromptServer.instance.send_progress_text(text, running.node_id, PromptServer.instance.client_id)

    def chunk(self, chunk: Chunk) -> None:
        """A chunk is finished."""
        preview = None
        if self._previewer is not None:
            preview = self._previewer.decode_latent_to_preview_image("JPEG", chunk.latents)
        self.say(f"chunk {chunk.index + 1}" + ("" if self._chunks is None else f" of {self._chunks}"))
        self._bar.update_absolute(self._done, preview=preview)
        if self._chunks is None:
            self._done = 0

    def picture(self, latents: Tensor):
        """A small PIL picture of the first of some latent frames [1, C, F, h, w], by the user's previewer, or else by
        ComfyUI's cheapest one. None where it has none for these latents."""
        previewer = self._previewer
        if previewer is None and self._format.latent_rgb_factors is not None:
            factors = (getattr(self._format, f"latent_rgb_factors{part}") for part in ("", "_bias", "_reshape"))
            previewer = latent_preview.Latent2RGBPreviewer(*factors)
        return None if previewer is None else previewer.decode_latent_to_preview(latents[:, :, :1])


class Page:
    """The page that queued the node that runs now. Outside a run of ComfyUI there is none: then `send` does nothing."""

    def __init__(self):
        running = get_executing_context()
        self.prompt_id, self.node_id = (running.prompt_id, running.node_id) if running else ("", "")
        # a prompt queued without an id of its own is answered to nobody, as by ComfyUI itself
        self._client = PromptServer.instance.client_id if running else None

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Send JSON to the page, from any thread."""
        if self._client is not None:
            told = {"node": self.node_id, "prompt_id": self.prompt_id, **data}
            PromptServer.instance.send_sync(event, told, self._client)


# -- HTTP ----------------------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, Any]]
"""HTTP status, and JSON."""


def add_json_routes(path: str, read: Callable[..., Answer], write: Callable[..., Answer], most_bytes: int) -> None:
    """Serve GET and POST at a path. Its {names} are arguments of both functions; `write` gets the body's JSON behind
    them. A body of more than `most_bytes`, or that is no JSON, is refused here."""
    routes = PromptServer.instance.routes

    @routes.get(path)
    async def on_get(request: web.Request) -> web.Response:
        return _json(*read(**request.match_info))

    @routes.post(path)
    async def on_post(request: web.Request) -> web.Response:
        body = bytearray()
        async for data in request.content.iter_chunked(most_bytes):
            body += data
            if len(body) > most_bytes:
                return _json(413, {"error": f"the body is larger than {most_bytes} bytes."})
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return _json(400, {"error": "the body is no JSON."})
        return _json(*write(**request.match_info, body=content))


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.json_response(content, status=status)


# -- files ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OutputFile:
    """A new file in one of ComfyUI's folders."""

    path: Path
    subfolder: str
    folder: str  # "output" or "temp"


def new_output_file(prefix: str, extension: str, width: int, height: int, keep: bool) -> OutputFile:
    """The next free name for a prefix, in ComfyUI's output folder, or in its temp folder where not `keep`."""
    root = folder_paths.get_output_directory() if keep else folder_paths.get_temp_directory()
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root, width, height)
    return OutputFile(Path(folder) / f"{name}_{counter:05}_.{extension}", subfolder, "output" if keep else "temp")


def new_state_file(prefix: str) -> OutputFile:
    """The next free name for a prefix, below the states' folder in ComfyUI's output. Raises ValueError outside it."""
    root = Path(folder_paths.get_output_directory()) / STATE_FOLDER
    root.mkdir(parents=True, exist_ok=True)
    named = Path(prefix).name not in ("", "..")
    if not named or not folder_paths.is_within_directory(str(root), str((root / prefix).parent)):
        raise ValueError(
            f"filename_prefix is {prefix!r}, but must be a name inside the output folder's {STATE_FOLDER}: nothing is "
            f"written outside of it."
        )
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, str(root))
    path = Path(folder) / f"{name}_{counter:05}_{STATE_ENDING}"
    return OutputFile(path, str(Path(STATE_FOLDER) / subfolder), "output")


def state_files() -> list[str]:
    """Files that may hold a state, as ComfyUI annotates names: those in the states' folder, and in the input folder."""
    output = Path(folder_paths.get_output_directory())
    made, _ = folder_paths.recursive_search(str(output / STATE_FOLDER))
    brought, _ = folder_paths.recursive_search(folder_paths.get_input_directory())
    names = [f"{(Path(STATE_FOLDER) / name).as_posix()} [output]" for name in sorted(made, reverse=True)]
    names += [Path(name).as_posix() for name in sorted(brought)]
    return [name for name in names if name.removesuffix(" [output]").endswith(STATE_ENDING)]


def state_path(name: str) -> Path:
    """Path of a file that `state_files` could list. Raises ValueError for any other place, FileNotFoundError if there
    is no such file."""
    inside, output = name.removesuffix(" [output]"), name.endswith(" [output]")
    root = Path(folder_paths.get_output_directory() if output else folder_paths.get_input_directory())
    path, allowed = root / inside, root / STATE_FOLDER if output else root
    if path.suffix != STATE_ENDING or not folder_paths.is_within_directory(str(allowed), str(path)):
        raise ValueError(
            f"{name!r} is no state's file: choose a {STATE_ENDING} file in the output folder's {STATE_FOLDER}, or in "
            f"the input folder."
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no state called {name}: refresh the list, and choose another file.")
    return path


def workflow_metadata(prompt: dict | None, extra: dict | None) -> dict[str, str]:
    """The tags that bring a workflow back when the file is dropped on the front end, one JSON text each."""
    if args.disable_metadata:
        return {}
    tags = dict(extra or {})
    if prompt is not None:
        tags["prompt"] = prompt
    return {name: json.dumps(value) for name, value in tags.items()}


def text_tags(tags: dict[str, str]) -> dict[str, str]:
    """Further tags of a file, where the user lets files have any."""
    return {} if args.disable_metadata else tags


def video_from_file(path: Path):
    """A `VIDEO` that stays on disk."""
    return InputImpl.VideoFromFile(str(path))


def inform(message: str) -> None:
    logging.info("MemFlow: %s", message)


# -- HTTP ----------------------------------------------------------------------------------------------------


def add_post_route(path: str, answer: Callable[[bytes], tuple[int, dict]], max_bytes: int) -> None:
    """Let the server answer POSTs to `path`: `answer` makes status and JSON of a body of at most `max_bytes`.

    It runs in a thread of its own, so that the server goes on.
    """

    async def handle(request: web.Request) -> web.Response:
        body = bytearray()
        async for part in request.content.iter_chunked(65536):
            body += part
            if len(body) > max_bytes:
                return web.json_response({"error": f"the body is larger than {max_bytes} bytes."}, status=413)
        status, said = await asyncio.to_thread(answer, bytes(body))
        return web.json_response(said, status=status)

    PromptServer.instance.routes.post(path)(handle)


def add_get_route(path: str, content: dict[str, Any]) -> None:
    """Let the server answer GETs to `path` with JSON that stays the same."""

    async def handle(request: web.Request) -> web.Response:
        return _json(200, content)

    PromptServer.instance.routes.get(path)(handle)


# -- models --------------------------------------------------------------------------------------------------


def model_files(folder: str) -> list[str]:
    """File names in one of ComfyUI's model folders."""
    return folder_paths.get_filename_list(folder)


def model_path(folder: str, name: str) -> str:
    """Path of a model file; FileNotFoundError if it is not in ComfyUI's folders."""
    return folder_paths.get_full_path_or_raise(folder, name)


def usual_dtype() -> torch.dtype:
    """In what this machine runs a Wan 2.1 model, unless a loader is told otherwise."""
    return comfy.model_management.unet_dtype(supported_dtypes=[torch.float16, torch.bfloat16, torch.float32])


def usual_vae_dtype() -> torch.dtype:
    """In what this machine runs the Wan 2.1 VAE."""
    device = comfy.model_management.vae_device()
    return comfy.model_management.vae_dtype(device, [torch.bfloat16, torch.float16, torch.float32])


def wan_model(generator, dtype: str):
    """A `MODEL` from a generator's weights in plain Wan keys. dtype: default, bf16, fp16 or fp32."""
    options = {} if dtype == "default" else {"dtype": DTYPES[dtype]}
    # what ComfyUI cannot tell from the weights' shapes
    sizes = {name: getattr(generator.config, name) for name in ("text_dim", "freq_dim", "num_heads")}
    metadata = {"config": json.dumps({"transformer": sizes})}
    model = comfy.sd.load_diffusion_model_state_dict(
        dict(generator.state_dict), model_options=options, metadata=metadata
    )
    if model is None:
        raise ValueError(
            "ComfyUI does not recognise these weights as a Wan 2.1 model; update ComfyUI to 0.30 or newer."
        )
    return model


def with_lora(model, lora: dict[str, Tensor], strength: float):
    """A `MODEL` with a LoRA behind it, by ComfyUI's own LoRA code."""
    patched, _ = comfy.sd.load_lora_for_models(model, None, lora, strength, 0.0)
    return patched


def check_text_width(model, embeddings: tuple[Tensor, ...]) -> None:
    """Raise ValueError if prompts were encoded for another model."""
    width = wan_tree(model).text_embedding[0].in_features
    for embedding in embeddings:
        if embedding.ndim != 3 or embedding.shape[-1] != width:
            raise ValueError(
                f"the prompt embedding is {embedding.shape[-1]} wide, but the model reads {width}: use the text "
                f"encoder that belongs to the model (for Wan: umt5-xxl, type wan)."
            )


# -- the tiny story model ------------------------------------------------------------------------------------


def vae_from_file(path: Path):
    """A `VAE` from a file that ComfyUI recognises. Raises ValueError if it does not."""
    weights, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    vae = comfy.sd.VAE(sd=weights, metadata=metadata)
    if vae.first_stage_model is None:
        raise ValueError(f"ComfyUI does not recognise {path.name} as a VAE; update ComfyUI to 0.30 or newer.")
    return vae


def text_encoder(encoder: TextEncoder):
    """A `CLIP` that reads prompts with a tiny text encoder."""
    target = ClipTarget(lambda **_: _TinyTokenizer(encoder.config), lambda **_: _TinyClip(encoder))
    return comfy.sd.CLIP(target, parameters=sum(parameter.numel() for parameter in encoder.parameters()))


class _TinyTokenizer:
    """What ComfyUI asks of a tokenizer."""

    def __init__(self, config: TextConfig):
        self._config = config

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **options) -> dict[str, list]:
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
    """What ComfyUI asks of a text encoder."""

    # plain torch modules: ComfyUI moves them to a device as a whole
    disable_offload = True

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.encoder, self.dtypes = encoder, {torch.float32}

    def set_clip_options(self, options: dict) -> None:
        pass

    def reset_clip_options(self) -> None:
        pass

    @torch.inference_mode()
    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[Tensor, None, dict]:
        prompt = tokens["tiny"][0]
        embedding = self.encoder([token[0] for token in prompt], [token[1] for token in prompt])
        return embedding.to(comfy.model_management.intermediate_device()), None, {}


# -- video autoencoder ---------------------------------------------------------------------------------------


WANTED_VAE = "connect the Wan 2.1 VAE (16 latent channels), for example wan_2.1_vae.safetensors."


def check_wan_vae(vae) -> None:
    """Raise ValueError unless a `VAE` is a Wan 2.1 video autoencoder."""
    network = getattr(vae, "first_stage_model", None)
    if network is None:
        raise ValueError(f"there is no VAE on the vae input: {WANTED_VAE}")
    if not isinstance(network, WanVAE):
        raise ValueError(
            f"the VAE is a {type(network).__name__} with {vae.latent_channels} latent channels, which cannot decode "
            f"Wan 2.1 video as a stream: {WANTED_VAE}"
        )


def check_stream_vae(vae, model) -> None:
    """Raise ValueError unless a `VAE` can decode a `MODEL`'s latents as a stream."""
    check_wan_vae(vae)
    channels = wan_tree(model).out_dim
    if vae.latent_channels != channels:
        raise ValueError(
            f"the VAE has {vae.latent_channels} latent channels, but the model makes {channels}: {WANTED_VAE}"
        )
    if vae.conv_out_channels != 3:
        raise ValueError(f"the VAE makes pictures of {vae.conv_out_channels} channels, but video has 3: {WANTED_VAE}")


def encode_pictures(vae, pictures: Tensor) -> Tensor:
    """Latents [1, C, 1 + (F - 1) / 4, h, w] on the CPU of pictures [F, H, W, 3] that follow each other."""
    with torch.no_grad():
        return vae.encode(pictures).float().cpu()


def fit_pictures(pictures: Tensor, width: int, height: int) -> Tensor:
    """Pictures [F, H, W, 3 or 4] resized to fill a size, and cropped at the centre: -> [F, height, width, 3]."""
    pictures = pictures[..., :3]
    if pictures.shape[1:3] == (height, width):
        return pictures
    return comfy.utils.common_upscale(pictures.movedim(-1, 1), width, height, "lanczos", "center").movedim(1, -1)


def video_pictures(video, fps: float, most: int) -> Tensor:
    """The last pictures of a `VIDEO`, at most `most` of them, as it would be at `fps`: [F, H, W, 3]."""
    seconds = most / fps
    # only what is needed is decoded, where the video is a file
    if isinstance(video, InputImpl.VideoFromFile) and (length := video.get_duration()) > seconds + 1:
        video = video.as_trimmed(length - seconds - 1, seconds + 1, strict_duration=False)
    parts = video.get_components()
    step = max(float(parts.frame_rate) / fps, 1e-6)
    count = min(most, int((len(parts.images) - 1) / step) + 1)
    return parts.images[[len(parts.images) - 1 - round(number * step) for number in reversed(range(count))]]
