"""MemFlow for ComfyUI: long, story-driven videos as a stream, with a memory that works."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
