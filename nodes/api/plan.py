"""POST /memflow/plan: estimate a run before it is queued. GET /memflow/presets: named sets of values.

Body    `{"schedule": text, "length": 81, "fps": 16, "width": 832, "height": 480, "steps": "1000, 750, 500, 250"}` in
        UTF-8, at most SCHEDULE_BYTES. `schedule` is anything that MemFlow Prompt Schedule reads, or its list form.
        May be left out: `"global_prompt"`, a text; `"memory"`, as MemFlow Memory has it, `{"preset": "Story"}` or
        `{"preset": "Custom", "retrieval": "prompt", "bank_size": 3, ...}` with every setting, and either with
        `"cache"`, `"bank_keys"`, `"archive"`, `"archive_rule"` and `"bank_layers"` where these have other values than
        their defaults; `"model"`, `"1.3B"` or `"tiny"`; `"weights"`, `"fp8"` where the model's loader is set to that;
        `"streamed"`, false where the run ends in a latent; `"story"`, which one of a MemFlow JSONL, 1. Ranges are
        those of the nodes' widgets.
Answer  `{"summary": line, "lines": [line, ...], "said": [...], "plan": {...}}`. `plan` is what a node's report has as
        `estimate`, made from the model's usual sizes. `said` is the summary and the lines once more, for a page in
        another language: each a text with {0}, {1} ... and what these stand for, `["{0} chunks", 7]`. What reading
        the schedule left out, and what lies beyond its end, are lines of it.
        `{"error": "one sentence"}` with status 200 where these settings cannot be run: that is what was asked. With
        status 400 or 413 where the body is not as above.

Presets `{"presets": [{"name", "reason", "words", "said", "widgets": {name: value}, "memory": option of MemFlow
        Memory, "cache": its precision}]}`. `said` is `words` once more, in the form above.

Nothing is stored. No file is read but those of the tiny model, when it is first asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...memflow_core.schedule import read_schedule, read_story, show
from .. import host
from ..run import (
    MODELS,
    MOST_FRAMES,
    PRESETS,
    USUAL,
    PlanRequest,
    count_message,
    estimate_usual,
    memory_from_widgets,
    note_messages,
    place,
    plan_json,
    usual_model,
)
from .bodies import SCHEDULE_BYTES, BadBody, answer_with, read_object

PATH, PRESETS_PATH = "/memflow/plan", "/memflow/presets"
REQUIRED = ("schedule", "length", "fps", "width", "height", "steps")
OPTIONAL = {"global_prompt": "", "memory": None, "model": USUAL, "weights": "model", "streamed": True, "story": 1}


def answer(body: bytes) -> host.Answer:
    """Status and JSON for a request's body."""
    return answer_with(lambda: describe(_read(body)), {ValueError: 200})


def presets() -> dict[str, Any]:
    """JSON of all presets."""
    values = [
        {"name": name, "reason": preset.reason, "words": str(preset.words()), "said": preset.words().to_json()}
        | {"widgets": preset.widgets, "memory": preset.memory, "cache": preset.cache}
        for name, preset in PRESETS.items()
    ]
    return {"presets": values}


def describe(asked: dict[str, Any]) -> dict[str, Any]:
    """Estimate what a body describes whose form is right. Raises ValueError, one sentence, where it cannot be run."""
    schedule = asked["schedule"]
    prompts = read_story(schedule, asked["story"]) if isinstance(schedule, str) else read_schedule(schedule)
    if asked["global_prompt"].strip():
        prompts = replace(prompts, global_prompt=asked["global_prompt"].strip())
    memory = None if asked["memory"] is None else memory_from_widgets(asked["memory"])
    size = {name: asked[name] for name in ("width", "height", "length", "fps", "steps")}
    request = PlanRequest(prompts=prompts, **size, memory=memory)
    plan = place(request, least_frames=0 if asked["streamed"] else 1)
    model = usual_model(asked["model"], in_fp8=asked["weights"] == "fp8")
    footprint = estimate_usual(request, plan, model, streamed=asked["streamed"])
    steps = count_message(request.steps)
    told = [*note_messages(plan.notes), *([] if steps is None else [steps])]
    return plan_json(footprint, model.name, told) | {"plan": footprint.to_dict()}


def _read(body: bytes) -> dict[str, Any]:
    usage = f"the body must be a JSON object with {', '.join(REQUIRED)}."
    asked = read_object(body, usage)
    if not all(name in asked for name in REQUIRED):
        raise BadBody(usage)
    if unknown := [name for name in asked if name not in REQUIRED and name not in OPTIONAL]:
        raise BadBody(f"{show(unknown[0])} means nothing here: use {', '.join((*REQUIRED, *OPTIONAL))}.")
    asked = OPTIONAL | asked
    _check("schedule", asked, isinstance(asked["schedule"], (str, list)), "a text, or a list of segments")
    for name in ("steps", "global_prompt"):
        _check(name, asked, isinstance(asked[name], str), "a text")
    for name, low, high in (("length", 0, MOST_FRAMES), ("width", 16, 8192), ("height", 16, 8192)):
        _check(name, asked, _is_whole(asked[name]) and low <= asked[name] <= high, f"from {low} to {high}")
    _check("fps", asked, _is_number(asked["fps"]) and 1 <= asked["fps"] <= 120, "from 1 to 120")
    _check("memory", asked, asked["memory"] is None or isinstance(asked["memory"], dict), 'like {"preset": "Story"}')
    _check("model", asked, asked["model"] in MODELS, f"one of {', '.join(MODELS)}")
    _check("weights", asked, asked["weights"] in ("model", "fp8"), "model or fp8")
    _check("story", asked, _is_whole(asked["story"]) and asked["story"] >= 1, "a whole number from 1")
    _check("streamed", asked, isinstance(asked["streamed"], bool), "true or false")
    return asked


def _check(name: str, asked: dict[str, Any], fits: bool, allowed: str) -> None:
    if not fits:
        raise BadBody(f"{name} is {show(asked[name])}, but must be {allowed}.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    # not math.isfinite, which a whole number of any size is too much for: what is compared next leaves NaN out
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def add_routes() -> None:
    """Serve POST at PATH and GET at PRESETS_PATH."""
    host.add_post_route(PATH, answer, most_bytes=SCHEDULE_BYTES, in_thread=True)
    values = presets()
    host.add_get_route(PRESETS_PATH, lambda: (200, values))
