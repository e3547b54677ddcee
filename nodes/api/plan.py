"""POST /memflow/plan: estimate a run before it is queued. GET /memflow/presets: named sets of values.

Body    `{"schedule": text, "length": 81, "fps": 16, "width": 832, "height": 480, "steps": "1000, 750, 500, 250"}` in
        UTF-8, at most SCHEDULE_BYTES. `schedule` is anything that MemFlow Prompt Schedule reads, or its list form.
        May be left out: `"global_prompt"`, a text; `"memory"`, as MemFlow Memory has it, `{"preset": "Story"}`
        or `{"preset": "Custom", "retrieval": "prompt", "bank_size": 3, ...}` with every setting, and either
        with `"cache"`, `"bank_keys"`, `"archive"`, `"archive_rule"`, `"bank_layers"`, `"archive_gb"`, `"admission"`
        and `"look_ahead"`, which are `made`, `off` and the like where they are left out; `"model"`, `"1.3B"` or
        `"tiny"`; `"weights"`, `"fp8"` where the model's loader is set to that;
        `"streamed"`, false where the run ends in a latent; `"story"`, which one of a MemFlow JSONL, 1; `"model_name"`
        and `"lora_name"` as a loader has them, which stand for a profile; `"profile"`, one by its name;
        `"chunk_frames"` and `"first_steps"` as MemFlow Model Profile has them; `"shift"`; `"control"`, a list of what
        MemFlow Control nodes have, `{"start": "0s", "end": "10s", "strength": 1.0, "use": "steer"}`, with
        `"masked"`, true where a mask is connected; `"control_weights"`, false where no MemFlow Load Control stands
        behind the model. Ranges are those of the nodes' widgets. `"graph"`, a prompt as ComfyUI's own API takes it,
        and `"node"`, the id of its sampling node: then the plan says what of it is kept.
Answer  `{"summary": line, "lines": [line, ...], "said": [...], "plan": {...}, "chunk_frames": 3, "controls": []}`.
        `plan` is what a node's report has as `estimate`, made from the model's usual sizes; `chunk_frames` the latent
        frames of a chunk; `controls` where each stands, `{"number": 1, "use": "steer", "strength": 1.0, "start_s": 0.0,
        "end_s": 10.0}`, in the order of the story. An end is null where only reading the pictures tells it.
        `said` is the summary and the lines once more, for a page in another language: each a text with {0}, {1} ... and
        what these stand for, `["{0} chunks", 7]`. What reading the schedule left out, and what lies beyond its end, are
        lines of it.
        With a graph, `"kept": {"chunk": 12, "until_s": 8.8125, "renders_s": 3.0, "of_s": 11.8125}`: an earlier run has
        made the same up to there, so that a run renders the rest; 0 and all of it where there is none, seconds null for
        an open end, and null in its place where the graph does not tell. The run itself looks at what no graph shows,
        such as numbers in weights, and may render more.
        `{"error": "one sentence", "chunk_frames": 3}` with status 200 where these settings cannot be run: that is what
        was asked; the number is left out where the model itself cannot be streamed. With status 400 or 413 where the
        body is not as above.

Presets `{"presets": [{"name", "reason", "words", "said", "widgets": {name: value}, "memory": option of MemFlow
        Memory, "cache": its precision, "fp8_model": whether the model is to be loaded in FP8}]}`. `said` is `words`
        once more, in the form above.

Nothing is stored. No file is read but those of the tiny model, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...memflow_core.profiles import AUTO, PROFILES, Picked, dim_of, pick, signs_of_name
from ...memflow_core.schedule import Plan, read_schedule, read_story, show
from .. import host
from ..run import (
    MODELS,
    MOST_FRAMES,
    MOST_STRENGTH,
    PRESETS,
    TINY,
    USES,
    USUAL,
    PlannedControl,
    PlanRequest,
    check_plan,
    check_use,
    controls_json,
    count_message,
    doubt,
    estimate_usual,
    graph_story,
    kept_json,
    memory_from_widgets,
    note_messages,
    parse_steps,
    place,
    plan_json,
    stretch_of,
    tiny_size_messages,
    told_of_auto,
    told_of_memory,
    told_of_profile,
    told_of_segments,
    usual_model,
)
from .bodies import SCHEDULE_BYTES, BadBody, answer_with, read_object

PATH, PRESETS_PATH = "/memflow/plan", "/memflow/presets"
REQUIRED = ("schedule", "length", "fps", "width", "height", "steps")
OPTIONAL = {"global_prompt": "", "memory": None, "model": USUAL, "weights": "model", "streamed": True, "story": 1}
OPTIONAL |= {"model_name": "", "lora_name": "", "profile": AUTO, "chunk_frames": 0, "first_steps": "", "shift": 5.0}
OPTIONAL |= {"graph": None, "node": "", "control": (), "control_weights": True}
CONTROL = {"start": "0s", "end": "", "strength": 1.0, "use": USES[0], "masked": False}
MOST_CONTROLS = 1000
USAGE = f"the body must be a JSON object with {', '.join(REQUIRED)}."


def answer(body: bytes) -> host.Answer:
    """Status and JSON for a request's body."""
    return answer_with(lambda: describe(read_plan(read_object(body, USAGE))), {ValueError: 200})


