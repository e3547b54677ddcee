"""Lists of stories in their authors' forms, returns that differ in the bank alone, results that are gone on with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.story_protocol import (
    AtFirstRead,
    Settings,
    TinyModel,
    colours,
    main,
    play_return,
    play_until_return,
    read_stories,
    summary,
    vector_of,
)
from memflow_core.config import MemoryConfig
from memflow_core.stream import ForwardPass

TINY = Path(__file__).parents[2] / "benchmarks" / "story_protocol" / "tiny_stories.jsonl"
LINES = TINY.read_text().splitlines()


# -- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys", "starts", "meet", "back", "absent"),
    [
        ('{"prompts": ["a", "b", "c"]}', ["prompts"], [0, 4, 8], 0, 2, (1,)),
        ('["a", "b", "c", "d"]', ["prompts"], [0, 4, 8, 12], 0, 3, (1, 2)),
        ('{"prompts": ["a", "b", "c"], "switch_frame_indices": [6, 30]}', ["prompts"], [0, 2, 10], 0, 2, (1,)),
        ('{"id": 7, "shots": ["a", "b", "c"], "meet": 2, "absent": []}', ["shots"], [0, 4, 8], 1, 2, ()),
        ('{"one": "a", "two": "b", "three": "a", "kind": 3}', ["one", "two", "three"], [0, 4, 8], 0, 2, (1,)),
        ('{"prompts": ["a", "b", "c", "d"], "back": 3, "absent": [2]}', ["prompts"], [0, 4, 8, 12], 0, 2, (1,)),
    ],
)
def test_a_story_is_read_in_the_form_of_its_authors(text, keys, starts, meet, back, absent):
    for whole in (text, f"\n{text}\n\n", f"[{text}]"):
        (story,) = read_stories(whole, keys=keys, chunks=4)
        assert [segment.start_chunk for segment in story.plan.segments] == starts
        assert story.plan.chunks == starts[-1] + 4
        assert (story.meet, story.back, story.absent) == (meet, back, absent)


def test_a_list_says_once_for_all_what_does_not_show_the_subject():
    assert read_stories('["a", "b", "c"]', absent="none")[0].absent == ()


def test_stories_are_known_by_what_they_say_and_not_by_their_line():
    one, other, again = read_stories('["a", "b"]\n["a", "c"]\n["a", "b"]')
    assert one.key == again.key != other.key and one.line != again.line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the list of stories is empty"),
        ("a robot\na cat", "line 1 of the list is no JSON"),
        ('["a", "b"]\n7', "story 2 of the list: it is int"),
        ('["a"]', "it has 1 prompt, but a return needs at least 2"),
        ('{"shots": ["a", "b"]}', "no list of prompts by the key 'prompts', but the keys shots"),
        ('{"prompts": ["a", "b"], "meet": 2}', "meet is 2 and back is 2"),
        ('{"prompts": ["a", "b"], "back": 3}', "back is 3, but must be the number of a prompt, from 1 to 2"),
        ('{"prompts": ["a", "b", "c"], "meet": true}', "meet is True"),
        ('{"prompts": ["a", "b", "c"], "absent": [3]}', "must name prompts before the return"),
        ('{"prompts": ["a", "b", "c"], "absent": 2}', "absent is 2, but must be a list"),
        ('{"prompts": ["a", 5]}', "story 1 of the list: "),
    ],
)
def test_what_is_no_list_of_stories_is_named_by_its_line(text, words):
    with pytest.raises(ValueError) as error:
        read_stories(text)
    assert words in str(error.value)


# -- settings, embedders, results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [{"retrieval": "none"}, {"retrieval": "attention"}, {"retrieval": "reference"}])
def test_a_bank_that_cannot_be_exchanged_is_refused(memory):
    with pytest.raises(ValueError, match="banks are exchanged before a pass: choose prompt"):
        Settings(MemoryConfig(**memory), 0, "colours")


def test_colours_tell_pictures_apart_by_what_is_in_them_and_not_where():
    pictures = torch.ones(3, 16, 16, 3) * 0.5
    pictures[0, 2:6, 2:6] = torch.tensor([1.0, 0, 0])
    pictures[1, 9:13, 7:11] = torch.tensor([1.0, 0, 0])
    pictures[2, 2:6, 2:6] = torch.tensor([0, 0, 1.0])
    found = colours(pictures)
    assert torch.equal(found[0], found[1]) and float(found[0] @ found[2]) < 0.97


def test_a_vector_is_the_embedding_or_the_class_token():
    states = torch.randn(2, 5, 4)
    assert torch.equal(vector_of({"image_embeds": None, "last_hidden_state": states}), states[:, 0])
    assert torch.equal(vector_of({"image_embeds": states[:, 1], "last_hidden_state": states}), states[:, 1])


def record(own: float, swapped: float, present: bool | None = True) -> dict:
    def bank(identity: float, of_donor: float) -> dict:
        return {"identity": identity, "present": present, "of_donor": of_donor}

    return {"banks": {"own": bank(own, 0.5), "none": bank(0.4, 0.5), "swapped": bank(swapped, 0.5)}}


def test_what_is_not_there_says_nothing_of_identity():
    found = summary([record(0.9, 0.3), record(0.7, 0.3), record(0.1, 0.8, present=False)])
    assert found["own"]["present"] == {"mean": 0.6667, "error": 0.3333, "of": 3}
    assert found["own"]["identity"]["mean"] == 0.8
    assert found["own_minus_swapped"] == {"mean": 0.5, "error": 0.1, "of": 2}
    assert found["own_is_nearer"]["mean"] == 0.6667
    ungated = summary([record(0.9, 0.3, present=None)])
    assert ungated["own"]["present"]["of"] == 0 and ungated["own"]["identity"]["of"] == 1


# -- on the tiny model ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> TinyModel:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TinyModel()
    torch.set_num_threads(threads)


def test_a_bank_that_is_chosen_by_the_chunks_own_queries_is_exchanged_after_that():
    for rule, kind in (("words", "recache"), ("attention", "denoise")):
        acted = []
        act = AtFirstRead(7, acted.append)
        act.stream = SimpleNamespace(memory_config=MemoryConfig(archive="keys", archive_rule=rule))
        for chunk, passes in ((6, ("denoise",)), (7, ("moment", "recache", "ask", "denoise", "denoise"))):
            for one in passes:
                before = len(acted)
                act(ForwardPass(one, chunk))
                assert len(acted) == before or (chunk, one) == (7, kind)
        assert acted == [act.stream]


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize("memory", [MemoryConfig(), MemoryConfig(archive="keys", archive_rule="attention")])
def test_returns_go_on_from_one_state_and_differ_in_the_bank_alone(model, memory):
    (story,) = read_stories(LINES[0], chunks=4)
    with model.ready() as backbone:
        played = play_until_return(model, backbone, story, model.embed(story.prompts), memory, 3)
        play_return(model, backbone, played, "own")
        own = played.bank
        play_return(model, backbone, played, "swapped", own)
        play_return(model, backbone, played, "none")
    # its own bank, put into it, changes nothing
    assert torch.equal(played.returned["swapped"], played.returned["own"])
    assert not torch.equal(played.returned["none"], played.returned["own"])
    assert own.used == memory.bank_frames and played.met.shape == played.returned["own"].shape == (8, 64, 64, 3)


@pytest.mark.slow
def test_the_command_goes_on_where_it_stopped_and_mixes_no_settings(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"

    def run(*more: str) -> dict:
        fixed = ["--model", "tiny", "--prompts", str(TINY), "--embedder", "colours", "--json", str(out)]
        monkeypatch.setattr(sys, "argv", ["story_protocol", *fixed, "--chunks", "3", *more])
        main()
        return json.loads(out.read_text())

    first = run("--stories", "2")
    assert len(first["stories"]) == 2
    for one in first["stories"].values():
        assert set(one["banks"]) == {"own", "none", "swapped"} and {one["line"], one["donor"]} == {1, 2}
    again = run("--stories", "2")
    assert again == first and "1 of" not in capsys.readouterr().out
    # an odd one borrows the bank of the first, which is not measured again
    third = run("--stories", "3")
    assert {key: third["stories"][key] for key in first["stories"]} == first["stories"]
    assert [one["donor"] for one in third["stories"].values()] == [2, 1, 1]
    before = out.read_bytes()
    with pytest.raises(SystemExit, match="was measured with another seed: name another file"):
        run("--stories", "4", "--seed", "5")
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--embedder", "no.safetensors"], "there is no file no.safetensors"),
        (["--model", "base.pt"], "needs --text and --vae"),
        (["--memory", "{"], "--memory is no JSON"),
        (["--memory", '{"banks": 3}'], "--memory names banks, but settings are retrieval"),
        (["--memory", '{"retrieval": "none"}'], "banks are exchanged before a pass"),
        (["--chunks", "0"], "--chunks is 0"),
        (["--keys", "shots"], "no list of prompts by the key 'shots'"),
    ],
)
def test_faults_are_named_before_anything_is_loaded(more, words, tmp_path, monkeypatch):
    fixed = ["--model", "tiny", "--prompts", str(TINY), "--embedder", "colours", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["story_protocol", *fixed, *more])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert words in str(stopped.value)
    assert not list(tmp_path.iterdir())
