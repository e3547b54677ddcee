"""Read what is to be made: STORY files, and jobs from them, one for each seed.

STORY is a workflow as the page saves it, its API form, a job file of MemFlow Export Job, a video of ours (its workflow
is in its tags), a schedule's text, or a file of scripts (`scripts`). The last two are put into another workflow's
MemFlow Prompt Schedule.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .convert import Graph, convert, is_graph, is_workflow
from .errors import JobError, cut, say
from .graph import SCHEDULE, check_graph, find_inputs, nodes_of, seed_inputs, set_inputs
from .scripts import PROMPT_S, Script, read_scripts, read_value
from .tags import VIDEOS, read_tags

JOB_FORMAT = "memflow_job"
MAX_BYTES = 64 * 2**20
MOST_JOBS = 100_000
_SEED = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?")


@dataclass(frozen=True)
class Story:
    """One STORY file, read but not yet made into jobs: a workflow, a graph, or scripts."""

    name: str
    workflow: dict[str, Any] | None = None
    graph: Graph | None = None
    scripts: tuple[Script, ...] = ()


@dataclass(frozen=True)
class Job:
    """One video to make.

    id        a name for files, which is the same whenever the same job is given again.
    graph     what runs.
    workflow  the same for the page, or None where there is only the API form.
    notes     what the person who gave it should know.
    """

    id: str
    name: str
    graph: Graph
    workflow: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def read_story(path: Path, prompt_s: float = PROMPT_S) -> Story:
    """Read one STORY file. Raises JobError in one sentence, which names the file."""
    try:
        return _read(path, prompt_s)
    except JobError as error:
        raise say(path.name, str(error)) from None
    except OSError as error:
        raise say(path.name, f"cannot be read: {error.strerror or error}.") from None


def _read(path: Path, prompt_s: float) -> Story:
    if not path.exists():
        raise JobError("there is no such file.")
    if not path.is_file():
        raise JobError("this is a folder: name the files in it.")
    if path.suffix.lower() in VIDEOS:
        tags = read_tags(path)
        return _of_json(path.stem, {"prompt": _json(tags["prompt"]), "workflow": _json(tags.get("workflow", "null"))})
    if path.stat().st_size > MAX_BYTES:
        raise JobError(f"it has {path.stat().st_size / 2**20:.0f} MiB, and a story has at most 64.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise JobError("it is no text in UTF-8: give a workflow, a schedule or a JSONL.") from None
    if path.suffix.lower() == ".json":
        value = _json(text)
        if is_workflow(value) or is_graph(value) or (isinstance(value, dict) and "format" in value):
            return _of_json(path.stem, value)
        if isinstance(value, dict) and "prompt" in value:
            return _of_json(path.stem, value)
        if not isinstance(value, (dict, list)):
            raise JobError(f"it is {cut(value)}, which is no workflow, graph or schedule: give another file.")
        return Story(path.stem, scripts=(read_value(value),))
    scripts = read_scripts(text, prompt_s=prompt_s)
    return Story(path.stem, scripts=tuple(scripts))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JobError(f"it is no JSON ({str(error)[:80]}): save it again.") from None


def _of_json(name: str, value: Any) -> Story:
    """A story from a workflow, a graph, or an object with both, as job files and `/prompt` have."""
    if is_workflow(value):
        return Story(name, workflow=value)
    if is_graph(value):
        return Story(name, graph=value)
    known = value.get("format", JOB_FORMAT), value.get("version", 1)
    if known != (JOB_FORMAT, 1):
        raise JobError(f"its format is {cut(known[0])}, version {cut(known[1])}, and only {JOB_FORMAT} 1 can be read.")
    graph, workflow = value.get("prompt"), value.get("workflow")
    if not is_graph(graph):
        raise JobError('it has no graph under "prompt": export the job again.')
    return Story(str(value.get("name") or name), workflow if is_workflow(workflow) else None, graph)


def parse_seeds(text: str) -> list[int]:
    """Parse `--seeds`: whole numbers with commas, and ranges: `1,2,5-8`. Raises JobError."""
    seeds: list[int] = []
    for part in text.split(","):
        found = _SEED.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first or last >= 2**64 or last - first >= MOST_JOBS:
            raise JobError(f"--seeds: {cut(part)} is no seed: write whole numbers, as in 1,2,3 or 1-8.")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise JobError("--seeds: a seed is there twice: name each once.")
    return seeds


def parse_set(text: str) -> tuple[str, Any]:
    """Parse `--set KEY=VALUE`. A value that is JSON is read as it; anything else is text. Raises JobError."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise JobError(f"--set {cut(text)}: write KEY=VALUE, as in --set length=240.")
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value


