"""Takes of a story's prompts: listed, played, chosen, deleted, after a restart too."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from tests.nodes.graphs import GHOSTS, QUICK

LAST = 3  # the segment
CUT = "[cut]"


def with_seed(seed, text=GHOSTS, at=CUT):
    return text.replace(at, f"{at} [seed {seed}]")


@pytest.fixture
def ask(tiny, kept_folder, plan_body, tmp_path, monkeypatch):
    """ask(text, action, status, **values) -> the route's answer."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "temp"))

    def post(text=GHOSTS, status=200, more=None, **values):
        body = {**plan_body(text, **values), **(more or {})}
        code, answer = tiny.nodes.api.takes.answer(json.dumps(body).encode())
        assert code == status, answer
        return answer

    return post


def of_last(answer):
    return [take for take in answer["takes"] if take["segment"] == LAST]


def test_takes_are_listed_under_their_segment(ask, graph_film):
    assert ask() == {"takes": []}
    graph_film()
    graph_film(with_seed(3))
    graph_film(with_seed(2**64 - 1))
    takes = ask(with_seed(3))["takes"]
    assert [take["segment"] for take in takes] == [0, 1, 2, 3, 3, 3]
    assert [take["seed"] for take in takes] == ["7", "7", "7", "7", "3", str(2**64 - 1)]
    assert [take["chosen"] for take in takes] == [True, True, True, False, True, False]
    for take in takes:
        chunks = round((take["end_s"] - take["start_s"]) / 0.75)
        assert take["playable"] and take["bytes"] > 0 and 1 <= len(take["pictures"]) <= max(1, chunks)
    assert takes[LAST]["prompt"] == "a cat stands in the city"
    assert (takes[LAST]["start_s"], takes[LAST]["end_s"]) == (5.0625, 5.8125)


@pytest.mark.parametrize(
    "text",
    [
        GHOSTS.replace("a cat", "a robot"),
        GHOSTS.replace("a ghost", "a robot"),
        GHOSTS.replace(CUT, ""),
        GHOSTS.replace("[blend 2]", "[blend 2] [seed 1]"),
        GHOSTS.replace("4.5s", "3.8s"),
    ],
)
def test_takes_of_another_place_are_not_listed(ask, graph_film, text):
    graph_film()
    assert of_last(ask(text)) == []


def test_a_take_under_another_length_is_one_too(ask, graph_film):
    graph_film(with_seed(3), length=QUICK["length"] + 24)
    graph_film()
    takes = of_last(ask())
    assert [(take["seed"], take["end_s"]) for take in takes] == [("3", 7.3125), ("7", 5.8125)]


def test_a_chosen_take_is_not_rendered_again(ask, graph_film):
    longer = f"{GHOSTS}\n5.9s: an empty beach"
    graph_film(longer, length=117)
    graph_film(with_seed(3, longer), length=117)
    # back to the first one, then to the second with another end
    assert graph_film(longer, length=117)["rendered_from"]["chunk"] == 9
    other_end = with_seed(3, longer).replace("5.9s: an empty beach", "5.9s: a ghost waits on the beach")
    assert graph_film(other_end, length=117)["rendered_from"]["chunk"] == 9


def test_a_take_plays(ask, graph_film, tmp_path):
    graph_film()
    report = graph_film(with_seed(3))
    (first, other) = of_last(ask())
    film = ask(more={"action": "film", "take": other["id"]})
    assert film["type"] == "temp" and film["filename"].endswith(".mp4")
    path = tmp_path / "temp" / film["subfolder"] / film["filename"]
    assert np.array_equal(frames_of(path), frames_of(tmp_path / report["file"])[-12:])
    assert ask(more={"action": "film", "take": other["id"]}) == film
    again = ask(more={"action": "film", "take": first["id"]})
    assert again["filename"] != film["filename"]
    assert not np.array_equal(frames_of(tmp_path / "temp" / again["filename"]), frames_of(path))


def test_films_that_are_asked_for_at_once_do_not_disturb_one_another(ask, graph_film, tmp_path):
    graph_film()
    graph_film(with_seed(3))
    takes = of_last(ask()) * 3
    with ThreadPoolExecutor(6) as pool:
        films = list(pool.map(lambda take: ask(more={"action": "film", "take": take["id"]}), takes))
    assert len({film["filename"] for film in films}) == 2
    assert all(len(frames_of(tmp_path / "temp" / film["filename"])) == 12 for film in films)
    assert len(list((tmp_path / "temp").iterdir())) == 2


def test_a_long_take_is_of_several_parts(ask, graph_film, monkeypatch, tiny, tmp_path):
    import sys

    for name in [name for name in sys.modules if name.endswith("memflow_core.keep.beginning")]:
        monkeypatch.setattr(sys.modules[name], "PART_FRAMES", 9)
    text = "0s: a robot walks in the meadow"
    report = graph_film(text)
    (take,) = ask(text)["takes"]
    assert len(take["id"].split(".")) == 3 and (take["start_s"], take["end_s"]) == (0.0, 5.8125)
    assert 2 <= len(take["pictures"]) <= 6
    film = ask(text, more={"action": "film", "take": take["id"]})
    path = tmp_path / "temp" / film["subfolder"] / film["filename"]
    assert np.array_equal(frames_of(path), frames_of(tmp_path / report["file"]))


