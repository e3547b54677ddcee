"""MemFlow Save State and Load State: what a file brings back, where files may be, and how bad ones are refused."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

START = "0s: a robot walks in the meadow"
TALE = f"{START}\n1s: an empty beach\n2.5s: the robot returns to the meadow"


@pytest.fixture
def folders(pack, tmp_path, monkeypatch):
    """ComfyUI's output and input folder, empty."""
    import folder_paths

    for name in ("output", "input"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    return tmp_path


@pytest.fixture
def files(tiny, folders):
    """The two nodes: save(state, ...) -> the file's name, load(name) -> state, and path(name)."""

    class Files:
        @staticmethod
        def save(state, prefix: str = "story", content: str = "compact") -> str:
            return tiny.nodes.state.MemFlowSaveState.execute(state, prefix, content).result[0]

        @staticmethod
        def load(name: str):
            return tiny.nodes.state.MemFlowLoadState.execute(name).result[0]

        @staticmethod
        def check(name: str):
            return tiny.nodes.state.MemFlowLoadState.validate_inputs(name)

        @staticmethod
        def path(name: str) -> Path:
            return folders / "output" / name.removesuffix(" [output]")

    return Files


@pytest.fixture
def sampled(tiny):
    """sampled(**changes): the story's latents, and the state after them."""

    def sample(**changes):
        inputs = {"memory": tiny.memory(), "length": 57} | changes
        if "schedule" not in inputs:
            long = "state" in inputs or inputs["length"] >= 57
            inputs["schedule"] = tiny.schedule(TALE if long else START)
        return tiny.sample(**inputs)[:2]

    return sample


def test_an_exact_file_goes_on_as_if_nothing_had_happened(sampled, files):
    whole, _ = sampled(length=93)
    head, state = sampled()
    name = files.save(state, content="exact")
    rest, _ = sampled(length=36, state=files.load(name))
    assert torch.equal(torch.cat((head, rest), dim=2), whole)


def test_a_compact_file_goes_on_near_the_exact_one_and_every_time_the_same(sampled, files):
    whole, _ = sampled(length=93)
    _, state = sampled()
    name = files.save(state)
    first, second = (sampled(length=36, state=files.load(name))[0] for _ in range(2))
    assert torch.equal(first, second)
    expected = whole[:, :, -9:]
    assert (first - expected).norm() < 0.5 * expected.norm() and first.std() > 0
    assert files.path(name).stat().st_size < 300_000


@pytest.mark.parametrize("content", ["compact", "exact"])
def test_a_file_carries_small_pictures_of_what_is_remembered(sampled, files, content):
    _, state = sampled()
    held = {frame // 3 for frame in state.stream.tensors["frames"].unique().tolist() if frame >= 0}
    assert held and held <= state.shown.keys()
    loaded = files.load(files.save(state, content=content))
    assert loaded.shown == state.shown
    # they are still there when the story has gone on, as long as they are remembered
    _, after = sampled(state=loaded, length=12)
    assert {chunk: after.shown[chunk] for chunk in held & after.shown.keys()} == {
        chunk: state.shown[chunk] for chunk in held & after.shown.keys()
    }


def test_both_files_go_on_as_video(tiny, sampled, files):
    node = tiny.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)
    inputs = {"model": tiny.model, "vae": tiny.vae, "schedule": tiny.schedule(TALE), "seed": 7, "width": 64}
    inputs |= {"height": 64, "fps": 16.0, "steps": "1000, 500", "shift": 5.0, "filename_prefix": "story"}
    inputs |= {"format": "mp4 (h264)", "quality": "high", "save_output": True, "memory": tiny.memory()}
    _, state, *_ = node.execute(**inputs, length=57).result
    for content in ("exact", "compact"):
        loaded = files.load(files.save(state, content=content))
        assert (loaded.decoder is not None) == (content == "exact")
        video = node.execute(**inputs, length=12, state=loaded).result[0]
        assert video.get_frame_count() == 12


def test_one_segment_is_rolled_again_without_those_before(sampled, files, tiny):
    """From a file saved where a segment starts: another seed makes another take, the same seed the same one."""
    _, state = sampled(length=33)
    name = files.save(state)
    calls = []
    tree = tiny.nodes.host.wan_tree(tiny.model)
    hook = tree.patch_embedding.register_forward_hook(lambda *_: calls.append(1))
    try:
        takes = [sampled(length=24, state=files.load(name), seed=seed)[0] for seed in (1, 2, 1)]
    finally:
        hook.remove()
    assert torch.equal(takes[0], takes[2]) and not torch.equal(takes[0], takes[1])
    # of two chunks two steps and a context pass each, two prompt changes, and what is remembered of three chunks
    assert len(calls) <= 3 * (2 * 3 + 2 + 3)


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_two_endings_branch_from_one_state(sampled, files, tiny, content):
    _, made = sampled(length=33)
    state = made if content == "exact" else files.load(files.save(made))
    before = copy.deepcopy((state.stream.tensors, state.stream.meta, state.decoder))
    endings = ["a cat waves in the city", "the robot returns to the meadow", "a cat waves in the city"]
    taken = []
    for ending in endings:
        tale = tiny.schedule(f"0s: a robot walks in the meadow\n2s: {ending}")
        taken.append(sampled(length=24, state=state, schedule=tale)[0])
    assert torch.equal(taken[0], taken[2]) and not torch.equal(taken[0], taken[1])
    assert state.stream.meta == before[1] and state.decoder == before[2]
    assert all(torch.equal(before[0][name], tensor) for name, tensor in state.stream.tensors.items())


def test_saving_changes_nothing_and_replaces_nothing(sampled, files, folders):
    _, state = sampled()
    names = [files.save(state, "chapter 1/story") for _ in range(2)]
    assert names == [f"memflow_states/chapter 1/story_0000{number}_.safetensors [output]" for number in (1, 2)]
    found = [path.relative_to(folders).as_posix() for path in folders.rglob("*") if path.is_file()]
    assert sorted(found) == [f"output/{name.removesuffix(' [output]')}" for name in names]
    first, second = (load_file(files.path(name)) for name in names)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_file_that_appears_while_saving_stays(sampled, files, folders, monkeypatch, tiny):
    _, state = sampled()
    stream_state = sys.modules[type(state.stream).__module__]
    write = stream_state.write_safetensors

    def slow(*content):
        write(*content)
        (folders / "output" / "memflow_states" / "story_00001_.safetensors").write_text("precious")

    monkeypatch.setattr(stream_state, "write_safetensors", slow)
    with pytest.raises(FileExistsError):
        files.save(state)
    (left,) = (path for path in folders.rglob("*") if path.is_file())
    assert left.read_text() == "precious"


def test_the_list_shows_saved_states_and_those_in_the_input_folder(sampled, files, folders, tiny):
    _, state = sampled()
    name = files.save(state, "sub/story")
    (folders / "input" / "friends").mkdir()
    files.path(name).rename(folders / "input" / "friends" / "theirs.safetensors")
    name = files.save(state)
    (folders / "output" / "other.safetensors").write_bytes(b"")
    (folders / "input" / "picture.png").write_bytes(b"")
    listed = tiny.nodes.state.MemFlowLoadState.define_schema().inputs[0].options
    assert listed == [name, "friends/theirs.safetensors"]
    assert files.load("friends/theirs.safetensors").stream.chunks == state.stream.chunks


def test_info_says_what_a_sampler_needs(sampled, files, tiny):
    name = files.save(sampled()[1])
    info = tiny.nodes.state.MemFlowLoadState.execute(name).result[1]
    for part in ("57 video frames", "64 x 64", "1000, 500", "shift 5", "prompt", "compact"):
        assert part in info


def test_a_file_that_changed_is_loaded_anew(sampled, files, tiny):
    node = tiny.nodes.state.MemFlowLoadState
    name = files.save(sampled()[1])
    print_before = node.fingerprint_inputs(name)
    assert node.fingerprint_inputs(name) == print_before
    other = files.save(sampled(length=45)[1])
    os.replace(files.path(other), files.path(name))
    assert node.fingerprint_inputs(name) != print_before


@pytest.mark.parametrize("prefix", ["../story", "../../story", "/etc/story", "a/../../story", "..", "", "a\0b/c"])
def test_nothing_is_saved_outside_the_folder(sampled, files, folders, prefix):
    _, state = sampled(length=9)
    with pytest.raises(ValueError, match="filename_prefix") as error:
        files.save(state, prefix)
    assert "\n" not in str(error.value)
    assert not [path for path in folders.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "../secret.safetensors [output]",
        "memflow_states/../secret.safetensors [output]",
        "memflow_states/../../secret.safetensors [output]",
        "secret.safetensors [output]",
        "link.safetensors",
        "/secret.safetensors",
        "secret.pt",
        "a\0b.safetensors",
        "",
        "story.safetensors [temp]",
    ],
)
def test_nothing_is_read_outside_the_folders(files, folders, name):
    for place in (folders, folders / "output"):
        save_file({"a": torch.zeros(1)}, place / "secret.safetensors")
    (folders / "input" / "secret.pt").write_bytes(b"")
    (folders / "input" / "link.safetensors").symlink_to(folders / "secret.safetensors")
    assert "is no state's file" in files.check(name)
    with pytest.raises(ValueError, match="is no state's file"):
        files.load(name)


