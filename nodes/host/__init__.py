"""The one place that touches ComfyUI: models, memory, attention, progress, files, routes."""

from .client import Page, Progress, inform
from .decode.base import ChunkDecoder
from .decode.taehv import LightDecoder
from .decode.wan import StreamingDecoder
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
    model_files,
    model_path,
    usual_dtype,
    usual_vae_dtype,
    wan_model,
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
from .taehv import LIGHT_DECODER, LightLayer, is_light, light_layers
from .text import embedding_of, encode
from .tiny_model import text_encoder, vae_from_file
from .vae import check_stream_vae, check_wan_vae, encode_pictures, fit_pictures, video_pictures
