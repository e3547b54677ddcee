"""What earlier runs have made of a story that is not queued yet, as far as its graph tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...memflow_core.keep import LabelName, Library, ends_of_parts
from ...memflow_core.schedule import Plan
from .. import host
from .known import KnownStory, budget_in, known_story, seed_in, settings_in
from .messages import Message, message
from .request import PlanRequest


@dataclass(frozen=True)
class GraphStory:
    """A story as its graph tells it, with what the library has of it.

    seed      of the segments without one of their own.
    settings  the node's widgets, as far as the graph says them.
    """

    known: KnownStory
    seed: int
    request: PlanRequest
    plan: Plan
    library: Library
    settings: Mapping[str, Any] = field(default_factory=dict)

    def kept_until(self) -> int:
        """The chunk up to which an earlier run of such a graph has made the same, and a run can go on; 0 for none.

        Never more than the coming run takes up, unless something has changed that the graph does not show, or a kept
        file is damaged.
        """
        plan = self.plan
        prompts = self.request.prompts.within(plan.grid, plan.chunks)
        ends = [end for end in ends_of_parts(plan) if end < plan.chunks]
        by_known = _newest(self.library.labels())
        reached, made = 0, 0
        for end in ends:
            label = by_known.get(self.known.until(self.seed, plan, prompts, end))
            if label is None or label.first != made or not self.library.has_latents(label.digest, made):
                break
            made = end
            if self.library.has_moment(label.digest):
                reached = end
        return reached


def graph_story(graph: Any, node_id: str, request: PlanRequest, plan: Plan) -> GraphStory | None:
    """What a graph tells of the story that its node makes; None where it does not tell, or nothing may be kept.

    Raises ValueError for a budget in the environment that is none.
    """
    seed, gb = seed_in(graph, node_id), budget_in(graph, node_id)
    if seed is None or gb is None:
        return None
    known = known_story(graph, node_id, request.positions, request.opened)
    budget = host.kept_bytes(gb)
    if known is None or budget <= 0:
        return None
    library = Library(host.moments_folder(), budget)
    return GraphStory(known, seed, request, plan, library, settings_in(graph, node_id))


def kept_json(story: GraphStory) -> tuple[dict[str, Any], Message | None]:
    """What is kept of a story, fit for JSON, and what is to be said of it."""
    plan, open_end = story.plan, story.request.open_end
    chunk = story.kept_until()
    until, end = plan.grid.start_s(chunk), plan.grid.start_s(plan.chunks)
    whole = None if open_end else round(end, 4)
    rest = None if open_end else round(end - until, 4)
    found = {"chunk": chunk, "until_s": round(until, 4), "renders_s": rest, "of_s": whole}
    return found, _sentence(until, end, open_end) if chunk else None


def _sentence(until: float, end: float, open_end: bool) -> Message:
    if open_end:
        return message("Goes on from {0} s, unless a file or a setting outside this graph has changed.", f"{until:.2f}")
    return message(
        "Renders {0} of {1} s, unless a file or a setting outside this graph has changed: the rest is kept.",
        f"{end - until:.2f}",
        f"{end:.2f}",
    )


def _newest(labels: Iterable[LabelName]) -> dict[str, LabelName]:
    """The label used last of each beginning."""
    return {label.known: label for label in labels}
