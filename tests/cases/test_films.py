"""Films under faults: power cuts, files and folders that go away, players on Windows, drafts that kills left behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memflow_core.disk import Draft, remove_stale_drafts
from memflow_core.video import VideoWriter
from memflow_core.video.growing import SYNC_EVERY

ROOT = Path(__file__).resolve().parents[2]
HOLD_A_DRAFT = """
import sys, time
from pathlib import Path
from memflow_core.disk import Draft
draft = Draft(Path(sys.argv[1]))
draft.file.write(b"half a film")
print(draft.path, flush=True)
time.sleep(600)
"""


def test_a_finished_film_is_on_the_disk_before_the_unfinished_one_goes(tmp_path, noise, calls):
    with VideoWriter(tmp_path / "story.mp4") as writer:
        for _ in range(2 * SYNC_EVERY + 1):
            writer.write(noise(2))
    growing = calls[: calls.index("name story.mp4")]
    # the first fragment and its name, then one in so many
    assert growing[:2] == ["sync data", "sync folder"] and growing.count("sync data") == 3
    assert growing[-2:] == ["sync file", "sync file"]
    ending = calls[calls.index("name story.mp4") :]
    assert ending[:3] == ["name story.mp4", "sync folder", "remove story.unfinished.mp4"]


def test_a_disk_that_cannot_sync_fails_no_film_and_one_that_refuses_is_told(tmp_path, noise, monkeypatch):
    def refuse(number):
        def sync(_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "fdatasync", sync)

    refuse(errno.EINVAL)
    with VideoWriter(tmp_path / "network.mp4") as writer:
        writer.write(noise(2))
    refuse(errno.EIO)
    broken = r"broken\.mp4 could not be written past frame 0.*nothing was kept"
    with pytest.raises(OSError, match=broken), VideoWriter(tmp_path / "broken.mp4") as writer:
        writer.write(noise(2))
    assert [file.name for file in tmp_path.iterdir()] == ["network.mp4"]


def deleted(folder: Path, unfinished: Path) -> None:
    unfinished.unlink()


def folder_deleted(folder: Path, unfinished: Path) -> None:
    shutil.rmtree(folder)


def moved(folder: Path, unfinished: Path) -> None:
    unfinished.rename(folder.parent / "elsewhere.mp4")


def folder_moved(folder: Path, unfinished: Path) -> None:
    folder.rename(folder.parent / "elsewhere")


def folder_made_anew(folder: Path, unfinished: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def replaced(folder: Path, unfinished: Path) -> None:
    unfinished.unlink()
    unfinished.write_bytes(b"another film")


def written_to(folder: Path, unfinished: Path) -> None:
    with unfinished.open("ab") as file:
        file.write(b"more")


# what happens to the file, and what is said
GONE = {
    deleted: "deleted",
    folder_deleted: "deleted",
    moved: "moved to .*elsewhere.mp4",
    folder_moved: "moved to .*elsewhere",
    folder_made_anew: "deleted",
    replaced: "deleted, and another file has its name",
    written_to: "another program has written to it",
}


@pytest.mark.parametrize("what", GONE, ids=lambda what: what.__name__)
@pytest.mark.parametrize("when", ["writing", "closing"])
def test_a_film_that_goes_away_is_noticed_at_the_next_write(what, when, tmp_path, noise, read_pictures):
    folder = tmp_path / "output"
    folder.mkdir()
    writer = VideoWriter(folder / "story.mp4")
    writer.write(noise(6))
    what(folder, writer.unfinished)
    with pytest.raises(
        OSError, match=rf"story\.mp4 could not be written past frame 6.*{GONE[what]}.*is not there any more\.$"
    ):
        writer.write(noise(6)) if when == "writing" else writer.close()
    with pytest.raises(ValueError, match="takes no more frames"):
        writer.write(noise(6))
    assert writer.abort() is None
    assert not (folder / "story.mp4").exists()
    for left in tmp_path.rglob("elsewhere*/*.mp4") if what is folder_moved else tmp_path.glob("elsewhere.mp4"):
        assert len(read_pictures(left)) == 6
    if what is replaced:
        assert writer.unfinished.read_bytes() == b"another film"


def test_a_folder_that_takes_no_more_files_is_noticed_at_the_next_write(tmp_path, noise, monkeypatch, read_pictures):
    writer = VideoWriter(tmp_path / "story.mp4")
    writer.write(noise(6))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match="past frame 6.*its folder no longer lets files be written into it"):
        writer.write(noise(6))
    assert len(read_pictures(writer.unfinished)) == 6


def test_a_player_that_holds_the_growing_file_fails_no_complete_film(tmp_path, noise, monkeypatch, read_pictures):
    unlink = Path.unlink

    def held(self, missing_ok=False):
        if "unfinished" in self.name:
            raise PermissionError(errno.EACCES, "used by another process")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", held)
    with VideoWriter(tmp_path / "story.mp4") as writer:
        writer.write(noise(6))
    assert len(read_pictures(tmp_path / "story.mp4")) == len(read_pictures(writer.unfinished)) == 6
    assert writer.note is not None and "is complete" in writer.note and "both are there" in writer.note


def test_a_draft_that_cannot_be_renamed_is_copied(tmp_path, noise, monkeypatch, read_pictures):
    def held(*_):
        raise PermissionError(errno.EACCES, "used by another process")

    monkeypatch.setattr(os, "replace", held)
    with VideoWriter(tmp_path / "story.mp4") as writer:
        writer.write(noise(6))
    assert [file.name for file in tmp_path.iterdir()] == ["story.mp4"]
    assert len(read_pictures(tmp_path / "story.mp4")) == 6


def test_a_copy_never_replaces_a_file(tmp_path, monkeypatch):
    draft, target = Draft(tmp_path / "a.mp4"), tmp_path / "a.mp4"

    def appears(*_):
        target.write_bytes(b"precious")
        raise PermissionError

    monkeypatch.setattr(os, "replace", appears)
    with pytest.raises(FileExistsError), draft:
        draft.finish(target)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"] and target.read_bytes() == b"precious"


def test_drafts_of_killed_programs_go_at_the_next_run_and_those_of_others_stay(tmp_path, noise):
    command = [sys.executable, "-c", HOLD_A_DRAFT, str(tmp_path / "story.mp4")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        held = Path(process.stdout.readline().strip())
        assert held.read_bytes() == b"half a film"
        with VideoWriter(tmp_path / "other.mp4") as writer:
            writer.write(noise(2))
        assert held.exists(), "the draft of a server that runs"
        process.kill()
        process.wait()
    VideoWriter(tmp_path / "third.mp4")
    assert not held.exists()


def test_nothing_but_our_own_drafts_is_removed(tmp_path):
    kept = [".tmpAbCdEf", ".hidden.mp4", ".memflow-draft-xyz.mp4", "story.unfinished.mp4", ".memflow-draft-0123.mp4"]
    for name in kept:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".memflow-draft-0123456789abcdef").mkdir()
    (tmp_path / "precious.mp4").write_bytes(b"precious")
    (tmp_path / ".memflow-draft-0123456789abcde0.mp4").symlink_to(tmp_path / "precious.mp4")
    stale = tmp_path / ".memflow-draft-0123456789abcdee.mp4"
    stale.write_bytes(b"x")
    young, old = tmp_path / ".young.finishing.mp4", tmp_path / ".old.finishing.mp4"
    for file in (young, old):
        file.write_bytes(b"x")
    os.utime(old, (1e9, 1e9))
    assert remove_stale_drafts(tmp_path) == [stale.name, old.name]
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {*kept, ".memflow-draft-0123456789abcdef", "precious.mp4", young.name} | {
        ".memflow-draft-0123456789abcde0.mp4"
    }


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_draft_has_the_mode_of_any_new_file(umask, tmp_path, noise):
    before = os.umask(umask)
    try:
        with VideoWriter(tmp_path / "story.mp4") as writer:
            writer.write(noise(2))
    finally:
        os.umask(before)
    assert (tmp_path / "story.mp4").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_draft_is_never_made_through_a_link(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 16)
    (tmp_path / "precious.mp4").write_bytes(b"precious")
    (tmp_path / f".memflow-draft-{'0' * 16}.mp4").symlink_to(tmp_path / "precious.mp4")
    with pytest.raises(FileExistsError):
        Draft(tmp_path / "story.mp4")
    assert (tmp_path / "precious.mp4").read_bytes() == b"precious"


@pytest.mark.parametrize("tag", ["a\0b", "a\ud800b"])
def test_a_tag_that_would_be_cut_is_refused(tag, tmp_path, noise):
    with pytest.raises(ValueError, match="'note' holds"):
        VideoWriter(tmp_path / "story.mp4", metadata={"note": tag})
    writer = VideoWriter(tmp_path / "story.mp4")
    writer.write(noise(2))
    with pytest.raises(ValueError, match="'note' holds"):
        writer.tag({"note": tag})
    writer.close()
