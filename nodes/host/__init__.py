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
    save_workflow_beside,
    state_files,
    state_path,
    text_tags,
    video_from_file,
    workflow_metadata,
)
from .honoured.attention import attention_of
from .honoured.conditioning import Spoken, read_conditioning
from .honoured.findings import INSERTED, KEYFRAMES, UNUSED, Finding, one_a_node
from .honoured.model import ModelFindings, inspect_model
from .honoured.patches import misfit_hooks
from .honoured.tree import wan_tree
from .honoured.weights import HookedWeights, WeightHooks, hooks_of_clip, model_for_hooks
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
    Stop,
    decode_of,
    overlap_of,
    usual_overlap,
)
from .problems import sentence, told
from .prompt_words import Words, words_of
from .routes import Answer, add_get_route, add_post_route
from .sampling import back_on_device, from_latent, room, sampling, stop_if_cancelled, to_latent
from .taehv import LIGHT_DECODER, is_light
from .text import encode
from .tiny_model import text_encoder, vae_from_file
from .vae import (
    check_stream_vae,
    check_wan_vae,
    count_vae_numbers,
    encode_pictures,
    fit_pictures,
    vae_device,
)
from .video import video_frames, video_pictures
