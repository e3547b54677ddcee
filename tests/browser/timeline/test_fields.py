"""The row of fields below the timeline."""

from __future__ import annotations

import pytest

from tests.browser.timeline_page import STORY, WIDGET


def test_switch_seed_and_start_are_set_in_the_row_below(timeline, tab):
    timeline.write("pin hero: 2s\npin dog: 3s\n" + STORY)
    field = timeline.root.get_by_label
    last = lambda: timeline.lines[-1]  # noqa: E731
    timeline.blocks.nth(2).click()
    field("switch").select_option("blend")
    assert last() == "8s [blend]: the robot returns"
    field("over").fill("6")
    field("curve").select_option("spherical")
    assert last() == "8s [blend 6 spherical]: the robot returns"
    field("over").fill("1.5s")
    field("seed").fill("18446744073709551615")
    timeline.press("Tab")
    assert last() == "8s [blend 1.5s spherical] [seed 18446744073709551615]: the robot returns"
    field("start", exact=True).fill("0:07")
    timeline.press("Enter")
    assert last().startswith("0:07 [blend 1.5s spherical]")
    field("pins").fill("hero, dog")
    # what is written in a field belongs to the segment that it was written for
    timeline.blocks.first.click()
    assert last().endswith("[hero] [dog]: the robot returns") and timeline.lines[3] == "0s: a robot walks"
    timeline.blocks.nth(2).click()
    timeline.shot(f"fields_{tab[1].split()[0]}")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", "-5", "is no seed"),
        ("seed", "18446744073709551616", "is no seed"),
        ("start", "soon", "is no time"),
        ("start", "1s", "no later than"),
        ("start", "4.1s", "both start with the chunk"),
        ("pins", "a!", "cannot be a pin's name"),
        ("pins", "cut", "cannot be a pin's name"),
        ("pins", "nobody", "There is no pin named nobody"),
    ],
)
def test_a_field_that_makes_no_sense_changes_nothing(timeline, field, value, message):
    timeline.blocks.nth(2).click()
    timeline.root.get_by_label(field, exact=True).fill(value)
    timeline.press("Tab")
    assert message in timeline.message.inner_text()
    assert timeline.text == STORY


def test_the_global_prompt_is_that_of_the_text_or_of_the_node(timeline):
    field = timeline.root.get_by_label("Global")
    field.fill("watercolour")
    timeline.press("Enter")
    assert timeline.page.evaluate(WIDGET, ["global_prompt", None]) == "watercolour" and timeline.text == STORY
    timeline.write("", "global_prompt")
    timeline.write("global: oil\n" + STORY)
    assert field.input_value() == "oil"
    field.fill("ink")
    timeline.press("Enter")
    assert timeline.text == "global: ink\n" + STORY


def test_pins_are_set_named_and_taken_away(timeline):
    timeline.page.mouse.click(timeline.x_of(2), timeline.ruler_y())
    timeline.button("Pin the moment").click()
    timeline.page.keyboard.type("hero")
    timeline.press("Enter")
    assert timeline.lines[0] == "pin hero: 2.06s"
    pin = timeline.page.get_by_role("button", name="Pin hero at 2.06 s")
    assert pin.bounding_box()["x"] == pytest.approx(timeline.x_of(2.0625), abs=8)
    timeline.page.mouse.click(timeline.x_of(5), timeline.ruler_y())
    timeline.press("p")
    timeline.page.keyboard.type("hero")
    timeline.press("Enter")
    assert "Pin hero is set twice" in timeline.message.inner_text()
    pin.focus()
    timeline.press("Delete")
    assert timeline.text == STORY