def test_missing_and_strange_files_are_named_before_the_queue_starts(files, folders):
    assert "there is no state called" in files.check("gone.safetensors")
    (folders / "input" / "text.safetensors").write_text("hello")
    assert "damaged or not a safetensors file" in files.check("text.safetensors")
    save_file({"a": torch.zeros(1)}, folders / "input" / "lora.safetensors")
    assert "is not a stream state" in files.check("lora.safetensors")
    assert files.check(None) is True


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_a_damaged_file_is_refused_in_one_sentence(sampled, files, content):
    path = files.path(name := files.save(sampled()[1], content=content))
    whole = path.read_bytes()
    assert files.check(name) is True
    for damaged in (whole[: len(whole) // 2], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged") as error:
            files.load(name)
        assert "\n" not in str(error.value)


def test_a_hostile_decoder_is_refused_before_anything_is_sampled(tiny, sampled, files, monkeypatch):
    node = tiny.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)
    inputs = {"model": tiny.model, "vae": tiny.vae, "schedule": tiny.schedule(TALE), "seed": 7, "width": 64}
    inputs |= {"height": 64, "fps": 16.0, "steps": "1000, 500", "shift": 5.0, "filename_prefix": "story"}
    inputs |= {"format": "mp4 (h264)", "quality": "high", "save_output": True}
    _, state, *_ = node.execute(**{**inputs, "schedule": tiny.schedule(START)}, length=21).result
    calls = []
    tree = tiny.nodes.host.wan_tree(tiny.model)
    for name, tensor in state.decoder.items():
        if name in ("carry.00", "carry.20"):
            bad = type(state)(state.stream, {**state.decoder, name: tensor[..., :-2]})
            hook = tree.patch_embedding.register_forward_hook(lambda *_: calls.append(1))
            with pytest.raises(ValueError, match=r"another (size|VAE)"):
                node.execute(**inputs, length=48, state=files.load(files.save(bad, content="exact")))
            hook.remove()
    assert calls == []


def test_a_full_disk_leaves_no_half_file(sampled, files, folders, monkeypatch):
    import resource

    _, state = sampled()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(Exception, match=r"(?i)large|space|io"):
            files.save(state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in folders.rglob("*") if path.is_file()]


def test_a_state_of_another_model_or_size_is_refused(tiny, sampled, files):
    name = files.save(sampled()[1])
    with pytest.raises(ValueError, match="64 x 64"):
        sampled(state=files.load(name), width=96)
    with pytest.raises(ValueError, match="memory settings differ"):
        sampled(state=files.load(name), memory=tiny.memory(bank_size=1))
    with pytest.raises(ValueError, match="nothing exact to save"):
        files.save(files.load(name), content="exact")


def test_a_file_holds_no_pickle(sampled, files):
    path = files.path(files.save(sampled()[1]))
    assert all(isinstance(tensor, torch.Tensor) for tensor in load_file(path).values())
