"""Names and texts that a file cannot keep: refused before anything is made, in one sentence."""

from __future__ import annotations

import json

import av
import pytest

from memflow_core.schedule import PromptSchedule, ScheduleError, Segment, Time, read_schedule


@pytest.mark.parametrize(
    "text",
    [
        "0s: a robot\0walks",
        "a robot\0",
        json.dumps([{"time": 0, "prompt": "a\0b"}]),
        json.dumps({"0": "a\0b", "16": "c"}),
    ],
)
def test_a_prompt_with_a_nul_is_refused(text):
    with pytest.raises(ScheduleError, match=r"NUL character at position \d+: leave it out\.$"):
        read_schedule(text)


def test_a_global_prompt_with_a_nul_is_refused():
    with pytest.raises(ScheduleError, match="global_prompt holds a NUL"):
        PromptSchedule((Segment(Time(0, "s"), "a robot"),), global_prompt="a\0b")


NAMES = {
    5: "must be a text",
    None: "must be a text",
    "a\0b": "no name can hold",
    "a\nb": "no name can hold",
    "\ud800": "half a character",
    "n" * 300: "too long",
    "n" * 240: "too long",
    "é" * 130: "too long",
    "x/" * 3000 + "x": "cannot|can be written",
    "../x": "outside of it",
    "/x": "outside of it",
    "a/../../x": "outside of it",
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_a_prefix_that_makes_no_file_is_refused_before_the_run(name, pack, tmp_path, monkeypatch):
    import folder_paths

    output = tmp_path / "output"
    monkeypatch.setattr(folder_paths, "output_directory", str(output))
    for make in (
        lambda: pack.nodes.host.new_output_file(name, "mp4", width=64, height=64, keep=True),
        lambda: pack.nodes.host.new_state_file(name),
    ):
        with pytest.raises(ValueError, match=f"^filename_prefix is .*{NAMES[name]}") as caught:
            make()
        message = str(caught.value)
        assert message.endswith(".") and "\n" not in message and len(message) < 400 and str(tmp_path) not in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["n" * 190, "日本/物語", "%width%x%height%", "a b.c", "sub/folder/x"])
def test_a_prefix_that_makes_a_file_is_honoured(name, pack, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    host = pack.nodes.host
    for file in (host.new_output_file(name, "mp4", width=64, height=64, keep=True), host.new_state_file(name)):
        # with the longest name that it has while it grows
        file.path.with_name(f"{file.path.stem}.unfinished{file.path.suffix}").write_bytes(b"")
        file.path.write_bytes(b"")


def test_a_folder_that_is_a_file_is_named(pack, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    (tmp_path / "taken").write_bytes(b"precious")
    with pytest.raises(
        ValueError, match=r"filename_prefix is 'taken/x', but no file can be written there \(.*\): choose"
    ):
        pack.nodes.host.new_output_file("taken/x", "mp4", width=64, height=64, keep=True)
    assert (tmp_path / "taken").read_bytes() == b"precious"


@pytest.mark.parametrize("value", [5, None, True, 0.5, [], {"a": 1}, ["x"]])
def test_a_states_name_that_is_no_text_is_refused_in_one_sentence(value, pack):
    node = pack.nodes.state.MemFlowLoadState
    said = node.validate_inputs(value)
    # None: a link feeds it
    assert said is True if value is None else f"file is {value!r}, but must be the name of a state's file" in said


def test_what_was_played_is_whole_in_the_file(tmp_path, noise):
    from memflow_core.video import VideoWriter

    played = "0s: " + "a robot \u65e5\u672c \U0001f600 [x] = ; # \\ \" ' \t" * 300
    for ending in ("mp4", "webm", "mkv"):
        with VideoWriter(tmp_path / f"story.{ending}") as writer:
            writer.write(noise(2))
            writer.tag({"memflow_played": played})
        with av.open(tmp_path / f"story.{ending}") as file:
            tags = {name.lower(): value for name, value in file.metadata.items()}
        assert tags["memflow_played"] == played
