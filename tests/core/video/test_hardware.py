"""Encoders in hardware: chosen only after one has shown, at the video's own size, that it works as it must."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import pytest
import torch

from memflow_core.video import VideoWriter, hardware
from memflow_core.video.encoder import CODECS

SIZE = ("mp4", Fraction(16), 18, 64, 96)
# in the place of hardware: an encoder that surely is here, under other settings than our own
GOOD = replace(CODECS["h264"], options={"preset": "ultrafast", "tune": "zerolatency"}, pixels="nv12")
BAD = {
    "not on this computer": replace(GOOD, encoder="h264_nonesuch"),
    "does not open": replace(GOOD, options={"preset": "nonesuch"}),
    "holds frames back": replace(GOOD, options={"preset": "medium"}),
    "ruins the picture": replace(GOOD, quality=lambda crf: {"qp": "51"}),
}


@pytest.fixture
def offer(monkeypatch):
    """offer(codecs) is what the computer has in hardware."""
    return lambda *codecs: monkeypatch.setattr(hardware, "in_hardware", lambda codec: list(codecs))


@pytest.mark.parametrize("trouble", BAD)
def test_one_that_does_not_work_is_passed_over(offer, trouble):
    offer(BAD[trouble])
    assert hardware.quickest(CODECS["h264"], *SIZE) is CODECS["h264"]
    offer(BAD[trouble], GOOD)
    assert hardware.quickest(CODECS["h264"], *SIZE) is GOOD


@pytest.mark.parametrize("name", ["h264", "h265", "av1"])
def test_each_codec_passes_its_own_trial(name):
    codec = CODECS[name]
    assert hardware.passes(codec, hardware._NAMES[codec.encoder][1], *SIZE[:2], codec.crf, *SIZE[3:])


@pytest.mark.parametrize("name", CODECS)
def test_what_this_computer_offers_makes_the_same_kind_of_video(name):
    for codec in hardware.in_hardware(CODECS[name]):
        kind = av.Codec(codec.encoder, "w").id
        assert kind == av.Codec(CODECS[name].encoder, "w").id
        assert codec.pixels in {format.name for format in av.Codec(codec.encoder, "w").video_formats}
        assert codec.crf == CODECS[name].crf and codec.containers == CODECS[name].containers


def test_a_video_says_what_encodes_it(offer, tmp_path):
    offer(GOOD)
    frames = torch.rand(9, 64, 96, 3)
    for asked, codec in ((True, GOOD), (False, CODECS["h264"])):
        with VideoWriter(tmp_path / f"{asked}.mp4", 16, hardware=asked) as writer:
            assert writer.encoder is None
            writer.write(frames)
            assert writer.encoder == codec.encoder and writer.frames == 9
        with av.open(writer.path) as container:
            assert len(list(container.decode(video=0))) == 9