def test_a_take_of_another_format_shows_its_pictures_alone(ask, graph_film):
    graph_film()
    for values in ({"quality": "medium"}, {"format": "webm (vp9)"}, {"format": "another"}):
        (take,) = of_last(ask(**values))
        assert not take["playable"] and take["pictures"]
        answer = ask(status=404, more={"action": "film", "take": take["id"]}, **values)
        assert "format" in answer["error"]


def test_one_take_is_deleted(ask, graph_film):
    graph_film()
    graph_film(with_seed(3))
    (mine, other) = of_last(ask())
    answer = ask(more={"action": "delete", "take": other["id"]})
    assert answer["freed"] == other["bytes"] and [take["id"] for take in of_last(answer)] == [mine["id"]]
    assert ask(status=404, more={"action": "delete", "take": other["id"]})["error"]
    assert graph_film()["rendered_from"]["chunk"] == 7


def test_all_takes_but_the_chosen_ones_go_in_one_step(ask, graph_film, kept_folder):
    graph_film(seed=8)
    graph_film(GHOSTS.replace("a robot", "a cat"))
    graph_film(with_seed(3))
    graph_film()
    before = sum(file.stat().st_size for file in kept_folder.iterdir())
    answer = ask(with_seed(3), more={"action": "delete"})
    after = sum(file.stat().st_size for file in kept_folder.iterdir())
    assert answer["freed"] == before - after > 0
    assert [take["seed"] for take in answer["takes"]] == ["7", "7", "7", "3"]
    assert [take["seed"] for take in ask(seed=8)["takes"]] == ["7"]
    # and what is left is whole
    assert graph_film(with_seed(3))["rendered_from"]["chunk"] == 7


def test_a_whole_story_is_deleted_and_others_stay(ask, graph_film, kept_folder):
    graph_film(shift=3.0)
    other = ask(shift=3.0)
    graph_film()
    graph_film(GHOSTS.replace("a robot", "a cat"))
    assert ask(more={"action": "delete story"})["freed"] > 0
    assert ask()["takes"] == [] == ask(GHOSTS.replace("a robot", "a cat"))["takes"]
    assert ask(shift=3.0) == other != {"takes": []}
    ask(shift=3.0, more={"action": "delete story"})
    assert not kept_folder.exists()


def test_damaged_labels_and_lost_parts_are_not_listed(ask, graph_film, kept_folder):
    graph_film()
    graph_film(with_seed(3))
    labels = sorted(kept_folder.glob("label_*"), key=lambda path: path.stat().st_mtime)
    labels[-1].write_bytes(b"{}")
    assert [take["seed"] for take in of_last(ask())] == ["7"]
    for path in kept_folder.glob("latents_*"):
        path.unlink()
    assert ask()["takes"] == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"action": "eat"}, 400),
        ({"action": 5}, 400),
        ({"action": "film"}, 400),
        ({"action": "film", "take": 5}, 400),
        ({"action": "delete", "take": ["x"]}, 400),
        ({"other": 1}, 400),
        ({"graph": None}, 400),
        ({"action": "film", "take": "../../x"}, 404),
        ({"action": "delete", "take": ""}, 404),
        ({"action": "film", "take": f"{'a' * 32}-0"}, 404),
        ({"graph": {}}, 200),
        ({"schedule": "2s: late"}, 200),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(ask, graph_film, kept_folder, more, status):
    graph_film(length=21)
    before = sorted(kept_folder.iterdir())
    answer = ask(status=status, more=more, length=21)
    assert set(answer) == {"error"} and answer["error"].endswith(".")
    assert sorted(kept_folder.iterdir()) == before


def test_a_run_that_is_taken_up_shows_its_beginning_too(tiny, graph_film, monkeypatch):
    sent = []
    graph_film()
    monkeypatch.setattr(tiny.nodes.host.Page, "send", lambda self, event, data: sent.append((event, data)))
    graph_film(with_seed(3))
    chunks = [data for event, data in sent if event == "memflow.chunk"]
    assert [data["chunk"] for data in chunks] == list(range(8))
    assert [data.get("kept", False) for data in chunks] == [True] * 7 + [False]
    assert all(data["thumbnail"].startswith("data:image/jpeg") for data in chunks)
    sent.clear()
    graph_film(with_seed(3), keep_moments_gb=0.0)
    fresh = [data for event, data in sent if event == "memflow.chunk"]
    assert [data["memory"] for data in chunks] == [data["memory"] for data in fresh]
    assert [data["thumbnail"] for data in chunks] == [data["thumbnail"] for data in fresh]
    assert [data["prompt"] for data in chunks] == [data["prompt"] for data in fresh]


def frames_of(path: Path) -> np.ndarray:
    with av.open(path) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
