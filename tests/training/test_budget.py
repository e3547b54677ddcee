"""A training run with a time limit ends in time, with its schedule behind it."""

from __future__ import annotations

import pytest

from training.generator import StepBudget


@pytest.mark.parametrize("roll_out", [1.5, 2.2, 4.0])
@pytest.mark.parametrize("own", [0.0, 0.35, 0.5])
@pytest.mark.parametrize("done", [0, 300])
def test_all_of_the_time_is_used_and_no_more(own, roll_out, done):
    """Though the first step is slow, and nobody knows beforehand how long roll-outs take."""
    now = 0.0
    budget, steps, step, on_own = StepBudget(600.0, own, clock=lambda: now), 40_000, done, 0
    while step < steps:
        rolls = step >= (1 - own) * steps
        now += (40.0 if step == done else 0.5) * (roll_out if rolls else 1.0)
        on_own += rolls
        step += 1
        budget.tick(rolls)
        steps = budget.steps(step) or steps
    assert 590 <= now <= 600 + 0.5 * roll_out
    # where roll-outs took longer than thought, the shares move a little
    assert on_own / (step - done) == pytest.approx(own, abs=0.17) or done


def test_what_is_over_is_over():
    now = 0.0
    budget = StepBudget(10.0, 0.35, clock=lambda: now)
    for _ in range(5):
        now += 4.0
        budget.tick(False)
    assert budget.steps(5) == 5