def presets() -> dict[str, Any]:
    """JSON of all presets."""
    values = [
        {"name": name, "reason": preset.reason, "words": str(preset.words()), "said": preset.words().to_json()}
        | {"widgets": preset.widgets, "memory": preset.memory, "cache": preset.cache, "fp8_model": preset.fp8_model}
        for name, preset in PRESETS.items()
    ]
    return {"presets": values}


def describe(asked: dict[str, Any]) -> dict[str, Any]:
    """Estimate what a body describes whose form is right. Raises ValueError, one sentence, where it cannot be run."""
    picked = _picked(asked)
    profile = picked.profile
    try:
        return _estimate(asked, picked) | {"chunk_frames": profile.sampling.chunk_frames}
    except ValueError as error:
        # the timeline goes by the grid of chunks, whatever is wrong with the schedule
        return {"error": host.sentence(error), "chunk_frames": profile.sampling.chunk_frames}


def _picked(asked: dict[str, Any]) -> Picked:
    """The profile that the loader's widgets stand for. Raises ValueError for a model that cannot be streamed."""
    if asked["profile"] in PROFILES:
        picked = Picked(PROFILES[asked["profile"]], "user")
    elif asked["model"] == TINY:
        picked = Picked(PROFILES["Tiny story model"], "name")
    else:
        picked = pick(signs_of_name(asked["model_name"], asked["lora_name"]), asked["profile"])
    first = asked["first_steps"].strip()
    changed = picked.profile.changed(
        chunk_frames=asked["chunk_frames"] or None, first_steps=parse_steps(first) if first else None
    )
    return Picked(changed, picked.why)


def check_runs(asked: dict[str, Any]) -> None:
    """Raise ValueError, one sentence, where what a body describes cannot be run."""
    _steered(asked, _picked(asked))


def _steered(asked: dict[str, Any], picked: Picked) -> tuple[PlanRequest, Plan, list[PlannedControl]]:
    """The request, its plan, and the controls on it. Raises ValueError where they cannot be run."""
    request, plan = placed(asked, picked)
    controls = _controls(asked["control"])
    return request, _under_control(controls, request, plan, asked["control_weights"]), controls


def _estimate(asked: dict[str, Any], picked: Picked) -> dict[str, Any]:
    request, plan, controls = _steered(asked, picked)
    model = usual_model(asked["model"], in_fp8=asked["weights"] == "fp8", dim=dim_of(picked.profile))
    footprint = estimate_usual(request, plan, model, streamed=asked["streamed"], controls=controls)
    steps = count_message(request.steps)
    told = [
        *note_messages(plan.notes),
        *told_of_profile(request),
        *told_of_segments(request),
        *told_of_auto(request),
        *told_of_memory(request.settings),
        *doubt(picked),
        *([] if steps is None else [steps]),
    ]
    if asked["model"] == TINY:
        told += tiny_size_messages(asked["width"], asked["height"])
    computed = {"computes": model.computes, "on_cpu": host.computes_on_cpu()}
    where = controls_json(controls, plan.grid, request.control_chunks(plan))
    found = {"plan": footprint.to_dict(), "controls": where}
    if asked["graph"] is None:
        return plan_json(footprint, model.name, told, **computed) | found
    story = graph_story(asked["graph"], asked["node"], request, plan)
    kept, sentence = (None, None) if story is None else kept_json(story)
    first = [] if sentence is None else [sentence]
    return plan_json(footprint, model.name, told, first, **computed) | found | {"kept": kept}


def _controls(asked: Sequence[dict[str, Any]]) -> list[PlannedControl]:
    found = []
    for one in asked:
        one = CONTROL | one
        check_use(one["use"], one["strength"], masked=one["masked"])
        found.append(PlannedControl(float(one["strength"]), one["use"], stretch_of(one["start"], one["end"])))
    return found


