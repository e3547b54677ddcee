"""Names that model files go by: those that templates give them, and those that they are published under."""

from __future__ import annotations

import folder_paths

# the names that templates give files, which no other model has, and those that they are published under
PUBLISHED_AS = {
    ("diffusion_models", "memflow_base.pt"): "base.pt",
    ("loras", "memflow_lora.pt"): "lora.pt",
    ("diffusion_models", "causal_forcing_framewise-2step.pt"): "framewise-2step.pt",
    ("diffusion_models", "longlive2_5b_bf16.pt"): "model_bf16.pt",
}


def other_name(folder: str, name: str) -> str:
    """The other name of a file in one of ComfyUI's model folders; "" for one that has no other."""
    published = PUBLISHED_AS.get((folder, name))
    owns = (own for (place, own), other in PUBLISHED_AS.items() if (place, other) == (folder, name))
    return published or next(owns, "")


def found_path(folder: str, name: str) -> tuple[str, str] | None:
    """A file's path and the name that it has there: the name itself, or its other one; None where there is no file."""
    for one in (name, other_name(folder, name)):
        path = folder_paths.get_full_path(folder, one) if one else None
        if path is not None:
            return path, one
    return None
