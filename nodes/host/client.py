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
from .ranks import rank_count
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
        self._forwards = forwards
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
        if chunk.index + 1 == self._chunks:
            # passes for recalled moments are counted at most; a finished story fills the bar
            self._done = self._forwards
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
        # of the graph that was queued, so that other graphs with a node of that number show nothing of it
        self.workflow_id: str | None = _workflow_id(self.prompt_id)
        # a prompt queued without a client's id has no page, as in ComfyUI itself
        self._client = PromptServer.instance.client_id if running else None

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Send JSON to the page, from any thread."""
        if self._client is not None:
            content = {"node": self.node_id, "prompt_id": self.prompt_id, "workflow": self.workflow_id, **data}
            PromptServer.instance.send_sync(event, content, self._client)


def is_output_read(index: int) -> bool:
    """Whether some node of the graph that runs is linked to an output of the node that runs, by the output's number.

    True where that cannot be known: outside a run, and for a node that another node made while it ran. True as well
    where several ComfyUIs share a stream: each takes part in capturing it, and the graphs of all but one save nothing.
    """
    found = _running()
    if found is None:
        return True
    node, graph = found
    link = [node, index]
    return any(link == value for other in graph.values() for value in other.get("inputs", {}).values())


def running_node() -> str | None:
    """The id of the node that runs, in the graph that was queued; None where `is_output_read` cannot know."""
    found = _running()
    return None if found is None else found[0]


def _running() -> tuple[str, dict[str, Any]] | None:
    """The node that runs, by its id, and the graph that was queued, where it is in that."""
    running = None if rank_count() > 1 else get_executing_context()
    item = _queued(running.prompt_id) if running else None
    graph = None if item is None else item[2]
    known = running is not None and isinstance(graph, dict) and running.node_id in graph
    return (running.node_id, graph) if known else None


def _workflow_id(prompt_id: str) -> str | None:
    """The id of the graph that a running prompt was queued from; None where it came without one."""
    item = _queued(prompt_id)
    return None if item is None else workflow_id_of(item[3])


def workflow_id_of(extra_data: Any) -> str | None:
    """The id of the graph that is in what came with a prompt; None where there is none."""
    tags = extra_data.get("extra_pnginfo") if isinstance(extra_data, dict) else None
    workflow = tags.get("workflow") if isinstance(tags, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


def _queued(prompt_id: str) -> Any:
    """ComfyUI's entry of a running prompt: number, id, graph, what came with it, ...; None where there is none."""
    server = getattr(PromptServer, "instance", None)
    if not prompt_id or server is None:
        return None
    return next((item for item in server.prompt_queue.get_current_queue_volatile()[0] if item[1] == prompt_id), None)


def log(message: str) -> None:
    """Write a line to ComfyUI's log."""
    logging.info("MemFlow: %s", message)
