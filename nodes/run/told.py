"""Sentences on what a run was given and does not use as it is meant: in the plan, on the node, and in the report."""

from __future__ import annotations

from .. import host
from .messages import Message, message
from .profile_text import doubt, told_of_auto, told_of_memory, told_of_profile, told_of_segments
from .request import Request
from .steps import count_message


def told(request: Request) -> list[Message]:
    """What is to be told of a request, a sentence each; empty where all that it holds is used as it is meant."""
    found, state = request.found, request.state
    sentences = [
        *told_of_profile(request),
        *told_of_segments(request),
        *told_of_auto(request),
        *told_of_memory(request.settings),
        *doubt(request.picked),
        count_message(request.steps),
    ]
    if found.shift is not None:
        sentences.append(message("Shift {0} is used, as {1} says.", f"{found.shift:g}", found.shift_node))
    if request.schedule.hooks_by_name:
        sentences.append(message("LoRA hooks: the model has a prompt's own weights from where that prompt starts."))
    if request.unknown_weights:
        sentences.append(
            message("The state was made under LoRA hooks that the schedule lacks: it goes on without them.")
        )
    if request.control is None and state is not None and state.controlled:
        sentences.append(
            message("The state was made under control, but no control is connected: nothing steers it from here on.")
        )
    elif request.control is None and host.control_of(request.model) is not None:
        sentences.append(
            message("The model has control weights, but no control is connected: nothing steers the story.")
        )
    unused = [*found.unused, *request.schedule.unused, *(() if state is None else state.unused)]
    hooks = request.schedule.hooks_by_name
    unused += host.misfit_hooks(request.model, [hooked.group for hooked in hooks.values()])
    if not hooks:
        # else it is the one that the schedule was read with
        unused += host.hooks_of_clip(request.clip)
    sentences += [_sentence(finding) for finding in host.one_a_node(unused)]
    return [sentence for sentence in sentences if sentence is not None]


def _sentence(finding: host.Finding) -> Message:
    if finding.kind == host.KEYFRAMES:
        return message("{0} changes a strength from step to step: a stream keeps the first one.", finding.what)
    if finding.kind == host.INSERTED:
        return message("{0} puts code into the model that a stream may never call.", finding.what)
    return message("{0} is not used: the video is made as if it were not there.", finding.what)
