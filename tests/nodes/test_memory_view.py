"""The memory of a run as a picture and as JSON, and what the samplers hand to the page for it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

LONG = {"length": 93}  # 8 chunks


@pytest.fixture(scope="module")
def run(tiny):
    """One run of the sampler: report, played schedule, what its page gets."""
    inputs = {"model": tiny.model, "schedule": tiny.schedule(), "seed": 3, "width": 64, "height": 64, "fps": 16.0}
    inputs |= {"steps": "1000, 500", "shift": 5.0, "memory": tiny.memory(bank_size=2), "length": 93}
    output = tiny.nodes.sampler.MemFlowSampler.execute(**inputs)
    latent, state, report, played = output.result
    return {"latent": latent["samples"], "state": state, "report": report, "played": played, "ui": output.ui}


def view(tiny, report: str, **inputs):
    sheet, text = tiny.nodes.memory_view.MemFlowMemoryView.execute(report, **inputs).result
    return sheet, json.loads(text)


def picture(url: str) -> Image.Image:
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_json_tells_what_the_bank_held(tiny, run):
    _, told = view(tiny, run["report"])
    chunks = told["chunks"]
    assert [chunk["chunk"] for chunk in chunks] == list(range(8))
    assert (chunks[1]["start_s"], chunks[1]["end_s"]) == (0.5625, 1.3125)
    assert chunks[0]["bank"] == [] and len({moment["frame"] for moment in chunks[-1]["bank"]}) >= 2
    # what was held is held on, or dropped
    for before, after in pairwise(chunks):
        known = {moment["frame"] for kind in ("bank", "dropped") for moment in after[kind]}
        assert {moment["frame"] for moment in before["bank"]} <= known
    assert any(chunk["dropped"] for chunk in chunks)
    for chunk in chunks:
        assert sum(chunk["share"].values()) == pytest.approx(1, abs=1e-3)
        assert chunk["prompt"] in json.dumps(json.loads(run["report"])["plan"])


def test_the_sheet_is_a_picture_with_a_row_for_each_stretch(tiny, run):
    heights = []
    for rows in ("auto", "chunks", "prompts"):
        sheet, _ = view(tiny, run["report"], rows=rows)
        assert sheet.ndim == 4 and sheet.shape[0] == 1 and sheet.shape[-1] == 3
        assert sheet.dtype == torch.float32 and 0 <= float(sheet.min()) < float(sheet.max()) <= 1
        heights.append(sheet.shape[1])
    assert heights[0] == heights[1] > heights[2]


def test_frames_of_the_run_show_on_the_sheet(tiny, run):
    plain, _ = view(tiny, run["report"])
    frames = torch.zeros(93, 64, 64, 3)
    frames[..., 0] = 1.0
    red, _ = view(tiny, run["report"], images=frames)
    assert red.shape == plain.shape

    def reddish(sheet):
        return int(((sheet[..., 0] > 0.9) & (sheet[..., 1] < 0.1)).sum())

    assert reddish(plain) == 0 and reddish(red) > 3000
    # a video that is shorter than its run says
    view(tiny, run["report"], images=frames[:5])


def test_a_video_serves_as_well_as_its_frames(tiny, run, tmp_path):
    video_path = tmp_path / "red.mp4"
    with tiny.nodes.run.output.VideoWriter(video_path) as writer:
        writer.write(torch.tensor([1.0, 0.0, 0.0]).expand(93, 64, 64, 3))
    video = tiny.nodes.host.video_from_file(video_path)
    sheet, _ = view(tiny, run["report"], images=video)
    assert int(((sheet[..., 0] > 0.85) & (sheet[..., 1] < 0.15)).sum()) > 3000


def test_a_run_that_went_on_from_a_state_is_told_from_there(tiny, run):
    _, _, report = tiny.sample(state=run["state"], length=24, memory=None, seed=3)
    _, told = view(tiny, report)
    assert [chunk["chunk"] for chunk in told["chunks"]] == [8, 9]
    assert told["chunks"][0]["bank"]


ARCHIVE = {"bank_keys": "alone", "archive": "latents"}
RETURNS = """0s: a robot stands still in the meadow
2s [cut]: a cat stands still in the city
4s [cut]: a ghost stands still in the snow
6s [cut]: a robot stands still in the meadow again"""


def test_what_came_back_from_the_archive_is_told_drawn_and_carried_on(tiny, tmp_path):
    inputs = {"memory": tiny.memory(bank_size=2, shared=ARCHIVE), "seed": 3, "length": 129}
    _, state, report = tiny.sample(schedule=tiny.schedule(RETURNS), **inputs)
    sheet, told = view(tiny, report, rows="prompts")
    back = next(chunk for chunk in told["chunks"] if chunk["prompt"].endswith("again"))
    assert back["archive"]["moments"] == back["chunk"] and back["archive"]["rule"] == "words"
    assert {moment["time_s"] < 2.1 for moment in back["bank"]} == {True}
    chosen = 0
    for before, after in pairwise(told["chunks"]):
        if "archive" in after and after["chunk"]:
            held, holds = ({moment["frame"] for moment in chunk["bank"]} for chunk in (before, after))
            recalled = {moment["frame"] for moment in after["archive"]["recalled"]}
            assert recalled == holds - held
            chosen += len(recalled)
    assert chosen
    green = (sheet - torch.tensor([0x57, 0xB8, 0x94]) / 255).abs().amax(-1) < 0.01
    assert int(green.sum()) > 200
    counted = json.loads(report)
    assert 0 < counted["forwards"]["moment"] <= counted["estimate"]["moments"]
    # a file carries the archive, to a prompt that asks for what was left long ago
    path = tmp_path / "state.safetensors"
    state.stream.compact().save(path)
    loaded = replace(state, stream=type(state.stream).load(path))
    text = f"{RETURNS}\n8s [cut]: a cat stands still in the city again"
    for start in (state, loaded):
        _, _, more = tiny.sample(schedule=tiny.schedule(text), state=start, **(inputs | {"length": 24, "memory": None}))
        _, told = view(tiny, more)
        last = told["chunks"][-1]
        assert all(2 <= moment["time_s"] < 4.1 for moment in last["bank"]) and last["bank"]


def test_without_a_bank_there_is_still_a_sheet(tiny):
    _, _, report = tiny.sample(memory=tiny.memory(retrieval="none"))
    sheet, told = view(tiny, report)
    assert sheet.shape[1] > 100 and all(chunk["bank"] == [] for chunk in told["chunks"])


BROKEN = [
    "",
    "no json",
    "[]",
    "5",
    "{}",
    "[" * 100_000,
    json.dumps({"plan": {}}),
    json.dumps({"plan": {"latent_frames_per_chunk": 3, "fps": 16, "chunks": 10**9, "segments": []}, "memory": []}),
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_report_is_named(tiny, text):
    with pytest.raises(ValueError, match="no report of a MemFlow sampler") as error:
        view(tiny, text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report["memory"].append({"event": "retrieve", "chunk": 0}),
        lambda report: report["memory"].append({"event": "record", "chunk": 0, "frame": -1}),
        lambda report: report["memory"].append({"event": "record", "chunk": 0, "frame": "../../x"}),
        lambda report: report["memory"].append({"event": "share", "chunk": 0, "sink": "a", "bank": 0, "window": 0}),
        lambda report: report["plan"].update(segments=[{"start_chunk": 0, "end_chunk": 10**12, "prompt": "x"}]),
        lambda report: report.update(first_chunk="0"),
        lambda report: report.update(pins=[[]]),
        lambda report: report.update(memory="x"),
    ],
)
def test_a_tampered_report_is_refused(tiny, run, change):
    report = json.loads(run["report"])
    change(report)
    with pytest.raises(ValueError, match="no report of a MemFlow sampler"):
        view(tiny, json.dumps(report))


def test_the_page_gets_every_chunk_with_a_picture(tiny, run):
    (told,) = run["ui"]["memflow"]
    assert [chunk["chunk"] for chunk in told["chunks"]] == list(range(8)) and told["first_chunk"] == 0
    assert set(told["thumbnails"]) == {str(chunk) for chunk in range(8)}
    for url in told["thumbnails"].values():
        assert max(picture(url).size) <= 128
    _, seen = view(tiny, run["report"])
    for shown, chunk in zip(told["chunks"], seen["chunks"], strict=True):
        assert shown["memory"]["share"] == chunk["share"]
        assert [m["frame"] for m in shown["memory"]["bank"]] == [m["frame"] for m in chunk["bank"]]
    assert len(json.dumps(told)) < 100_000


def test_thumbnails_are_small_whatever_was_decoded(tiny):
    thumbnails = tiny.nodes.report.thumbnails
    for height, width in ((480, 832), (832, 480), (16, 16)):
        frame = torch.rand(height, width, 3)
        small = picture(thumbnails.data_url(thumbnails.picture_of(frame)))
        assert small.width <= 128 and small.height <= 96
        assert abs(small.width / small.height - width / height) < 0.05


def test_a_long_run_does_not_make_the_result_grow_without_end(tiny, monkeypatch):
    request, events = tiny.nodes.run.request, tiny.nodes.run.events
    monkeypatch.setattr(events, "MOST_CHUNKS", 3)
    grid = request.ChunkGrid(3, 16.0)
    sent = events.RunEvents(tiny.nodes.host.Page(), events.MemoryLog(grid), "prompt", 0)
    plan = tiny.schedule("0s: a robot").prompts.place(grid, request.Time(40, "chunks"))
    # the bank holds the first frame of chunk 1 for ever
    held = {"event": "retrieve", "chunk": 2, "policy": "fifo", "candidate": 3, "first_layer": 0, "scores": None}
    held |= {"before": [[[]]], "after": [[[3]]]}
    for index in range(40):
        chunk = SimpleNamespace(index=index, trace=[held] if index == 2 else [])
        sent.send_chunk(chunk, plan, 40, "data:image/jpeg;base64,AAAA")
    summary = sent.summary()
    assert [chunk["chunk"] for chunk in summary["chunks"]] == [37, 38, 39]
    assert {"1", "37", "38", "39"} <= set(summary["thumbnails"]) and len(summary["thumbnails"]) <= 8
