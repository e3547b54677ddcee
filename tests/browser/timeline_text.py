"""The page's reader of schedule text beside the core's: both answers in one shape."""

from __future__ import annotations

import json
import subprocess

from hypothesis import HealthCheck, settings

from memflow_core.schedule import ScheduleError, Segment, read_schedule
from tools.comfy_host import ROOT

WEB = ROOT / "web" / "js"
FPS = 16.0

# what the timeline makes of a text; with an operation, of the text after it
READ = """async (folder, text, operation, values, frames) => {
    const files = ["timeline/operations.js", "schedule/text.js"];
    const [model, {isForeign}] = await Promise.all(files.map(file => import(folder + file)));
    if (isForeign(text)) return {foreign: true};
    const setting = {fps: 16, frames};
    try {
        const story = model.readSchedule(text, setting);
        const change = operation ? model[operation](story, ...values) : {text};
        if (change === null) return {nothing: true};
        const {document, plan} = model.readSchedule(change.text, setting);
        const blend = one => one && [one.length.value, one.length.unit, one.spherical ? "spherical" : "linear"];
        const segment_values = one => [
            one.start.value, one.start.unit, one.prompt, one.switch, one.seed, blend(one.blend), one.asks];
        return {
            text: change.text, segments: document.segments.map(segment_values), global: document.global?.prompt ?? "",
            length: document.length && [document.length.time.value, document.length.time.unit],
            chunks: plan.placed.map(one => one.chunk), axis: plan.chunks,
            pins: document.pins.map(pin => [pin.name || null, pin.time.value, pin.time.unit]),
            problems: plan.placed.map(one => one.problem), focus: change.focus ?? null,
        };
    } catch (error) {
        if (error.constructor.name !== "TextError") throw error;
        return {error: error.message};
    }
}"""
LOOP = """
import {createInterface} from "node:readline";
const read = %s;
for await (const line of createInterface({input: process.stdin})) {
    console.log(JSON.stringify(await read(...JSON.parse(line))));
}
"""

fuzz = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Node:
    """A node process that answers one line for each."""

    def __init__(self, program: str) -> None:
        command = [program, "--input-type=module", "-e", LOOP % READ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *values: object) -> dict:
        self._process.stdin.write(json.dumps([f"{WEB.as_uri()}/", *values]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)


def reads_modules(program: str) -> bool:
    """Older versions of node take a .js file for something else than a module."""
    command = [program, "--input-type=module", "-e", f"await import({json.dumps(f'{WEB.as_uri()}/schedule/time.js')})"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def core(text: str) -> dict:
    """What memflow_core makes of a text, in the same shape."""
    try:
        schedule = read_schedule(text)
    except ScheduleError as error:
        return {"error": str(error)}
    length = schedule.length and [schedule.length.value, schedule.length.unit]
    pins = [[pin.name, pin.time.value, pin.time.unit] for pin in vars(schedule).get("pins", ())]
    return {
        "segments": [*map(segment_values, schedule.segments)],
        "global": schedule.global_prompt,
        "length": length,
        "pins": pins,
    }


def segment_values(segment: Segment) -> list:
    """A segment as the list of values that the timeline makes of it."""
    facts = {"blend": None, "recall": (), **vars(segment)}
    start, seed, blend = facts["start"], facts["seed"], facts["blend"]
    way = blend and [blend.length.value, blend.length.unit, blend.path]
    number = None if seed is None else str(seed)
    return [start.value, start.unit, segment.prompt, segment.switch, number, way, list(facts["recall"])]


def compare(timeline, text: str) -> None:
    theirs, ours = core(text), timeline(text)
    if "error" in theirs:
        assert "error" in ours, (text, ours)
    else:
        assert {key: ours.get(key) for key in theirs} == theirs, (text, ours)