def make_jobs(
    stories: Sequence[Story],
    infos: Mapping[str, Any],
    *,
    template: Story,
    seeds: Sequence[int] = (),
    settings: Sequence[tuple[str, Any]] = (),
) -> list[Job]:
    """Make the jobs of all stories, one for each seed.

    infos     the server's `/object_info`.
    template  the workflow that schedules and scripts are put into.
    settings  (key, value) of each `--set`.

    Raises JobError, which names the story.
    """
    jobs: list[Job] = []
    for story in stories:
        try:
            jobs += _jobs_of(story, infos, template, seeds, settings)
        except JobError as error:
            raise say(story.name, str(error)) from None
    if len(jobs) > MOST_JOBS:
        raise JobError(f"these are {len(jobs)} jobs, and {MOST_JOBS} are the most: give them in parts.")
    return _with_own_names(jobs)


def _jobs_of(
    story: Story, infos: Mapping[str, Any], template: Story, seeds: Sequence[int], settings: Sequence[tuple[str, Any]]
) -> Iterator[Job]:
    for base in _unseeded(story, infos, template):
        graph, workflow = base.graph, base.workflow
        changes = {place: _of_type(graph, place, v, infos) for k, v in settings for place in find_inputs(graph, k)}
        graph, workflow = set_inputs(graph, workflow, changes, infos)
        for seed in seeds or [None]:
            name, made = base.name, (graph, workflow)
            if seed is not None:
                made = set_inputs(graph, workflow, dict.fromkeys(seed_inputs(graph), seed), infos)
                name = f"{base.name}-seed{seed}"
            check_graph(made[0], infos)
            yield replace(base, id="", name=name, graph=made[0], workflow=made[1])


def _of_type(graph: Graph, place: tuple[str, str], value: Any, infos: Mapping[str, Any]) -> Any:
    """A value of `--set`, as text where the input takes text: `--set steps=1000` is no number."""
    given = infos.get(graph[place[0]]["class_type"], {}).get("input", {})
    spec = {**given.get("optional", {}), **given.get("required", {})}.get(place[1])
    text = spec is not None and spec[0] == "STRING" and not isinstance(value, str)
    return json.dumps(value, ensure_ascii=False) if text else value


def _unseeded(story: Story, infos: Mapping[str, Any], template: Story) -> Iterator[Job]:
    if not story.scripts:
        yield Job("", story.name, _graph_of(story, infos), story.workflow)
        return
    graph = _graph_of(template, infos)
    places = nodes_of(graph, SCHEDULE)
    if len(places) != 1:
        raise JobError(
            f"it is put into the workflow {template.name}, which has {len(places)} MemFlow Prompt Schedules, but needs "
            f"one: name another with --workflow."
        )
    for script in story.scripts:
        changes = {(places[0], "prompts"): script.schedule, (places[0], "global_prompt"): ""}
        made = set_inputs(graph, template.workflow, changes, infos)
        name = "-".join(part for part in (story.name, script.name) if part)
        yield Job("", name, made[0], made[1], script.told)


def _graph_of(story: Story, infos: Mapping[str, Any]) -> Graph:
    if story.graph is not None:
        return story.graph
    if story.workflow is None:
        raise JobError("it is no workflow, and so nothing can be put into it.")
    return convert(story.workflow, infos)


def _with_own_names(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with ids; of two that are alike in all, one is left, and two of one name get numbers."""
    made: dict[str, Job] = {}
    for job in jobs:
        slug = re.sub(r"[^\w.-]+", "_", job.name)[:80].strip("._") or "story"
        content = json.dumps([job.name, job.graph], sort_keys=True)
        id = f"{slug}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        made.setdefault(id, replace(job, id=id))
    return list(made.values())
