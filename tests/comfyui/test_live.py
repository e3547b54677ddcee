"""Stories directed over HTTP while they play, in a running ComfyUI."""

from __future__ import annotations

import io
import socket
import time
import uuid
from pathlib import Path

import av
import numpy as np
import pytest

from memflow_core.render import failure
from tools.comfy_server import RequestError, output_files

# far more than any test waits for: each test ends its story by a request
LONG = 12 * 500 - 3
STORY = "0s: a robot walks in the meadow\n0.5s: an empty beach\n1s [soft]: the robot returns to the meadow"


def graph(seed: int, clip: bool = True, prompts: str = STORY, **inputs) -> dict:
    """A story on the tiny model; `inputs` are those of the video node."""
    stream = {"model": ["1", 0], "vae": ["1", 2], "schedule": ["2", 0], "seed": seed, "width": 32, "height": 32}
    stream |= {"length": LONG, "fps": 16.0, "filename_prefix": "live", "format": "mp4 (h264)", "quality": "high"}
    stream |= {"save_output": True, "steps": "1000", "shift": 5.0, **({"clip": ["1", 1]} if clip else {})}
    schedule = {"clip": ["1", 1], "prompts": prompts, "global_prompt": ""}
    return {
        "1": {"class_type": "MemFlowTinyStory", "inputs": {}},
        "2": {"class_type": "MemFlowPromptSchedule", "inputs": schedule},
        "3": {"class_type": "MemFlowStreamToVideo", "inputs": {**stream, **inputs}},
    }


class Directed:
    """A run that is paused at chunk boundaries, so that requests reach it there however fast it is.

    steps  one function for each pause; it gets this object, and may `ask` and look at `state`.
    """

    def __init__(self, comfy, prompt: dict, *steps):
        self.comfy, self.steps, self.answers = comfy, list(steps), []
        self.states, self.chunks = [], []
        self.path = None
        self.run = comfy.run(prompt, self._on_event)

    def ask(self, body) -> dict:
        return self.comfy.post(self.path, body)

    def refused(self, body) -> tuple[int, str]:
        with pytest.raises(RequestError) as error:
            self.ask(body)
        return error.value.status, error.value.body["error"]

    @property
    def state(self) -> dict:
        return self.comfy.get(self.path)["state"]

    def _on_event(self, event: dict) -> None:
        data = event["data"]
        if event["type"] == "memflow.chunk":
            self.chunks.append(data)
        if event["type"] != "memflow.live":
            return
        first, self.path = self.path is None, f"/memflow/live/{data['prompt_id']}/{data['node']}"
        held = data["holding"] and not (self.states and self.states[-1]["holding"])
        self.states.append(data)
        if first:
            self.ask({"action": "pause"})
        elif held and self.steps:
            self.steps.pop(0)(self)

    def video(self) -> Path:
        assert failure(self.run.history) is None, failure(self.run.history)
        (file,) = output_files(self.run.history, ".mp4")
        return self.comfy.path_of(file)


