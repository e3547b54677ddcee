"""`AUDIO` on MemFlow Stream to Video: in the file, through ComfyUI's own nodes, and where a run goes on."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

SMALL = {"width": 64, "height": 64, "fps": 16.0, "steps": "1000", "shift": 5.0, "seed": 7}
RATE = 24000


@pytest.fixture
def stream(tiny, tmp_path, monkeypatch):
    """Runs the node on the tiny model: -> (VIDEO, state)."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    node = tiny.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)

    def run(**changes):
        inputs = {"model": tiny.model, "vae": tiny.vae, "schedule": tiny.schedule("0s: a robot walks in the meadow")}
        inputs |= {"length": 21, "filename_prefix": "story", "format": "mp4 (h264)", "quality": "high"}
        inputs |= {"save_output": True, **SMALL}
        return node.execute(**(inputs | changes)).result[:2]

    return run


def steps(seconds: float = 4, channels: int = 2) -> dict:
    """An `AUDIO` that hums, louder by 0.1 with each half second."""
    time = np.arange(int(RATE * seconds)) / RATE
    wave = (0.1 + 0.1 * np.floor(time * 2)) * np.sin(2 * np.pi * 600 * time)
    return {"waveform": torch.from_numpy(wave.astype(np.float32)).expand(1, channels, -1), "sample_rate": RATE}


def loudness(path: str | Path) -> list[float]:
    """Peaks of each half second of a file's sound; nothing if it has none."""
    with av.open(path) as file:
        if not file.streams.audio:
            return []
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        rate = file.streams.audio[0].codec_context.sample_rate
    half = rate // 2
    # from the middle of each, where no step is near
    return [
        float(np.abs(sound[at + half // 4 : at + half // 2]).max()) for at in range(0, len(sound) - half // 2, half)
    ]


def test_a_video_has_the_sound_it_was_given_and_none_otherwise(stream):
    loud, mute = stream(audio=steps())[0], stream()[0]
    assert loudness(loud.get_stream_source()) == pytest.approx([0.1, 0.2, 0.3], abs=0.03)
    assert loudness(mute.get_stream_source()) == []


@pytest.mark.parametrize("name", ["webm (vp9)", "mkv (h264)"])
def test_every_container_takes_it(stream, name):
    path = stream(audio=steps(channels=1), format=name)[0].get_stream_source()
    assert loudness(path) == pytest.approx([0.1, 0.2, 0.3], abs=0.03)


def test_where_the_sound_begins_in_a_run_that_goes_on(stream):
    _, state = stream()  # 21 frames: 1.31 s
    part = {"state": state, "length": 24, "audio": steps()}
    assert loudness(stream(**part)[0].get_stream_source()) == pytest.approx([0.1, 0.2, 0.3], abs=0.03)
    # of the whole story's sound 1.31 s are gone: three loudnesses, and a part of one more
    later = loudness(stream(**part, audio_start="the story")[0].get_stream_source())
    assert later == pytest.approx([0.4, 0.5, 0.6], abs=0.11) and later[0] > 0.25
    short = stream(state=state, length=12, audio=steps(seconds=1), audio_start="the story")[0]
    assert max(loudness(short.get_stream_source())) < 0.01


def test_comfyuis_own_nodes_read_the_sound(stream, tmp_path):
    video = stream(audio=steps())[0]
    parts = video.get_components()
    assert parts.audio["sample_rate"] == RATE and parts.images.shape[0] == 21
    video.save_to(str(tmp_path / "copy.mp4"), metadata={"workflow": {"nodes": []}})
    assert loudness(tmp_path / "copy.mp4") == pytest.approx([0.1, 0.2, 0.3], abs=0.03)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ({"waveform": torch.zeros(2, 2, 100), "sample_rate": RATE}, "must be one clip"),
        ({"waveform": torch.zeros(1, 6, 100), "sample_rate": RATE}, "1 or 2 channels"),
        ({"waveform": torch.zeros(1, 2, 0), "sample_rate": RATE}, "not empty"),
        ({"waveform": torch.full((1, 2, 9), torch.nan), "sample_rate": RATE}, "finite"),
    ],
)
def test_sound_that_cannot_be_written_is_named_before_any_sampling(tiny, stream, audio, message, monkeypatch, tmp_path):
    def sampled(*_):
        raise AssertionError("sampling started")

    monkeypatch.setattr(tiny.nodes.host, "sampling", sampled)
    with pytest.raises(ValueError, match=message) as error:
        stream(audio=audio)
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.mp4"))
