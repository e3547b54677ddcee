"""The folder of kept moments: its budget, what goes first, what is skipped, and several programs at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from memflow_core.keep import Keep, Library, MomentFile, SideWriter, default_budget
from memflow_core.keep.library import first_to_go
from memflow_core.state import StreamState, capture
from memflow_core.video import FilmPart, PartPacket

ROOT = Path(__file__).resolve().parents[3]
DIGESTS = [f"{number:032x}" for number in range(20)]


@pytest.fixture
def state(make_stream, prompt) -> StreamState:
    stream = make_stream()
    stream.set_prompt(prompt(0))
    next(stream)
    return capture(stream)


def files_of(sizes: dict[tuple[int, str], int]) -> list[MomentFile]:
    """Files by (number of the digest, kind), the longest unused first."""
    return [
        MomentFile(Path(f"{kind}_{number}"), kind, DIGESTS[number], size, float(place))
        for place, ((number, kind), size) in enumerate(sizes.items())
    ]


def gone(sizes, size, budget, chain, newest=19):
    going = first_to_go(files_of(sizes), size, budget, {DIGESTS[n]: c for n, c in chain.items()}, DIGESTS[newest])
    return None if going is None else [file.path.name for file in going]


def test_other_stories_go_first_and_their_moments_before_their_parts():
    sizes = {(0, "latents"): 1, (0, "moment"): 10, (1, "moment"): 10, (2, "moment"): 10, (2, "latents"): 1}
    assert gone(sizes, 10, 42, {2: 3, 19: 6}) == []
    assert gone(sizes, 10, 40, {2: 3, 19: 6}) == ["moment_0"]
    assert gone(sizes, 10, 23, {2: 3, 19: 6}) == ["moment_0", "moment_1"]
    assert gone(sizes, 10, 21, {2: 3, 19: 6}) == ["moment_0", "moment_1", "latents_0"]


def test_of_one_story_that_goes_whose_loss_costs_least():
    chain = {0: 10, 1: 20, 2: 22, 3: 40, 19: 50}
    sizes = {(number, "moment"): 10 for number in range(4)}
    # between 10 and 22, the moment at 20 saves the fewest chunks
    assert gone(sizes, 10, 40, chain) == ["moment_1"]
    assert gone(sizes, 10, 30, chain) == ["moment_1", "moment_0"]
    assert gone(sizes, 10, 10, chain) == ["moment_1", "moment_0", "moment_3", "moment_2"]
    # a moment written late whose loss costs least is not written
    assert gone(sizes, 10, 40, {**chain, 19: 21}) is None


def test_files_stay_within_the_budget(state, tmp_path):
    told = []
    size = sum(tensor.nbytes for tensor in state.tensors.values())
    library = Library(tmp_path, int(3.5 * size), told.append)
    for chunk, digest in enumerate(DIGESTS[:9], 1):
        library.keep_moment(digest, chunk, state)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= library.budget
    assert len(library.files()) == 3 and library.has_moment(DIGESTS[8])
    assert told and all("gave way" in sentence for sentence in told)
    library.remove_all()
    assert list(tmp_path.iterdir()) == [] if tmp_path.exists() else True


def test_a_moment_larger_than_the_budget_is_told_and_not_kept(state, tmp_path):
    told = []
    assert not Library(tmp_path / "kept", 100, told.append).keep_moment(DIGESTS[0], 1, state)
    assert len(told) == 1 and "budget" in told[0] and list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full_is_left_alone(state, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 2**30})())
    with pytest.raises(OSError, match="only 1.0 GB of the disk are free"):
        Library(tmp_path, 2**40).keep_moment(DIGESTS[0], 1, state)
    assert list(tmp_path.iterdir()) == [] and default_budget(tmp_path) == 2**28


def test_what_was_kept_is_read_back(state, tmp_path):
    library = Library(tmp_path, 2**30)
    part = FilmPart("0123456789abcdef", b"header", (PartPacket(b"one", 0, True), PartPacket(b"", 1, False)))
    latents = torch.randn(1, 16, 3, 4, 6)
    assert library.keep_moment(DIGESTS[0], 1, state) and library.keep_latents(DIGESTS[0], 0, 1, latents)
    assert library.keep_film(DIGESTS[0], 0, 1, part)
    other = Library(tmp_path, 2**30)
    assert torch.equal(other.latents(DIGESTS[0], 0), latents)
    assert other.film(DIGESTS[0], 0, part.encoding) == part
    assert other.moment(DIGESTS[0], 1).tensors.keys() == state.tensors.keys()
    assert other.latents(DIGESTS[0], 1) is None and other.moment(DIGESTS[1], 1) is None


@pytest.mark.parametrize("fault", ["cut off", "one bit", "empty", "another's", "text", "other chunk"])
@pytest.mark.parametrize("kind", ["moment", "latents", "film"])
def test_damaged_and_foreign_files_are_skipped_with_one_sentence(state, tmp_path, fault, kind):
    told, library = [], Library(tmp_path, 2**30)
    part = FilmPart("0123456789abcdef", b"", (PartPacket(b"one", 0, True),))
    for digest, chunk in ((DIGESTS[0], 1), (DIGESTS[1], 2)):
        library.keep_moment(digest, chunk, state)
        library.keep_latents(digest, 0, chunk, torch.randn(1, 16, 3, 4, 6))
        library.keep_film(digest, 0, chunk, part)
    (path,) = tmp_path.glob(f"{kind}_{DIGESTS[1 if fault == 'other chunk' else 0]}*")
    content = path.read_bytes()
    if fault == "another's":
        (other,) = tmp_path.glob(f"{kind}_{DIGESTS[1]}*")
        path.write_bytes(other.read_bytes())
    elif fault == "one bit":
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    elif fault != "other chunk":
        path.write_bytes({"cut off": content[: len(content) // 2], "empty": b"", "text": b"hello " * 99}[fault])
    elif kind != "moment":
        return
    reader = Library(tmp_path, 2**30, told.append)
    digest, chunk = path.name.split("_")[1].removesuffix(".safetensors"), 1
    read = {
        "moment": lambda: reader.moment(digest, chunk),
        "latents": lambda: reader.latents(digest, 0),
        "film": lambda: reader.film(digest, 0, part.encoding),
    }[kind]
    assert read() is None
    assert len(told) == 1 and told[0].startswith("a kept moment is skipped:") and "\n" not in told[0]


def test_what_is_not_ours_is_neither_listed_nor_removed(tmp_path):
    names = ["notes.txt", "moment_x.safetensors", "moment_0.safetensors", f"latents_{DIGESTS[0]}.safetensors"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / f"moment_{DIGESTS[1]}.safetensors").symlink_to(tmp_path / "notes.txt")
    library = Library(tmp_path, 2**30)
    assert library.files() == [] and library.remove_all() == 0
    assert library.moment(DIGESTS[1], 1) is None
    assert {path.name for path in tmp_path.iterdir()} == {*names, f"moment_{DIGESTS[1]}.safetensors"}


def test_two_programs_on_one_folder(state, tmp_path):
    size = sum(tensor.nbytes for tensor in state.tensors.values())
    libraries = [Library(tmp_path, 3 * size, lambda _: None) for _ in range(2)]
    for number in range(8):
        libraries[number % 2].keep_moment(DIGESTS[number], 1, state)
        for library in libraries:
            for file in library.files():
                assert library.moment(file.digest, 1) is not None
            library.follow([(DIGESTS[number], 1)])
    assert sum(file.bytes for file in libraries[0].files()) <= 3 * size


KEEPS = """
import os, sys, torch
from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.keep import Keep
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.stream import Stream
from memflow_core.weights import load_tiny_generator, load_tiny_text_encoder
torch.set_num_threads(1)
generator, encoder = load_tiny_generator(), load_tiny_text_encoder()
words = ["a robot walks in the meadow", "an empty beach"]
text = "\\n".join(f"{n}c: {words[n % 2]}" for n in range(200))
schedule = read_schedule(text)
plan = schedule.place(ChunkGrid(), Time(200, "chunks"))
embeddings = [encoder.encode(words[n % 2]) for n in range(200)]
memory, sampling = MemoryConfig(record_every=1), SamplingConfig(steps=(1000,))
stream = Stream(generator, LatentShape(8, 8), memory=memory, sampling=sampling)
# imports once: a child for each line that is read
for _ in sys.stdin:
    if (child := os.fork()):
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)
        continue
    break
