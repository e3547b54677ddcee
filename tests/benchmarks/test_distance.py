"""Stories for recall against distance and number of others are what they say, and their plot shows the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.recall import Curve, curves, distant, line_plot, measured
from training.cartoons import kind_of


@pytest.mark.parametrize("away", [11, 30, 60])
@pytest.mark.parametrize("others", [1, 2, 3, 4, 6])
def test_the_hero_is_away_as_long_and_so_many_others_are_seen(away, others):
    drawn = distant(away, others, 3, 6, 4)
    starts = [[segment.start_chunk for segment in tale.story.segments] for tale in drawn]
    assert starts.count(starts[0]) == 6
    for tale in drawn:
        opening, met = tale.story.segments[:2]
        first = tale.story.segments[tale.returns[0].segment]
        between = tale.story.segments[2 : tale.returns[0].segment]
        assert opening.cast != met.cast and opening.end_chunk == 5
        assert first.start_chunk - met.end_chunk == away
        seen = {segment.cast[0] for segment in between}
        assert len(seen) == others and len(tale.story.identities) == others + 1
        assert kind_of(met.cast[0]) not in {kind_of(character) for character in seen}
        assert [back.turn for back in tale.returns] == [1, 2, 3]
        assert all(tale.story.segments[back.segment].cast == met.cast for back in tale.returns)
    assert distant(away, others, 3, 2, 4) == drawn[:2]


@pytest.mark.parametrize(("away", "others"), [(11, 0), (11, 7), (3, 4)])
def test_what_has_no_room_is_refused(away, others):
    with pytest.raises(ValueError, match=f"{others} others within {away} chunks"):
        distant(away, others, 1, 1, 0)


def test_a_plot_has_a_dot_where_the_number_is():
    rows = [
        {"policy": name, "others": 2, "away": away, "whole": whole, "whole_error": 0.05}
        for name, away, whole in (("a", 30, 0.5), ("a", 11, 1.0), ("b", 11, 0.0), ("b", 30, 0.0))
    ]
    one, other = curves(rows, "away")
    assert one == Curve("a, 2 others", ((11, 1.0, 0.05), (30, 0.5, 0.05))) and other.points[0][1] == 0.0
    picture = np.asarray(line_plot([one, other], "chunks away", "whole looks")).astype(int)
    blue = np.abs(picture - (0, 114, 178)).sum(-1) < 30
    rows_of_left = np.nonzero(blue[:, 50:62].any(axis=1))[0]
    rows_of_right = np.nonzero(blue[:, 504:516].any(axis=1))[0]
    assert rows_of_left.min() < 45 and 190 < rows_of_right.mean() < 225


def test_how_returns_elsewhere_went_is_not_taken_for_the_distance(monkeypatch):
    seen = {
        "turn": 1,
        "met": 1,
        "away": True,
        "last": True,
        "present": True,
        "scene": True,
        "mixed": False,
        "other": False,
    }
    seen |= dict.fromkeys(("body", "accessory", "pattern", "all"), True)
    monkeypatch.setattr(
        "benchmarks.recall.far.measure_returns", lambda *_: [seen, {**seen, "away": False, "all": False}]
    )
    row = measured(None, "prompt", distant(30, 2, 1, 2, 0), 0)
    assert row["elsewhere"] == 1.0 and row["whole"] == 0.5 and not {"away", "others"} & row.keys()


def test_a_plot_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs points"):
        line_plot([], "x", "y")
