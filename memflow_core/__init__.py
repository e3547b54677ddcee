"""Streaming long video with a memory: the core, which needs no ComfyUI."""
