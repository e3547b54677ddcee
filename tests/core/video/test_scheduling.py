"""How encoding leaves the scheduling of threads, which is read from Linux."""

from __future__ import annotations

import os

import pytest

from memflow_core.video import VideoWriter
from memflow_core.video.encoder import CODECS


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_encoding_does_not_change_what_the_machine_does_first(tmp_path, codec, stripes):
    """SVT-AV1, run by root, makes real-time threads, and all that they start: other programs then get no turn."""

    def scheduling() -> set[int]:
        return {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}

    before = scheduling()
    with VideoWriter(tmp_path / "story.mkv", 16, codec=codec) as writer:
        writer.write(stripes(4))
        assert scheduling() == before
    assert scheduling() == before
