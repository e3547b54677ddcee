"""Hardware encoders: chosen only if a trial with the video's own settings shows that one works."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import pytest
import torch

from memflow_core.video import VideoWriter, hardware
from memflow_core.video.encoder import CODECS, VideoSettings

SETTINGS = VideoSettings(container="mp4", rate=Fraction(16), crf=18, height=64, width=96)
# instead of hardware: an encoder that every computer has, with other options than ours
GOOD = replace(CODECS["h264"], options={"preset": "ultrafast", "tune": "zerolatency"}, pixel_format="nv12")
BAD = {
    "not on this computer": replace(GOOD, encoder="h264_nonesuch"),
    "does not open": replace(GOOD, options={"preset": "nonesuch"}),
    "holds frames back": replace(GOOD, options={"preset": "medium"}),
    "ruins the picture": replace(GOOD, quality_options=lambda _: {"qp": "51"}),
}


@pytest.fixture
def offer(monkeypatch):
    """offer(*codecs) makes them the hardware encoders of this computer."""
    return lambda *codecs: monkeypatch.setattr(hardware, "hardware_codecs", lambda _: list(codecs))


@pytest.mark.parametrize("trouble", BAD)
def test_an_encoder_that_fails_its_trial_is_passed_over(offer, trouble):
    offer(BAD[trouble])
    assert hardware.prefer_hardware(CODECS["h264"], SETTINGS) is CODECS["h264"]
    offer(BAD[trouble], GOOD)
    assert hardware.prefer_hardware(CODECS["h264"], SETTINGS) is GOOD


@pytest.mark.parametrize("name", ["h264", "h265", "av1"])
def test_each_codec_passes_its_own_trial(name):
    codec = CODECS[name]
    settings = replace(SETTINGS, crf=codec.crf)
    assert hardware.passes_trial(codec, settings, decoder=hardware._FORMATS[codec.encoder].decoder)


@pytest.mark.parametrize("name", CODECS)
def test_hardware_codecs_are_of_the_same_format(name):
    for codec in hardware.hardware_codecs(CODECS[name]):
        kind = av.Codec(codec.encoder, "w").id
        assert kind == av.Codec(CODECS[name].encoder, "w").id
        assert codec.pixel_format in {format.name for format in av.Codec(codec.encoder, "w").video_formats}
        assert codec.crf == CODECS[name].crf and codec.containers == CODECS[name].containers


def test_a_writer_names_its_encoder(offer, tmp_path):
    offer(GOOD)
    frames = torch.rand(9, 64, 96, 3)
    for asked, codec in ((True, GOOD), (False, CODECS["h264"])):
        with VideoWriter(tmp_path / f"{asked}.mp4", 16, hardware=asked) as writer:
            assert writer.encoder is None
            writer.write(frames)
            assert writer.encoder == codec.encoder and writer.frames == 9
        with av.open(writer.path) as container:
            assert len(list(container.decode(video=0))) == 9