def _under_control(controls: Sequence[PlannedControl], request: PlanRequest, plan: Plan, has_weights: bool) -> Plan:
    """The plan with what is to be told of its controls. Raises ValueError where they cannot steer it."""
    sizes = {"steps": len(request.sampling.steps), "pixels": request.shape.pixels, "has_weights": has_weights}
    notes = check_plan(controls, plan.grid, request.control_chunks(plan), **sizes)
    return replace(plan, notes=(*plan.notes, *notes))


def placed(asked: dict[str, Any], picked: Picked | None = None) -> tuple[PlanRequest, Plan]:
    """The request that a body describes, and its schedule placed on chunks. Raises ValueError as `describe` does.

    picked  the model's profile; None: what the body says of it.
    """
    profile = (_picked(asked) if picked is None else picked).profile
    schedule = asked["schedule"]
    prompts = read_story(schedule, asked["story"]) if isinstance(schedule, str) else read_schedule(schedule)
    if asked["global_prompt"].strip():
        prompts = replace(prompts, global_prompt=asked["global_prompt"].strip())
    memory = None if asked["memory"] is None else memory_from_widgets(asked["memory"])
    size = {name: asked[name] for name in ("width", "height", "length", "fps", "steps", "shift")}
    host.check_loras(prompts)
    request = PlanRequest(prompts=prompts, **size, memory=memory, profile=profile)
    return request, place(request, least_frames=0 if asked["streamed"] else 1)


def read_plan(asked: dict[str, Any]) -> dict[str, Any]:
    """A body's values, with those that were left out. Raises BadBody for a body of another form."""
    if not all(name in asked for name in REQUIRED):
        raise BadBody(USAGE)
    if unknown := [name for name in asked if name not in REQUIRED and name not in OPTIONAL]:
        raise BadBody(f"{show(unknown[0])} means nothing here: use {', '.join((*REQUIRED, *OPTIONAL))}.")
    asked = OPTIONAL | asked
    _check("schedule", asked, isinstance(asked["schedule"], (str, list)), "a text, or a list of segments")
    for name in ("steps", "global_prompt", "model_name", "lora_name", "profile", "first_steps"):
        _check(name, asked, isinstance(asked[name], str), "a text")
    for name, low, high in (("length", 0, MOST_FRAMES), ("width", 16, 8192), ("height", 16, 8192)):
        _check(name, asked, _is_whole(asked[name]) and low <= asked[name] <= high, f"from {low} to {high}")
    _check("fps", asked, _is_number(asked["fps"]) and 1 <= asked["fps"] <= 120, "from 1 to 120")
    _check("shift", asked, _is_number(asked["shift"]) and 0.01 <= asked["shift"] <= 100, "from 0.01 to 100")
    _check("chunk_frames", asked, _is_whole(asked["chunk_frames"]) and 0 <= asked["chunk_frames"] <= 64, "from 0 to 64")
    _check("memory", asked, asked["memory"] is None or isinstance(asked["memory"], dict), 'like {"preset": "Story"}')
    _check("model", asked, asked["model"] in MODELS, f"one of {', '.join(MODELS)}")
    _check("weights", asked, asked["weights"] in ("model", "fp8"), "model or fp8")
    _check("story", asked, _is_whole(asked["story"]) and asked["story"] >= 1, "a whole number from 1")
    _check("graph", asked, asked["graph"] is None or isinstance(asked["graph"], dict), "a prompt as the API takes it")
    _check("node", asked, isinstance(asked["node"], str), "the id of a node in the graph, as a text")
    _check_controls(asked)
    _check("streamed", asked, isinstance(asked["streamed"], bool), "true or false")
    return asked


def _check_controls(asked: dict[str, Any]) -> None:
    usable = isinstance(asked["control"], (list, tuple)) and len(asked["control"]) <= MOST_CONTROLS
    _check("control", asked, usable, f"a list of up to {MOST_CONTROLS}")
    _check("control_weights", asked, isinstance(asked["control_weights"], bool), "true or false")
    for one in asked["control"]:
        if not isinstance(one, Mapping) or not one.keys() <= CONTROL.keys():
            raise BadBody(f"control has the entry {show(one)}, but an entry is an object with {', '.join(CONTROL)}.")
        one = CONTROL | one
        for name in ("start", "end"):
            _check(name, one, isinstance(one[name], str), "a text, such as 10s")
        _check("masked", one, isinstance(one["masked"], bool), "true or false")
        _check("use", one, one["use"] in USES, f"one of {', '.join(USES)}")
        allowed = _is_number(one["strength"]) and 0 <= one["strength"] <= MOST_STRENGTH
        _check("strength", one, allowed, f"from 0 to {MOST_STRENGTH:g}")


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
