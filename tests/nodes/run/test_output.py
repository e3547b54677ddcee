"""Chunks are decoded and written beside the sampling: the same file, the same events, a clean end in all trouble."""

from __future__ import annotations

import json
import threading

import av
import numpy as np
import pytest
import torch

SMALL = {"width": 32, "height": 32, "steps": "1000", "length": 57}
CUDA = ["stream"] if torch.cuda.is_available() else []
KINDS = ["off", "encode", "thread", *CUDA]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("memflow")] == []


@pytest.fixture
def overlap(tiny, monkeypatch):
    """overlap(kind) is what this machine is fit for."""
    host = tiny.nodes.host
    kinds = {
        "off": host.OFF,
        "encode": host.Overlap(None, True, "for the test."),
        "thread": host.Overlap(host.IN_THREAD, True, "for the test."),
        "stream": host.Overlap(host.IN_STREAM, True, "for the test."),
    }
    return lambda kind: monkeypatch.setattr(host, "overlap_of", lambda *devices: kinds[kind])


@pytest.fixture
def events(tiny, monkeypatch):
    """Events and texts for the page, in order."""
    sent = []
    page, progress = tiny.nodes.host.Page, tiny.nodes.host.Progress
    monkeypatch.setattr(page, "send", lambda self, event, data: sent.append((event, data)))
    monkeypatch.setattr(progress, "show_text", lambda self, text: sent.append(("text", text)))
    return sent


def without_film(sent: list) -> list:
    """Events but for the file that they name and how long it is by then."""
    return [
        (kind, {k: v for k, v in data.items() if k != "film"} if isinstance(data, dict) else data)
        for kind, data in sent
    ]


def tags_of(path) -> dict:
    with av.open(path) as container:
        return dict(container.metadata)


