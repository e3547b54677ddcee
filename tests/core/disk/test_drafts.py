"""Drafts: hidden files that become a file of its real name once they are whole."""

from __future__ import annotations

import threading

import pytest

from memflow_core.disk.draft import Draft, remove_stale_drafts


@pytest.mark.parametrize("number", range(3))
def test_a_sweep_of_stale_drafts_never_takes_one_that_is_being_made(number, tmp_path):
    done = threading.Event()

    def sweep():
        while not done.is_set():
            remove_stale_drafts(tmp_path)

    sweepers = [threading.Thread(target=sweep) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for place in range(300):
            target = tmp_path / f"{place}.mp4"
            with Draft(target) as draft:
                draft.file.write(b"whole")
                draft.finish(target)
    finally:
        done.set()
        for sweeper in sweepers:
            sweeper.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{place}.mp4" for place in range(300))
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"whole"}


def test_a_draft_whose_program_is_gone_is_swept(tmp_path):
    left = tmp_path / f".memflow-draft-{'0' * 16}.mp4"
    left.write_bytes(b"half")
    with Draft(tmp_path / "a.mp4") as draft:
        assert remove_stale_drafts(tmp_path) == [left.name]
        assert draft.is_there()
    assert list(tmp_path.iterdir()) == []