def frames_of(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def tags_of(path: Path) -> dict:
    with av.open(path) as container:
        return dict(container.metadata)


def resume(run: Directed) -> None:
    run.ask({"action": "resume"})


def finish(run: Directed) -> None:
    run.ask({"action": "finish"})


def ask_then_go_on_until(chunk: int, **wish):
    """Ask for a prompt, then hold again at a later chunk."""

    def step(run: Directed) -> None:
        run.ask(wish)
        run.ask({"action": "resume"})
        while run.state["chunk"] < chunk:
            time.sleep(0.05)
        run.ask({"action": "pause"})

    return step


def test_a_live_prompt_is_played_and_what_was_played_plays_again(comfy):
    directed = Directed(comfy, graph(701), ask_then_go_on_until(4, prompt="a cat jumps", switch="cut"), finish)
    video = directed.video()
    frames, played = frames_of(video), tags_of(video)["memflow_played"]
    assert "[cut]: a cat jumps" in played and played.startswith("length: ")
    (wish,) = directed.states[-1]["prompts"]
    assert wish["status"] == "accepted"
    assert directed.chunks[wish["chunk"]]["prompt"] == "a cat jumps"
    again = comfy.run(graph(701, clip=False, prompts=played, filename_prefix="video/again"))
    assert failure(again.history) is None
    (file,) = output_files(again.history, ".mp4")
    assert np.array_equal(frames_of(comfy.path_of(file)), frames)


def test_the_events_tell_the_story(comfy):
    seen = []
    run = comfy.run(graph(702, length=45), seen.append)
    assert failure(run.history) is None
    chunks = [event["data"] for event in seen if event["type"] == "memflow.chunk"]
    (done,) = [event["data"] for event in seen if event["type"] == "memflow.done"]
    assert [chunk["chunk"] for chunk in chunks] == [0, 1, 2, 3] and {chunk["chunks"] for chunk in chunks} == {4}
    assert [chunk["start_s"] for chunk in chunks] == [0.0, 0.5625, 1.3125, 2.0625]
    assert [chunk["end_s"] for chunk in chunks] == [0.5625, 1.3125, 2.0625, 2.8125]
    for chunk in chunks:
        assert chunk["thumbnail"].startswith("data:image/jpeg;base64,") and chunk["prompt"]
        assert set(chunk["memory"]) - {"archive"} == {"bank", "dropped", "recorded", "share", "even"}
        for shares in (chunk["memory"]["share"], chunk["memory"]["even"]):
            assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    # what a prompt asked the archive for
    assert any("archive" in chunk["memory"] for chunk in chunks)
    assert done["ended"] == "finished" and [c["chunk"] for c in done["memory"]["chunks"]] == [0, 1, 2, 3]
    node = chunks[0]["node"]
    shown = run.history["outputs"][node]["memflow"][0]
    assert shown["chunks"] == done["memory"]["chunks"] and set(shown["thumbnails"]) == {"0", "1", "2", "3"}
    assert all(data["prompt_id"] == done["prompt_id"] for data in chunks)


def test_a_run_under_way_is_told_to_any_page_that_asks(comfy):
    workflow = {"id": "067c9af5-2047-5ca8-bd1f-4a0aa357adcf", "nodes": [], "links": []}
    seen, asked = [], []

    def on_event(event: dict) -> None:
        seen.append(event)
        if event["type"] == "memflow.chunk" and event["data"]["chunk"] == 2:
            asked.extend(comfy.get("/memflow/runs")["runs"])

    run = comfy.run(graph(708, length=93, filename_prefix="asked"), on_event, workflow=workflow)
    assert failure(run.history) is None
    chunks = [event["data"] for event in seen if event["type"] == "memflow.chunk"]
    assert {data["workflow"] for data in chunks} == {workflow["id"]}
    (told,) = asked
    about = {name: told[name] for name in ("node", "prompt_id", "workflow", "chunks")}
    assert about == {name: chunks[0][name] for name in about}
    assert told["state"]["paused"] is False
    # all that the events have told so far, and perhaps more
    count = len(told["memory"]["chunks"])
    assert count >= 3
    for told_chunk, sent in zip(told["memory"]["chunks"], chunks[:count], strict=True):
        assert told_chunk == {name: sent[name] for name in told_chunk}
        assert told["memory"]["thumbnails"][str(sent["chunk"])] == sent["thumbnail"]
    assert comfy.get("/memflow/runs") == {"runs": []}


def test_the_film_can_be_read_as_it_grows(comfy):
    seen, parts = [], []

    def on_event(event: dict) -> None:
        data = event["data"]
        # the last ones are told while the finished file takes the place of the growing one
        if event["type"] == "memflow.chunk" and data["chunk"] < 5:
            seen.append(film := data["film"])
            name = {key: film[key] for key in ("filename", "subfolder", "type")}
            parts.append(comfy.view(name)[: film["bytes"]])

    run = comfy.run(graph(709, length=93, filename_prefix="grows"), on_event)
    assert failure(run.history) is None
    assert {film["media"] for film in seen} == {'video/mp4; codecs="avc1.640033"'}
    sizes = [film["bytes"] for film in seen]
    assert sizes == sorted(sizes) and len(set(sizes)) > 1
    for index, part in enumerate(parts):
        # each is a file that plays, and the beginning of the next
        assert len(part) == sizes[index] and parts[-1].startswith(part)
        with av.open(io.BytesIO(part)) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 9 + 12 * index


def test_only_the_page_that_queued_hears_of_it(comfy):
    import websocket

    direct = socket.create_connection(("127.0.0.1", comfy.port), 60)
    other = websocket.create_connection(f"ws{comfy.url[4:]}/ws?clientId={uuid.uuid4().hex}", 60, socket=direct)
    try:
        assert failure(comfy.run(graph(703, length=33)).history) is None
        comfy.post("/prompt", {"prompt": graph(703, length=33), "client_id": "nobody"})
        other.settimeout(2)
        heard = []
        with pytest.raises(websocket.WebSocketTimeoutException):
            while True:
                heard.append(other.recv())
        assert not any("memflow" in message for message in heard if isinstance(message, str))
    finally:
        other.close()


def test_finish_now_keeps_what_was_made(comfy):
    directed = Directed(comfy, graph(704), ask_then_go_on_until(3, prompt="a robot"), finish)
    video = directed.video()
    assert "unfinished" not in video.name
    assert len(frames_of(video)) == 12 * len(directed.chunks) - 3
    assert directed.states[-1]["ended"]


def test_an_open_end_goes_on_until_finish(comfy):
    directed = Directed(comfy, graph(705, length=0), ask_then_go_on_until(5, prompt="a ghost"), finish)
    frames = frames_of(directed.video())
    assert len(directed.chunks) >= 5 and {chunk["chunks"] for chunk in directed.chunks} == {None}
    played = tags_of(directed.video())["memflow_played"]
    again = comfy.run(graph(705, length=0, clip=False, prompts=played))
    assert failure(again.history) is None
    (file,) = output_files(again.history, ".mp4")
    assert np.array_equal(frames_of(comfy.path_of(file)), frames)


def test_a_pause_changes_nothing(comfy):
    held = Directed(comfy, graph(706, length=45), resume)
    assert any(state["holding"] for state in held.states)
    plain = comfy.run(graph(706, length=45, filename_prefix="video/plain"))
    (file,) = output_files(plain.history, ".mp4")
    assert np.array_equal(frames_of(held.video()), frames_of(comfy.path_of(file)))


def test_a_paused_story_can_be_cancelled(comfy):
    directed = Directed(comfy, graph(707), lambda run: comfy.interrupt())
    assert "cancelled" in failure(directed.run.history)
    assert directed.states[-1]["ended"]
    with pytest.raises(RequestError) as error:
        comfy.get(directed.path)
    assert error.value.status == 404


def test_an_unknown_word_is_answered_and_the_story_goes_on(comfy):
    def speak(run: Directed) -> None:
        run.ask({"prompt": "a zebra on the moonbase", "at": 0})
        while run.state["prompts"][-1]["status"] == "waiting":
            time.sleep(0.05)
        run.ask({"action": "resume"})

    directed = Directed(comfy, graph(708, length=45), speak)
    (wish,) = directed.states[-1]["prompts"]
    assert wish["status"] == "refused" and "zebra" in wish["message"] and "\n" not in wish["message"]
    assert any(state["prompts"] and state["prompts"][0]["status"] == "refused" for state in directed.states)
    assert len(frames_of(directed.video())) == 45
    assert "zebra" not in tags_of(directed.video())["memflow_played"]


HOSTILE = [
    (None, "asks for nothing"),
    ([], "asks for nothing"),
    ({}, "asks for nothing"),
    ("finish", "asks for nothing"),
    ({"prompt": 5}, "must be text"),
    ({"prompt": ["a", "cat"]}, "must be text"),
    ({"prompt": ""}, "characters"),
    ({"prompt": "  \n "}, "characters"),
    ({"prompt": "x" * 8001}, "characters"),
    ({"prompt": "half \ud800"}, "surrogate"),
    ({"prompt": "a cat", "switch": "leap"}, "switch"),
    ({"prompt": "a cat", "switch": {}}, "switch"),
    ({"prompt": "a cat", "at": -1}, "time"),
    ({"prompt": "a cat", "at": True}, "time"),
    ({"prompt": "a cat", "at": float("nan")}, "time"),
    ({"prompt": "a cat", "at": 10**30}, "time"),
    ({"prompt": "a cat", "at": [1]}, "at is"),
    ({"prompt": "a cat", "at": "50%"}, "share"),
    ({"prompt": "a cat", "at": "soon"}, "no time"),
    ({"prompt": "a cat", "path": "/etc/passwd"}, "means nothing"),
    ({"prompt": "a cat", "action": "finish"}, "means nothing"),
    ({"action": "delete"}, "action"),
    ({"action": ["finish"]}, "action"),
    ({"action": "__class__"}, "action"),
]


def test_hostile_bodies_are_refused_in_a_sentence_and_change_nothing(comfy):
    answers = []

    def attack(run: Directed) -> None:
        answers.extend(run.refused(body) for body, _ in HOSTILE)
        for raw, status in ((b"{", 400), (b"[" * 60_000, 400), (b"\xff\xfe", 400), (b'"' + b"x" * 100_000 + b'"', 413)):
            with pytest.raises(RequestError) as error:
                comfy._request(run.path, raw)
            assert error.value.status == status and error.value.body["error"]
        for path in (run.path + "/../1", run.path.replace("live/", "live/..%2f"), run.path + "x"):
            with pytest.raises(RequestError) as error:
                comfy.get(path)
            assert error.value.status == 404
        assert run.state["prompts"] == [] and not run.state["finishing"]
        run.ask({"action": "resume"})

    directed = Directed(comfy, graph(709, length=33), attack)
    assert len(frames_of(directed.video())) == 33
    for (status, sentence), (body, word) in zip(answers, HOSTILE, strict=True):
        assert status == 400 and word in sentence and "\n" not in sentence, (body, sentence)


def test_too_many_prompts_are_put_off(comfy):
    answers = []

    def flood(run: Directed) -> None:
        for _ in range(200):
            try:
                run.ask({"prompt": "a cat", "at": 30})
            except RequestError as error:
                answers.append((error.status, error.body["error"]))
        run.ask({"action": "finish"})

    directed = Directed(comfy, graph(710), flood)
    assert all(status == 409 and "wait" in sentence for status, sentence in answers)
    assert len(directed.states[-1]["prompts"]) <= 64
    assert len(directed.chunks) == 1


def test_without_a_clip_only_prompts_are_missing(comfy):
    answers = []

    def step(run: Directed) -> None:
        assert not run.state["takes_prompts"]
        answers.append(run.refused({"prompt": "a cat"}))
        run.ask({"action": "finish"})

    directed = Directed(comfy, graph(711, clip=False), step)
    assert answers[0][0] == 409 and "clip" in answers[0][1]
    assert len(frames_of(directed.video())) == 9


def test_a_story_that_does_not_run_is_not_found(comfy):
    for path in ("/memflow/live/none/1", f"/memflow/live/{uuid.uuid4()}/12", "/memflow/live/%2e%2e/%2e%2e"):
        for ask in (lambda path=path: comfy.get(path), lambda path=path: comfy.post(path, {"action": "finish"})):
            with pytest.raises(RequestError) as error:
                ask()
            assert error.value.status == 404 and "no story" in error.value.body["error"]


def test_a_length_of_zero_needs_a_video_and_times(comfy):
    prompt = graph(712)
    keep = ("model", "schedule", "seed", "width", "height", "fps", "steps", "shift")
    inputs = {name: prompt["3"]["inputs"][name] for name in keep}
    prompt["3"] = {"class_type": "MemFlowSampler", "inputs": {"length": 0, **inputs}}
    prompt["4"] = {"class_type": "PreviewAny", "inputs": {"source": ["3", 2]}}
    with pytest.raises(RequestError, match="smaller than min"):
        comfy.run(prompt)
    with pytest.raises(RequestError, match="write its time in seconds"):
        comfy.run(graph(713, length=0, prompts="a robot | a cat"))
