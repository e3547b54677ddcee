"""The only room that uses ComfyUI's internals: models, memory, attention, decoding, progress, files, routes."""

from .client import Page, Progress, log
from .decode import chunk_decoder
from .decode.base import ChunkDecoder
from .decode.taehv import LightDecoder
from .decode.wan import WanDecoder
from .exit import stopped_at_exit
from .files import (
    OutputFile,
    new_output_file,
    new_state_file,
    state_files,
    state_path,
    text_tags,
    video_from_file,
    workflow_metadata,
)
from .models import (
    DTYPES,
    check_text_width,
    device_of,
    dtype_of,
    latent_channels_of,
    model_files,
    model_path,
    size_of,
    usual_dtype,
    usual_vae_dtype,
    wan_model,
    weight_bytes_of,
    with_lora,
)
from .overlap import (
    IN_STREAM,
    IN_THREAD,
    OFF,
    Overlap,
    SideStream,
    decode_of,
    overlap_of,
    threads_stopped,
    usual_overlap,
)
from .routes import Answer, add_get_route, add_post_route
from .sampling import attention_of, back_on_device, from_latent, room, sampling, stop_if_cancelled, to_latent, wan_tree
from .taehv import LIGHT_DECODER, is_light
from .text import embedding_of, encode
from .tiny_model import text_encoder, vae_from_file
from .vae import (
    check_stream_vae,
    check_wan_vae,
    count_vae_numbers,
    encode_pictures,
    fit_pictures,
    vae_device,
    video_pictures,
)
