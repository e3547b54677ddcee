"""Previews by any previewer: none of them ends a run, and a run that decodes shows its frames."""

from __future__ import annotations

import io
import logging

import pytest
import torch
from PIL import Image

STORY = "0s: a robot walks in the meadow\n1s: an empty beach"
SMALL = {"width": 32, "height": 32, "fps": 16.0, "steps": "1000", "shift": 5.0, "seed": 3, "length": 33}
FILE = {"filename_prefix": "story", "format": "mp4 (h264)", "quality": "high", "save_output": True}


class Animated:
    """As packs with animated previews have it: shows batches of frames itself, and decodes frames to a tensor."""

    def __init__(self, factors=None) -> None:
        self.factors = factors

    def decode_latent_to_preview_image(self, _format, x0):
        self.decode_latent_to_preview(x0.movedim(2, 1).reshape((-1, x0.shape[1], *x0.shape[-2:])))

    def decode_latent_to_preview(self, x0):
        return torch.nn.functional.linear(x0.movedim(1, -1), torch.rand(3, x0.shape[1]))


def gives(picture, preview):
    """A previewer with these two answers; an answer that is an exception is raised."""

    def answer(value):
        if isinstance(value, BaseException):
            raise value
        return value

    return type(
        "Previewer",
        (),
        {
            "decode_latent_to_preview": lambda self, x0: answer(picture),
            "decode_latent_to_preview_image": lambda self, kind, x0: answer(preview),
        },
    )()


def image(mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (8, 8))


# (previewer, whether the log tells of it)
PREVIEWERS = {
    "animated": (Animated, False),
    "none": (lambda: None, False),
    "plain": (lambda: gives(image(), ("JPEG", image(), 512)), False),
    "grey": (lambda: gives(image("L"), ("JPEG", image("L"), None)), False),
    "palette with alpha": (lambda: gives(image("P"), ("PNG", image("RGBA"), 64)), False),
    "nothing": (lambda: gives(None, None), False),
    "tensors": (lambda: gives(torch.zeros(1, 3, 8, 8), torch.zeros(8, 8, 3)), True),
    "tensor in the tuple": (lambda: gives(torch.zeros(8, 8, 3), ("JPEG", torch.zeros(8, 8, 3), 512)), True),
    "bytes": (lambda: gives(b"\xff\xd8", ("JPEG", b"\xff\xd8", 512)), True),
    "a picture alone": (lambda: gives(image(), image()), True),
    "too short a tuple": (lambda: gives(image(), ("JPEG", image())), True),
    "raises": (lambda: gives(RuntimeError("no such layer"), RuntimeError("no such layer")), True),
    "asserts": (lambda: gives(AssertionError(), AssertionError()), True),
    "wrong methods": (object, True),
}


@pytest.fixture(scope="module")
def tiny(pack):
    return pack.nodes.loaders.MemFlowTinyStory.execute().result


@pytest.fixture
def previews(pack, monkeypatch):
    """Call it with a previewer, or a function in place of ComfyUI's: the list of previews that reach the page."""
    import latent_preview

    shown = []

    def use(previewer):
        get = previewer if callable(previewer) else lambda device, latent_format: previewer
        monkeypatch.setattr(latent_preview, "get_previewer", get)
        return shown

    bar = pack.nodes.host.client.comfy.utils.ProgressBar
    monkeypatch.setattr(bar, "update_absolute", lambda self, done, total=None, preview=None: shown.append(preview))
    return use


@pytest.fixture
def sampled(pack, tiny):
    """Runs MemFlow Sampler: -> pictures in its result, by chunk."""
    model, clip, _ = tiny
    schedule = pack.nodes.prompts.MemFlowPromptSchedule.execute(clip, STORY).result[0]

    def run() -> dict:
        return pack.nodes.sampler.MemFlowSampler.execute(model, schedule, **SMALL).ui["memflow"][0]["thumbnails"]

    return run


@pytest.fixture
def streamed(pack, tiny, tmp_path, monkeypatch):
    """Runs MemFlow Stream to Video: -> the frames that were written, chunk by chunk."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    written, writer = [], pack.nodes.run.output.VideoWriter
    write = writer.write
    monkeypatch.setattr(writer, "write", lambda self, new: (written.append(new.clone()), write(self, new))[1])
    model, clip, vae = tiny
    schedule = pack.nodes.prompts.MemFlowPromptSchedule.execute(clip, STORY).result[0]
    node = pack.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)

    def run() -> list[torch.Tensor]:
        written.clear()
        node.execute(model, vae, schedule, **SMALL, **FILE)
        return list(written)

    return run


@pytest.mark.parametrize("name", PREVIEWERS)
def test_no_previewer_ends_a_run(previews, sampled, caplog, name):
    make, told = PREVIEWERS[name]
    shown = previews(make())
    with caplog.at_level(logging.WARNING):
        pictures = sampled()
    assert set(pictures) == {"0", "1", "2"} and all(
        url.startswith("data:image/jpeg;base64,") for url in pictures.values()
    )
    # nothing that ComfyUI could not send
    for preview in filter(None, shown):
        kind, picture, _ = preview
        picture.convert("RGB").save(io.BytesIO(), kind)
    # once, however many chunks there are
    lines = [line for line in caplog.messages if "cannot show this run" in line]
    assert len(lines) == told and all("\n" not in line for line in lines)


def test_a_previewer_that_cannot_be_made_does_not_end_a_run(previews, sampled, caplog):
    def broken(device, latent_format):
        raise Exception("Unsupported preview type for animated previews")

    shown = previews(broken)
    assert len(sampled()) == 3 and not any(shown)
    assert sum("cannot show this run" in line for line in caplog.messages) == 1


def test_a_cancel_within_a_preview_is_a_cancel(previews, sampled):
    from comfy.model_management import InterruptProcessingException

    previews(gives(InterruptProcessingException(), InterruptProcessingException()))
    with pytest.raises(InterruptProcessingException):
        sampled()


def test_a_run_that_decodes_shows_the_newest_frame_of_each_chunk(previews, streamed):
    shown = previews(gives(RuntimeError("latents are not asked for"), RuntimeError("latents are not asked for")))
    chunks = streamed()
    pictures = [preview for preview in shown if preview is not None]
    assert len(pictures) == len(chunks) == 3
    for (kind, picture, _), frames in zip(pictures, chunks, strict=True):
        assert kind == "JPEG" and picture.size == (32, 32)
        assert torch.equal(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8), frames[-1].flatten())


def test_without_previews_nothing_is_shown(previews, streamed):
    shown = previews(None)
    streamed()
    assert not any(shown)
