"""Long measurements go on where they stopped, and the headline's table says what the rows say."""

from __future__ import annotations

import json

import pytest

from benchmarks.recall import Rows, headline, share_error, summary_of_returns, tales, with_twins

SETTINGS = {"stories": 4, "seed": 1}


def test_rows_are_measured_once(tmp_path):
    path, asked = tmp_path / "rows.json", []

    def measure(value: int):
        return lambda: asked.append(value) or {"value": value}

    first = Rows(path, SETTINGS, {"machine": "one"})
    assert first.take("a", measure(1)) == {"value": 1}
    again = Rows(path, SETTINGS, {"machine": "another"})
    assert again.take("a", measure(2)) == {"value": 1} and again.take("b", measure(3)) == {"value": 3}
    assert asked == [1, 3]
    assert json.loads(path.read_text())["rows"] == {"a": {"value": 1}, "b": {"value": 3}}
    assert list(tmp_path.iterdir()) == [path]


def test_a_measurement_that_fails_leaves_the_others(tmp_path):
    rows = Rows(tmp_path / "rows.json", SETTINGS)
    rows.take("a", lambda: {"value": 1})
    with pytest.raises(ZeroDivisionError):
        rows.take("b", lambda: {"value": 1 / 0})
    assert Rows(tmp_path / "rows.json", SETTINGS).rows == {"a": {"value": 1}}


@pytest.mark.parametrize(
    "text", ['{"settings": {"stories": 4, "seed": 2}, "rows": {}}', "{}", "[]", "no JSON", '{"rows": {}}', ""]
)
def test_a_file_of_something_else_is_refused_and_left(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"rows.json holds .*: give another file, or remove it"):
        Rows(path, SETTINGS)
    assert path.read_text() == text


def test_without_a_file_rows_are_kept_in_memory():
    rows = Rows(None, SETTINGS)
    rows.take("a", lambda: {"value": 1})
    assert rows.take("a", lambda: {"value": 2}) == {"value": 1}


def test_the_error_of_a_share_is_never_nothing():
    assert share_error(0.5, 98) == pytest.approx(0.05)
    for share in (0.0, 1.0):
        assert share_error(share, 20) == pytest.approx((21 * 1 / 22**2 / 22) ** 0.5)
    assert share_error(None, 0) is None


def test_two_of_a_kind_are_told_apart_by_a_word_alone():
    for tale in tales("named", 6, 3):
        segments = tale.story.segments
        one, other = segments[0].cast[0], segments[2].cast[0]
        assert one != other and one.split()[-1] == other.split()[-1], "two names of one kind"
        assert segments[0].scene == segments[2].scene and {one, other} <= {back.character for back in tale.returns}
        for back in tale.returns:
            assert back.character in segments[back.segment].prompt


@pytest.mark.parametrize("plan", ["trio", "placed", "named"])
def test_a_twin_is_the_same_story_with_no_part_of_a_look_in_common(plan):
    drawn = tales(plan, 6, 3)
    pairs = with_twins(drawn, 3)
    assert pairs[::2] == drawn and with_twins(drawn[:2], 3) == pairs[:4]
    for one, twin in zip(pairs[::2], pairs[1::2], strict=True):
        assert twin.returns == one.returns and twin.story.segments == one.story.segments
        assert twin.story.identities.keys() == one.story.identities.keys()
        assert len(set(twin.story.identities.values())) == len(twin.story.identities)
        for character, look in one.story.identities.items():
            assert all(a != b for a, b in zip(look, twin.story.identities[character], strict=True))


def record(right: bool, last: bool, present: bool = True, **more) -> dict:
    parts = dict.fromkeys(("body", "accessory", "pattern", "all"), right and present)
    base = {"turn": 1, "away": False, "last": last, "present": present, "scene": True, "mixed": False, "other": False}
    return {**base, "met": 1, **parts, **more}


def test_each_character_is_scored_apart_in_the_order_in_which_they_were_met():
    of_two = [record(True, False), record(False, False), record(True, True, met=2), record(True, True, met=2)]
    found = summary_of_returns(of_two)
    assert (found["met 1"], found["met 2"]) == (0.5, 1.0)


def test_the_table_tells_presence_identity_and_what_the_bank_caused():
    own = [record(True, False), record(False, False), record(False, False, present=False), record(True, True)]
    swapped = [record(False, True, donor=True), record(False, True, donor=False)]
    rows = {"prompt": summary_of_returns(own), "none": summary_of_returns(own[:2])}
    rows["swapped"] = summary_of_returns(swapped)
    assert rows["swapped"]["donor"] == 0.5
    lines = headline(rows).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| prompt", "| none"]
    cells = [cell.strip() for cell in lines[2].strip("| ").split("|")]
    assert cells[1].startswith("0.50 ± ") and cells[2].startswith("0.75 ± ") and cells[3].startswith("0.67 ± ")
    assert cells[-1].startswith("1.00 ± ") and lines[3].endswith("| - |")
