"""Check a graph as it is queued, before ComfyUI runs any of it: a node validates with what stands around it, too.

ComfyUI hands a node that it validates the node's own widgets alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from comfy_execution.utils import get_executing_context
from server import PromptServer

from .client import workflow_id_of

REFUSED = "memflow.refused"
Check = Callable[[Any, str], str | None]
"""What is wrong with a node of a graph, by its id, in a sentence; None where nothing is known to be."""


@dataclass(frozen=True)
class _Queued:
    check: Check
    graph: Any
    client: str | None
    workflow: str | None


# of the request that is being answered; each has its own
_QUEUED: ContextVar[_Queued | None] = ContextVar("memflow_queued", default=None)


def check_queued(check: Check) -> None:
    """Let nodes that ComfyUI validates be checked within the graph that is queued."""

    def keep(body: Any) -> Any:
        if isinstance(body, dict):
            workflow = workflow_id_of(body.get("extra_data"))
            _QUEUED.set(_Queued(check, body.get("prompt"), body.get("client_id"), workflow))
        return body

    PromptServer.instance.add_on_prompt_handler(keep)


def validated() -> bool | str:
    """Validate the node that ComfyUI asks about within its graph: an error message, or True."""
    queued, asked = _QUEUED.get(), get_executing_context()
    found = queued.check(queued.graph, asked.node_id) if queued and asked else None
    return True if found is None else refused(found)


def refused(why: str) -> str:
    """The sentence, which the page that queued the node shows as well: ComfyUI's own says that some value was refused.

    Returns it, for `validate_inputs` to return.
    """
    queued, asked = _QUEUED.get(), get_executing_context()
    if queued is not None and asked is not None and queued.client is not None:
        told = {"node": asked.node_id, "workflow": queued.workflow, "why": why}
        PromptServer.instance.send_sync(REFUSED, told, queued.client)
    return why
