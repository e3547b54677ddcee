"""What the page that queued a node is told, and the log."""

from __future__ import annotations

import logging
from typing import Any

import comfy.utils
import latent_preview
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor

from ...memflow_core.stream import Chunk
from .sampling import stop_if_cancelled


class Progress:
    """Progress bar, previews and a line of text on the running node, and the way a cancel gets in.

    forwards, chunks  in the whole run; where nobody knows how many chunks there will be (None), of one chunk.
    """

    def __init__(self, model, forwards: int, chunks: int | None):
        self._bar, self._done, self._chunks, self._made = comfy.utils.ProgressBar(forwards), 0, chunks, None
        self._format = model.model.latent_format
        self._previewer = latent_preview.get_previewer(model.load_device, self._format)

    def step(self, chunk: int) -> None:
        """One forward of a chunk is about to run. Raises ComfyUI's own exception if the user pressed cancel."""
        stop_if_cancelled()
        if self._chunks is None and chunk != self._made:
            self._made, self._done = chunk, 0
        self._bar.update_absolute(self._done)
        self._done += 1

    def say(self, text: str) -> None:
        """A line of text on the node."""
        running = get_executing_context()
        if running is not None:
            # to the page that queued it; without its id, every open page would show it on a node of that number
            PromptServer.instance.send_progress_text(text, running.node_id, PromptServer.instance.client_id)

    def chunk(self, chunk: Chunk) -> None:
        """A chunk is finished; the next one may be under way."""
        preview = None
        if self._previewer is not None:
            preview = self._previewer.decode_latent_to_preview_image("JPEG", chunk.latents)
        self.say(f"chunk {chunk.index + 1}" + ("" if self._chunks is None else f" of {self._chunks}"))
        self._bar.update_absolute(self._done, preview=preview)

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


def inform(message: str) -> None:
    logging.info("MemFlow: %s", message)
