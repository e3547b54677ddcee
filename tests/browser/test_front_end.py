"""The front end in a real browser: older workflows open, and a finished video brings its workflow back."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from memflow_core.render import failure
from tools.comfy_host import ROOT
from tools.comfy_server import output_files

WORKFLOW = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
# only what is saved: a preview's widget holds whole page elements
SHOWN = """() => {
    const saved = n => (n.widgets ?? []).filter(w => w.serialize !== false && typeof w.value !== "object");
    return app.graph.nodes.map(
        n => [n.type, n.title, n.has_errors ?? false, saved(n).map(w => [w.name, w.value])]);
}"""
DROP = """async ([name, data, type]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], name, {type}));
    const at = {bubbles: true, cancelable: true, dataTransfer: files, clientX: 800, clientY: 450};
    app.canvasEl.dispatchEvent(new DragEvent("drop", at));
}"""
# dialogs and toasts, wherever the front end puts them
COMPLAINTS = """() => {
    const kinds = ".p-dialog, .p-toast-message, [data-testid=toast], .comfy-missing-nodes, [role=alertdialog]";
    return [...document.querySelectorAll(kinds)].map(e => e.innerText);
}"""
# colours of the canvas inside the node's left edge, at its middle and at its foot, and below the foot
DRAWN = """() => {
    const {ds, canvas} = app.canvas, node = app.graph.nodes.find(n => n.type === "MemFlowStreamToVideo");
    const brush = canvas.getContext("2d"), x = (node.pos[0] + 4 + ds.offset[0]) * ds.scale;
    const colour = y => String(brush.getImageData(x, (y + ds.offset[1]) * ds.scale, 1, 1).data);
    const [top, foot] = [node.pos[1], node.pos[1] + node.size[1]];
    return [(top + foot) / 2, foot - 12, foot + 8].map(colour);
}"""
LOWER_END = """() => {
    const {ds} = app.canvas, node = app.graph.nodes.find(n => n.type === "MemFlowStreamToVideo");
    const video = document.querySelector("video").getBoundingClientRect();
    const foot = (node.pos[1] + node.size[1] + ds.offset[1]) * ds.scale;
    return [video.bottom, foot + app.canvas.canvas.getBoundingClientRect().top];
}"""


def open_workflow(page, workflow: dict) -> None:
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    page.wait_for_function("n => app.graph.nodes.length === n", arg=len(workflow["nodes"]))
    assert {kind for kind, *_ in page.evaluate(SHOWN)} == {node["type"] for node in workflow["nodes"]}
    page.wait_for_timeout(1000)


def _widgets(workflow: dict) -> dict:
    return {node["id"]: node.get("widgets_values") or [] for node in workflow["nodes"]}


def test_a_workflow_from_before_blends_opens_with_their_defaults(page, comfy):
    chained = json.loads((ROOT / "workflows" / "node_by_node.json").read_text())
    old = json.loads(json.dumps(chained))
    segments = [node for node in old["nodes"] if node["type"] == "MemFlowPromptSegment"]
    for node in segments:
        node["inputs"] = [socket for socket in node["inputs"] if not socket["name"].startswith("blend")]
        node["widgets_values"] = node["widgets_values"][:3]
    open_workflow(page, old)
    assert page.evaluate(COMPLAINTS) == []
    assert _widgets(page.evaluate("() => app.graph.serialize()")) == _widgets(chained)
    # and over the API, where nothing fills them in
    prompt = comfy.convert(chained)
    for node in prompt.values():
        for name in ("blend", "blend_path"):
            node["inputs"].pop(name, None)
    assert failure(comfy.run(prompt).history) is None


def test_a_video_dropped_on_the_canvas_brings_the_workflow_back(page, comfy):
    run = comfy.run(comfy.convert(WORKFLOW), workflow=WORKFLOW)
    assert failure(run.history) is None
    (file,) = output_files(run.history, ".mp4")
    open_workflow(page, WORKFLOW)
    shown = page.evaluate(SHOWN)
    page.evaluate("() => app.graph.clear()")
    drop(page, comfy.path_of(file), "video/mp4")
    page.wait_for_function("n => app.graph.nodes.length === n", arg=len(WORKFLOW["nodes"]))
    assert page.evaluate(SHOWN) == shown


@pytest.mark.parametrize(("kind", "type"), [("webm (vp9)", "video/webm"), ("mkv (h264)", "application/json")])
def test_other_kinds_of_video_bring_it_back_too(page, comfy, kind, type):
    prompt = comfy.convert(WORKFLOW)
    ending = kind.split()[0]
    show = {"class_type": "PreviewAny", "inputs": {"source": [stream_id(prompt), 2]}}
    prompt[stream_id(prompt)]["inputs"] |= {"format": kind, "length": 9, "filename_prefix": f"kinds/{ending}"}
    (schedule,) = [node for node in prompt.values() if node["class_type"] == "MemFlowPromptSchedule"]
    schedule["inputs"]["prompts"] = "0s: the meadow lies empty"
    run = comfy.run(prompt | {"900": show}, workflow=WORKFLOW)
    assert failure(run.history) is None
    (file,) = output_files(run.history, f".{ending}")
    video = comfy.path_of(file)
    beside = video.with_suffix(".json")
    report = json.loads(run.history["outputs"]["900"]["text"][0])
    # only where the page reads no workflow from the video itself
    assert beside.exists() == (type == "application/json")
    assert report.get("workflow_file") == (beside.name if beside.exists() else None)
    page.evaluate("() => app.graph.clear()")
    drop(page, beside if beside.exists() else video, type)
    page.wait_for_function("n => app.graph.nodes.length === n", arg=len(WORKFLOW["nodes"]))
    assert {kind for kind, *_ in page.evaluate(SHOWN)} == {node["type"] for node in WORKFLOW["nodes"]}


def stream_id(prompt: dict) -> str:
    return next(name for name, node in prompt.items() if node["class_type"] == "MemFlowStreamToVideo")


def drop(page, path: Path, type: str) -> None:
    page.evaluate(DROP, [path.name, base64.b64encode(path.read_bytes()).decode(), type])


def test_a_finished_video_lies_within_its_node_as_drawn(page):
    short = json.loads(json.dumps(WORKFLOW))
    values = {node["type"]: node["widgets_values"] for node in short["nodes"]}
    values["MemFlowPromptSchedule"][0] = "0s: the meadow lies empty"
    values["MemFlowStreamToVideo"][4] = 45
    open_workflow(page, short)
    page.evaluate("() => { Object.assign(app.canvas.ds, {scale: 0.5, offset: [-500, 60]}); }")
    page.mouse.move(1200, 450)
    page.evaluate("() => { app.queuePrompt(0, 1); }")
    page.wait_for_function("() => document.querySelector('video')?.readyState > 0", timeout=300_000)
    page.wait_for_timeout(1000)
    video, foot = page.evaluate(LOWER_END)
    assert video <= foot
    inside, at_foot, below = page.evaluate(DRAWN)
    assert inside == at_foot != below