def frames_in(path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("kind", KINDS[1:])
def test_pictures_state_and_events_are_those_without_it(stream, written, overlap, events, kind):
    made = {}
    for each in ("off", kind):
        overlap(each)
        path, state, report = stream(**SMALL)
        made[each] = (torch.cat(written), state, list(events), report, path)
        written.clear(), events.clear()
    (pictures, state, sent, report, path), (others, other, sent_too, reported, file) = made["off"], made[kind]
    assert torch.equal(pictures, others) and len(pictures) == 57
    assert state.decoder.keys() == other.decoder.keys()
    assert all(torch.equal(state.decoder[name], other.decoder[name]) for name in state.decoder)
    assert all(torch.equal(state.stream.tensors[name], other.stream.tensors[name]) for name in state.stream.tensors)
    assert json.dumps(without_film(sent), sort_keys=True) == json.dumps(without_film(sent_too), sort_keys=True)
    assert (frames_in(path) == frames_in(file)).all()
    assert tags_of(path)["memflow_played"] == tags_of(file)["memflow_played"]
    assert report["overlap"] == {"decode": False, "encode": False, "why": "it is switched off."}
    assert reported["overlap"]["decode"] == (kind != "encode") and reported["overlap"]["encode"]
    assert report["encoder"] == reported["encoder"]


def test_what_memory_on_auto_became_is_told_once(stream, events):
    _, _, report = stream(**SMALL)
    (line,) = (told for told in report["told"] if told.startswith("Memory on auto"))
    plan, *chunks = (text for kind, text in events if kind == "text")
    assert line in plan and chunks[0] == "chunk 1 of 5" and not any(line in text for text in chunks)


def test_a_chunk_is_announced_when_it_is_in_the_file_and_with_its_own_picture(
    tiny, stream, overlap, events, monkeypatch
):
    overlap("thread")
    writer, counts, firsts = tiny.nodes.run.output.VideoWriter, [], []
    write, send = writer.write, tiny.nodes.host.Page.send

    def noted(self, frames):
        firsts.append(frames[0])
        write(self, frames)
        counts.append(self.frames)

    def sent(self, event, data):
        if event == "memflow.chunk":
            assert len(counts) > data["chunk"]
        send(self, event, data)

    monkeypatch.setattr(writer, "write", noted)
    monkeypatch.setattr(tiny.nodes.host.Page, "send", sent)
    stream(**SMALL)
    chunks = [data for event, data in events if event == "memflow.chunk"]
    assert [chunk["chunk"] for chunk in chunks] == [0, 1, 2, 3, 4]
    thumbnails = tiny.nodes.report.thumbnails
    assert [chunk["thumbnail"] for chunk in chunks] == [thumbnails.data_url(thumbnails.picture_of(f)) for f in firsts]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_keeps_a_file_that_plays_up_to_where_it_says(
    tiny, stream, overlap, events, monkeypatch, tmp_path, kind
):
    import comfy.model_management

    overlap(kind)

    def cancel_at_third_chunk(self, text):
        if "chunk 3" in text:
            comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(tiny.nodes.host.Progress, "show_text", cancel_at_third_chunk)
    cancelled = comfy.model_management.InterruptProcessingException
    with pytest.raises(cancelled):
        stream(**SMALL | {"length": 1197, "filename_prefix": "cancelled"})
    assert not comfy.model_management.processing_interrupted()
    (left,) = tmp_path.glob("*unfinished*")
    frames = len(frames_in(left))
    announced = [data["chunk"] for event, data in events if event == "memflow.chunk"]
    # of what was put, everything that was decoded is in the file and announced
    assert announced == list(range(len(announced))) and frames == 12 * len(announced) - 3 and 33 <= frames < 200
    assert [data["ended"] for event, data in events if event == "memflow.done"] == ["stopped"]
    # what the file says was played is what it shows
    length_s = float(tags_of(left)["memflow_played"].removeprefix("length: ").partition("s")[0])
    assert length_s == pytest.approx(frames / 16, abs=1e-3)


def test_a_run_that_ends_leaves_the_flag_of_a_cancel_to_whom_it_belongs(tiny, stream, overlap, monkeypatch):
    """The flag is one for all prompts. A cancel that comes while a failed run's decode is given up stays."""
    import comfy.model_management as management

    overlap("thread")
    decoder, output = tiny.nodes.host.decode.base.ChunkDecoder, tiny.nodes.run.output
    begun = threading.Event()

    def endless(self, latents):
        begun.set()
        while True:  # torch's work alone can be ended
            torch.zeros(1).add(1)

    def failing(self, chunk):
        if chunk.index == 1:
            begun.wait(60)
            raise ValueError("the run fails.")
        add(self, chunk)

    add, stop = output.VideoOutput.add, output.Pipeline.stop

    def cancelled_meanwhile(self):
        management.interrupt_current_processing(True)
        stop(self)

    monkeypatch.setattr(decoder, "decode_on_device", endless)
    monkeypatch.setattr(output.VideoOutput, "add", failing)
    monkeypatch.setattr(output.Pipeline, "stop", cancelled_meanwhile)
    try:
        with pytest.raises(ValueError, match="the run fails"):
            stream(**SMALL)
        assert management.processing_interrupted()
    finally:
        management.interrupt_current_processing(False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_that_fails_stops_the_sampling_soon(tiny, stream, overlap, monkeypatch, kind):
    overlap(kind)
    sampled, writer = [], tiny.nodes.run.output.VideoWriter
    write, add = writer.write, tiny.nodes.run.output.VideoOutput.add

    def full(self, frames):
        if self.frames >= 21:
            raise OSError("story.mp4 could not be written past frame 21: No space left on device.")
        write(self, frames)

    monkeypatch.setattr(writer, "write", full)
    monkeypatch.setattr(
        tiny.nodes.run.output.VideoOutput, "add", lambda self, chunk: (sampled.append(chunk.index), add(self, chunk))
    )
    with pytest.raises(OSError, match="past frame 21"):
        stream(**SMALL | {"length": 1197})
    # the third chunk cannot be written; others wait for it only within the bounds of the queues
    assert len(sampled) <= 3 + (0 if kind == "off" else 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_decode_that_fails_is_named_and_keeps_what_is_written(tiny, stream, overlap, monkeypatch, tmp_path, kind):
    overlap(kind)
    decoder = tiny.nodes.host.decode.base.ChunkDecoder
    decode, calls = decoder.decode_on_device, []

    def broken(self, latents):
        calls.append(latents)
        return decode(self, latents) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(decoder, "decode_on_device", broken)
    with pytest.raises(ValueError, match="NaN, which is no colour"):
        stream(**SMALL)
    (left,) = tmp_path.glob("*unfinished*")
    assert len(frames_in(left)) == 21


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_uses_the_vae_while_a_prompt_is_read(tiny, stream, overlap, monkeypatch, kind):
    """Another model may drive model and VAE from their device."""
    overlap(kind)
    decoder = tiny.nodes.host.decode.base.ChunkDecoder
    decode, busy, read = decoder.decode_on_device, [], []

    def noted(self, latents):
        busy.append(1)
        frames = decode(self, latents)
        busy.pop()
        return frames

    monkeypatch.setattr(decoder, "decode_on_device", noted)
    script, encode = tiny.nodes.run.live.LiveSchedule, tiny.nodes.host.encode
    before = script.before_chunk

    def reading(clip, prompts):
        read.append(list(busy))
        return encode(clip, prompts)

    def asked(self, chunk):
        if chunk == 2 and not read:
            monkeypatch.setattr(tiny.nodes.host, "encode", reading)
            self.control.ask("a cat jumps")
        return before(self, chunk)

    monkeypatch.setattr(script, "before_chunk", asked)
    _, _, report = stream(**SMALL, clip=tiny.clip)
    assert read == [[]] and "a cat jumps" in report["played"]


@pytest.mark.parametrize(
    ("devices", "threads", "decode", "word"),
    [
        (("cuda", "cuda"), 8, "stream", "stream of its own"),
        (("cuda", "cuda:0"), 8, "stream", "stream of its own"),
        (("cuda:0", "cuda:1"), 8, "stream", "GPU of its own"),
        (("cpu", "cuda"), 8, None, "the model samples on the CPU, and waits for the VAE on cuda"),
        (("cuda", "cpu"), 8, "thread", "on the CPU while the model samples on cuda"),
        (("mps", "mps"), 8, None, "no second stream"),
        (("cpu", "cpu"), 10_000, None, "too few are left over"),
        (("cpu", "cpu"), 0, "thread", "others can decode"),
    ],
)
def test_what_runs_beside_the_sampling_depends_on_the_devices(tiny, monkeypatch, devices, threads, decode, word):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    found = tiny.nodes.host.overlap_of(*map(torch.device, devices))
    assert found.decode == decode and found.encode and word in found.why


def test_a_finished_story_fills_the_progress_bar_though_fewer_moments_were_read_than_counted(tiny, stream, monkeypatch):
    bars = []
    bar = tiny.nodes.host.client.comfy.utils.ProgressBar
    monkeypatch.setattr(bar, "update_absolute", lambda self, done, *_, **__: bars.append((done, self.total)))
    shots = ("a robot waves in the city", "a cat waves on the beach", "the robot waves in the city")
    schedule = tiny.schedule("\n".join(f"{second}s: {prompt}" for second, prompt in zip((0, 3, 6), shots, strict=True)))
    _, _, report = stream(**SMALL | {"schedule": schedule, "length": 129})
    done, total = zip(*bars, strict=True)
    assert done[-1] == total[-1] > sum(report["forwards"].values())
