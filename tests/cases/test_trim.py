"""A VIDEO that was trimmed on its way: what lies outside is neither shown nor remembered."""

from __future__ import annotations

import io
import sys

import av
import numpy as np
import pytest
import torch

FPS, FRAMES = 16, 48


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """An mp4 of 3 s whose frame n is a grey of 5 n, with B-frames and a keyframe a second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"g": str(FPS), "crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            grey = np.full((64, 64, 3), 5 * number, dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        file.mux(stream.encode())
    return path


def frame_of(picture) -> int:
    return round(float(np.asarray(picture, dtype=float).mean()) / 5)


TRIMS = {
    "whole": ({}, 0, 48),
    "start": ({"start_time": 1.0}, 16, 48),
    "between keyframes": ({"start_time": 1.25, "duration": 1.0}, 20, 36),
    "end": ({"duration": 0.5}, 0, 8),
    "from the end": ({"start_time": -1.0}, 32, 48),
}


@pytest.mark.parametrize("name", TRIMS)
@pytest.mark.parametrize("in_memory", [False, True], ids=["file", "memory"])
def test_frames_are_counted_from_the_trim(pack, film, name, in_memory):
    from comfy_api.latest import InputImpl

    trim, first, end = TRIMS[name]
    video = InputImpl.VideoFromFile(io.BytesIO(film.read_bytes()) if in_memory else str(film), **trim)
    assert len(video.get_components().images) == end - first, "ComfyUI counts other frames"
    found = dict(pack.nodes.host.video_frames(video))
    assert [frame_of(found[number]) for number in range(end - first)] == list(range(first, end))
    thumbnails = sys.modules[f"{pack.__name__}.nodes.report.thumbnails"]
    # frame 100 of the story is the first of the video
    pictures = thumbnails.frame_pictures(video, {99, 100, 104, 100 + end - first}, first_px=100)
    assert {place: frame_of(picture) for place, picture in pictures.items()} == {100: first, 104: first + 4}


@pytest.mark.parametrize("name", TRIMS)
@pytest.mark.parametrize("most", [9, 21])
def test_start_images_take_the_end_of_the_trim(pack, film, name, most):
    from comfy_api.latest import InputImpl

    trim, first, end = TRIMS[name]
    pictures = pack.nodes.host.video_pictures(InputImpl.VideoFromFile(str(film), **trim), FPS, most)
    count = min(most, end - first)
    assert [round(float(picture.mean()) * 51) for picture in pictures] == list(range(end - count, end))


def test_a_cropped_video_is_decoded_by_comfyui_itself(pack, film):
    """Newer ones crop: they say their size, and give cropped pictures."""
    from comfy_api.latest import InputImpl

    class Cropped(InputImpl.VideoFromFile):
        def get_dimensions(self):
            return 32, 64

        def get_components(self):
            parts = super().get_components()
            parts.images = parts.images[:, :, :32]
            return parts

    video = Cropped(str(film), start_time=1.0)
    frames = dict(pack.nodes.host.video_frames(video))
    assert len(frames) == 32 and all(tuple(frame.shape) == (64, 32, 3) for frame in frames.values())
    thumbnails = sys.modules[f"{pack.__name__}.nodes.report.thumbnails"]
    assert thumbnails.frame_pictures(video, {3}, first_px=0)[3].size == (32, 64)


def test_memory_view_shows_moments_of_the_trim(tiny, film):
    from comfy_api.latest import InputImpl

    _, _, report = tiny.sample(steps="1000", length=81, memory=tiny.memory())
    trimmed = InputImpl.VideoFromFile(str(film), start_time=1.0)
    view = tiny.nodes.memory_view.MemFlowMemoryView.execute
    by_video = view(report, images=trimmed).result[0]
    by_pictures = view(report, images=trimmed.get_components().images).result[0]
    untrimmed = view(report, images=InputImpl.VideoFromFile(str(film))).result[0]
    assert (by_video - by_pictures).abs().max() < 0.05
    assert not torch.equal(by_video, untrimmed)
