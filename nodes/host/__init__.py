"""The only room that uses ComfyUI's internals: models, memory, attention, decoding, progress, files, routes."""

from .captured import note_output, output_token
from .client import Page, Progress, is_output_read, log
from .code_identity import UnknownKindError
from .control import ControlUse, control_fingerprint, control_of, control_size, with_control
from .decode import chunk_decoder
from .decode.base import ChunkDecoder
from .decode.taehv import LightDecoder
from .decode.wan import WanDecoder
from .encode import WanEncoder
from .exit import stopped_at_exit
from .files import (
    OutputFile,
    kept_bytes,
    media_path,
    moments_folder,
    new_output_file,
    new_state_file,
    save_workflow_beside,
    stamps_of,
    state_files,
    state_path,
    temp_folder,
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
from .identity import arithmetic_of_host, hooks_fingerprint, model_fingerprint, vae_fingerprint, value_fingerprint
from .loras import LoraFiles, check_loras, find_lora, with_loras
from .models import (
    DTYPES,
    check_text_width,
    computes_on_cpu,
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
from .profiles import ATTACHMENT, profile_of, show_on_node, signs_of, with_profile
from .prompt_words import Words, words_of
from .queued import check_queued, refused, validated
from .ranks import rank_count
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
    fit_mask,
    fit_pictures,
    is_same_vae,
    pixels_of_vae,
    vae_device,
)
from .video import VideoReader, video_frames, video_identity, video_pictures
