"""MemFlow Stream to Video: the file is the story that the sampler makes, whole or in parts, and survives trouble."""

from __future__ import annotations

import errno
import resource
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
import torch


def frames_in(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_file_shows_what_the_sampler_and_the_stock_decoder_make(tiny, stream):
    path, _, report = stream()
    whole = tiny.vae.decode(tiny.sample(length=45)[0])[0].detach().numpy() * 255
    shown = frames_in(path)
    assert shown.shape == (45, 64, 64, 3) and report["video_frames"] == 45
    # the error of h264 at the node's usual quality, colour at half resolution
    assert np.abs(shown - whole).mean() < 4


@pytest.mark.parametrize("name", ["mp4 (h265)", "webm (vp9)", "mkv (h264)"])
def test_other_formats_play(stream, name):
    path, _, _ = stream(format=name, quality="small file")
    assert len(frames_in(path)) == 45


def test_parts_joined_are_the_whole(tiny, stream, written):
    stream(length=93)
    whole = torch.cat(written)
    written.clear()
    _, state, _ = stream(length=45)
    path, _, report = stream(length=48, state=state)
    assert torch.equal(torch.cat(written), whole)
    assert len(frames_in(path)) == 48 == report["video_frames"]


def test_a_sampler_state_can_go_on_as_video(tiny, stream, written):
    stream(length=57)
    whole = torch.cat(written)
    written.clear()
    _, state, _ = tiny.sample(length=45)
    stream(length=12, state=state)
    assert torch.equal(torch.cat(written), whole[45:])


@contextmanager
def room_for(size: int):
    """No file may grow beyond `size` bytes: the system then refuses to write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing_that_was_written(stream, tmp_path, caplog):
    path, _, _ = stream()
    with room_for(path.stat().st_size // 2), pytest.raises(OSError, match="could not be written") as error:
        stream(seed=8)
    assert error.value.errno == errno.EFBIG
    (left,) = tmp_path.glob("*unfinished*")
    kept = len(frames_in(left))
    assert 0 < kept < 45 and f"{kept} frames" in str(error.value)


def test_no_file_is_ever_overwritten(stream):
    first, _, _ = stream()
    content = first.read_bytes()
    second, _, _ = stream(seed=9)
    assert first != second and first.read_bytes() == content


def test_temporary_output_goes_to_the_temp_folder(stream):
    import folder_paths

    path, _, _ = stream(save_output=False)
    assert Path(folder_paths.get_temp_directory()) in path.parents


@pytest.mark.parametrize("prefix", ["../out", "/etc/out", "a/../../out"])
def test_files_stay_inside_the_output_folder(stream, prefix, tmp_path):
    with pytest.raises(Exception, match="(?i)outside"):
        stream(filename_prefix=prefix)
    assert not list(tmp_path.rglob("*"))


def test_a_wrong_vae_is_named_before_sampling(tiny, stream, monkeypatch):
    def sampled(*_):
        raise AssertionError("sampling started")

    monkeypatch.setattr(tiny.nodes.host, "sampling", sampled)
    with pytest.raises(ValueError, match="VAE"):
        stream(vae=None)
