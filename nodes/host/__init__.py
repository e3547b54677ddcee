"""The one place that touches ComfyUI: models, memory, attention, progress, files, routes."""

from .device import attention_of, back_on_device, from_latent, room, sampling, stop_if_cancelled, to_latent, wan_tree
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
from .page import Page, Progress, inform
from .routes import Answer, add_get_route, add_json_routes, add_post_route
from .tiny import text_encoder, vae_from_file
from .vae import check_stream_vae, check_wan_vae, encode_pictures, fit_pictures, video_pictures

__all__ = [
    "Answer",
    "DTYPES",
    "OutputFile",
    "Page",
    "Progress",
    "add_get_route",
    "add_json_routes",
    "add_post_route",
    "attention_of",
    "back_on_device",
    "check_stream_vae",
    "check_text_width",
    "check_wan_vae",
    "encode_pictures",
    "fit_pictures",
    "from_latent",
    "inform",
    "model_files",
    "model_path",
    "new_output_file",
    "new_state_file",
    "room",
    "sampling",
    "state_files",
    "state_path",
    "stop_if_cancelled",
    "text_encoder",
    "text_tags",
    "to_latent",
    "usual_dtype",
    "usual_vae_dtype",
    "vae_from_file",
    "video_from_file",
    "video_pictures",
    "wan_model",
    "wan_tree",
    "with_lora",
    "workflow_metadata",
]
