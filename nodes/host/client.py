"""Progress, previews and events for the page that queued a node, and lines for the log."""

from __future__ import annotations

import logging
from typing import Any

import comfy.utils
from comfy_execution.utils import get_executing_context
from PIL import Image
from server import PromptServer
from torch import Tensor

from ...memflow_core.stream import Chunk
from .previews import Preview, Previewer
from .sampling import stop_if_cancelled


class Progress:
    """Progress bar, previews and a line of text on the running node; it also checks for a cancel.

    model     the `MODEL` whose latents are previewed.
    forwards  passes through the model in the whole run; of one chunk where `chunks` is None.
    chunks    chunks in the whole story; None where its end is open.
    note      stays on the node below every line of text.
    """

    def __init__(self, model: Any, forwards: int, chunks: int | None, note: str = ""):
        self._bar = comfy.utils.ProgressBar(forwards)
        self._done = 0
        self._chunks = chunks
        self._note = note
        self._current_chunk: int | None = None
        self._previewer = Previewer(model)

    def before_forward(self, chunk: int) -> None:
        """Count a pass of a chunk. Raises ComfyUI's own exception if the user pressed cancel."""
        stop_if_cancelled()
        if self._chunks is None and chunk != self._current_chunk:
            self._current_chunk = chunk
            self._done = 0
        self._bar.update_absolute(self._done)
        self._done += 1

    def show_text(self, text: str) -> None:
        """Show a line of text on the node."""
        running = get_executing_context()
        if running is not None:
            # to the page that queued it; without its id, every open page would show it on a node of that number
            PromptServer.instance.send_progress_text(text, running.node_id, PromptServer.instance.client_id)

    def after_chunk(self, chunk: Chunk) -> None:
        """Show a finished chunk's number; the next chunk may be under way."""
        text = f"chunk {chunk.index + 1}" + ("" if self._chunks is None else f" of {self._chunks}")
        self.show_text(f"{text}\n{self._note}" if self._note else text)
        self._bar.update_absolute(self._done)

    def preview_latents(self, latents: Tensor) -> None:
        """Preview latents [1, C, F, h, w] in the model's latent space, where the user wants previews."""
        self._preview(self._previewer.of_latents(latents))

    def preview_frame(self, picture: Image.Image) -> None:
        """Preview a decoded video frame, where the user wants previews."""
        self._preview(self._previewer.of_frame(picture))

    def _preview(self, preview: Preview | None) -> None:
        if preview is not None:
            self._bar.update_absolute(self._done, preview=preview)

    def picture(self, latents: Tensor) -> Image.Image | None:
        """A small picture of the first of some latent frames [1, C, F, h, w] in the model's latent space, or None."""
        return self._previewer.picture(latents)


class Page:
    """The page that queued the node that runs now. Outside a run of ComfyUI there is none: then `send` does nothing."""

    def __init__(self) -> None:
        running = get_executing_context()
        self.prompt_id: str = running.prompt_id if running else ""
        self.node_id: str = running.node_id if running else ""
        # a prompt queued without a client's id has no page, as in ComfyUI itself
        self._client = PromptServer.instance.client_id if running else None

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Send JSON to the page, from any thread."""
        if self._client is not None:
            content = {"node": self.node_id, "prompt_id": self.prompt_id, **data}
            PromptServer.instance.send_sync(event, content, self._client)


def log(message: str) -> None:
    """Write a line to ComfyUI's log."""
    logging.info("MemFlow: %s", message)