else:
    sys.exit()
for chunk in play(stream, EncodedSchedule(schedule, plan, embeddings), 5, keep=Keep(sys.argv[1], 1)):
    print(chunk.index, len(chunk.forwards), flush=True)
"""
KILLS, HANGS_S = 10, 120


@pytest.mark.slow
def test_after_ten_kills_every_moment_that_is_listed_loads(tmp_path):
    command = [sys.executable, "-c", KEEPS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for number in range(KILLS):
            print("go", file=parent.stdin, flush=True)
            child = int(parent.stdout.readline())
            said = [parent.stdout.readline() for _ in range(2 + 2 * number)]
            time.sleep(0.017 * number)
            os.kill(child, signal.SIGKILL)
            while (line := parent.stdout.readline()) != "gone\n":
                assert line
            check_all_that_is_there(tmp_path)
            assert said[-1].startswith(f"{1 + 2 * number} ")
        parent.stdin.close()
    assert any(file.kind == "moment" for file in Library(tmp_path, 2**30).files())


def check_all_that_is_there(folder: Path) -> None:
    library = Library(folder, 2**30, pytest.fail)
    files = library.files()
    whole = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert {file.path.name for file in files} == whole, "something else than whole files is there"
    for file in files:
        if file.kind == "moment":
            assert StreamState.load(file.path).chunks > 0
        else:
            assert library.latents(file.digest, int(file.path.stem.split("_")[2])) is not None


def test_a_side_writer_refuses_what_does_not_fit_and_ends_with_all_written():
    done = []
    with SideWriter(10) as writer:
        gate = threading.Event()
        assert writer.reserve(8)
        writer.put(8, lambda: (gate.wait(HANGS_S), done.append(8)))
        assert not writer.reserve(3) and writer.reserve(2)
        writer.put(2, lambda: done.append(2))
        gate.set()
    assert done == [8, 2] and not writer.reserve(1)


def test_a_side_writer_takes_one_write_of_any_size_and_ends_at_the_first_error():
    told = []
    with SideWriter(10, told.append) as writer:
        assert writer.reserve(1000) and not writer.reserve(1)
        writer.release(1000)
        assert writer.reserve(1)
        writer.put(1, lambda: 1 / 0)
    assert writer.stopped and told == ["no more moments are kept: division by zero; the story itself goes on."]


def test_the_default_budget_is_a_quarter_of_what_is_free_and_at_most_20_gb(tmp_path, monkeypatch):
    for free, expected in ((8, 2), (4000, 20)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: type("", (), {"free": free * 2**30})())
        assert default_budget(tmp_path / "not" / "there") == expected * 2**30
        assert Keep(tmp_path).library.budget == expected * 2**30
