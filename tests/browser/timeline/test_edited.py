"""The story is edited by pointer and keyboard: what is done on the timeline stands in the text."""

from __future__ import annotations

import re

import pytest

from tests.browser.timeline_page import STARTS_S, STORY


def test_an_edge_is_dragged_to_another_chunk(timeline):
    timeline.drag(timeline.x_of(STARTS_S[1]), timeline.x_of(5.7))
    assert timeline.lines == STORY.replace("4s", "5.81s").split("\n")
    timeline.page.keyboard.down("Alt")
    timeline.drag(timeline.x_of(5.8125), timeline.x_of(5.2))
    timeline.page.keyboard.up("Alt")
    (free,) = re.findall(r"^([0-9.]+)s \[cut\]", timeline.text, re.M)
    assert float(free) == pytest.approx(5.2, abs=0.1)
    timeline.press("Control+z", "Control+z")
    assert timeline.text == STORY


def test_an_edge_stays_between_its_neighbours(timeline):
    timeline.drag(timeline.x_of(STARTS_S[1]), timeline.x_of(9.5))
    assert timeline.lines[2].startswith("7.31s [cut]")
    timeline.drag(timeline.x_of(7.3125), timeline.x_of(0))
    assert timeline.lines[2].startswith("0.56s [cut]")


def test_a_segment_is_dragged_to_another_place(timeline, tab):
    page, box = timeline.page, timeline.blocks.nth(2).bounding_box()
    y = box["y"] + box["height"] * 0.7
    page.mouse.move(timeline.x_of(8.7), y)
    page.mouse.down()
    page.mouse.move(timeline.x_of(5), y, steps=4)
    page.mouse.move(timeline.x_of(2), y, steps=4)
    assert timeline.text == STORY
    timeline.shot(f"drag_{tab[1].split()[0]}")
    page.mouse.up()
    assert timeline.prompts == ["the robot returns", "a robot walks", "an empty beach"]
    assert timeline.lines[0] == "# my story"


def test_a_drag_is_given_up_with_escape(timeline):
    page, box = timeline.page, timeline.blocks.first.bounding_box()
    page.mouse.move(timeline.x_of(STARTS_S[1]), box["y"] + 20)
    page.mouse.down()
    page.mouse.move(timeline.x_of(6), box["y"] + 20, steps=4)
    timeline.press("Escape")
    page.mouse.up()
    assert timeline.text == STORY


def test_a_prompt_is_written_in_place(timeline, tab):
    timeline.blocks.nth(1).dblclick(position={"x": 20, "y": 30})
    assert timeline.editor.input_value() == "an empty beach"
    timeline.editor.fill("a full beach")
    timeline.shot(f"editor_{tab[1].split()[0]}")
    timeline.press("Enter")
    assert timeline.text == STORY.replace("an empty", "a full")
    timeline.press("Enter")
    timeline.editor.fill("nothing")
    timeline.press("Escape")
    assert timeline.text == STORY.replace("an empty", "a full")
    timeline.press("Enter")
    timeline.editor.fill("kept")
    # elsewhere
    timeline.page.mouse.click(timeline.x_of(1), timeline.ruler_y())
    assert timeline.prompts[1] == "kept"


def test_a_prompt_is_split_at_the_cursor(timeline):
    timeline.page.mouse.click(timeline.x_of(2), timeline.ruler_y())
    assert timeline.message.inner_text() == "3 prompts in 9.56 s, cursor at 2.06 s"
    timeline.button("Split").click()
    assert timeline.lines[1:3] == ["0s: a robot walks", "2.06s [recache]: a robot walks"]


def test_the_buttons_do_what_they_say(timeline):
    timeline.blocks.nth(1).click()
    timeline.button("Duplicate").click()
    assert timeline.prompts == ["a robot walks", "an empty beach", "an empty beach", "the robot returns"]
    timeline.button("Delete the prompt").click()
    assert timeline.prompts == ["a robot walks", "an empty beach", "the robot returns"]
    timeline.button("Undo").click()
    timeline.button("Undo").click()
    assert timeline.text == STORY and timeline.button("Undo").is_disabled()
    timeline.button("Redo").click()
    assert len(timeline.prompts) == 4


def test_a_prompt_is_added_with_its_words(timeline):
    timeline.button("Add a prompt").click()
    assert timeline.text == STORY and timeline.blocks.count() == 4
    timeline.page.keyboard.type("night falls")
    timeline.press("Enter")
    # the story is longer now
    assert timeline.lines[4] == "9.56s: night falls" and timeline.length == 237
    timeline.press("Control+z")
    assert timeline.text == STORY and timeline.length == 153
    timeline.button("Add a prompt").click()
    timeline.press("Escape")
    assert timeline.text == STORY and timeline.blocks.count() == 3


def test_everything_is_done_by_keyboard(timeline):
    focused = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.tagName"
    timeline.press("ArrowRight")
    assert timeline.page.evaluate(focused).startswith("Prompt 2 of 3")
    timeline.press("Shift+ArrowRight")
    assert timeline.lines[2].startswith("5.06s [cut]")
    timeline.press("Shift+ArrowLeft", "Alt+Shift+ArrowRight")
    assert timeline.lines[2].startswith("4.38s [cut]")
    timeline.press("Alt+ArrowLeft")
    assert timeline.prompts[0] == "an empty beach" and timeline.page.evaluate(focused).startswith("Prompt 1 of 3")
    timeline.press("Control+z", "Control+z", "Control+z", "Control+z")
    assert timeline.text == STORY
    timeline.press("Control+y", "Control+Shift+z")
    assert timeline.lines[2].startswith("4.31s [cut]")
    timeline.press("End", "Delete")
    assert timeline.prompts == ["a robot walks", "an empty beach"]
    timeline.press("Home", "Control+ArrowRight", "Control+ArrowRight", "s")
    assert timeline.lines[2] == "1.31s [recache]: a robot walks"
    timeline.press("d", "F2")
    timeline.page.keyboard.type("copy")
    timeline.press("Enter")
    assert timeline.prompts == ["a robot walks", "a robot walks", "copy", "an empty beach"]
    assert timeline.page.evaluate("() => app.graph.nodes.length") == 2


def test_the_last_prompt_cannot_be_deleted(timeline):
    timeline.press("Delete", "Delete", "Delete")
    assert timeline.prompts == ["the robot returns"]
    assert timeline.message.inner_text() == "A story needs at least one prompt."


def test_zoom_and_scroll(timeline, tab):
    timeline.build("\n".join(f"{n * 12}s: scene {n + 1}" for n in range(50)), None)
    whole = timeline.blocks.nth(1).bounding_box()["width"]
    timeline.shot(f"long_{tab[1].split()[0]}")
    timeline.press("+", "+", "+", "+")
    assert timeline.blocks.nth(1).bounding_box()["width"] == pytest.approx(whole * 1.5**4, rel=0.02)
    timeline.press("End")
    stage, last = timeline.page.locator(".mft-stage").bounding_box(), timeline.blocks.last.bounding_box()
    assert stage["x"] <= last["x"] <= stage["x"] + stage["width"]
    scrolled = timeline.page.evaluate("() => document.querySelector('.mft-view').scrollLeft")
    timeline.shot(f"zoomed_{tab[1].split()[0]}")
    assert scrolled > 1000
    timeline.press("0")
    assert timeline.blocks.nth(1).bounding_box()["width"] == pytest.approx(whole, rel=0.02)


def test_the_wheel_zooms_what_has_the_focus(timeline):
    stage = timeline.page.locator(".mft-stage").bounding_box()
    scale, width = "() => app.canvas.ds.scale", "() => parseFloat(document.querySelector('.mft-track').style.width)"
    timeline.page.mouse.move(stage["x"] + 300, stage["y"] + 50)
    timeline.page.mouse.wheel(0, -100)
    timeline.page.wait_for_function("() => parseFloat(document.querySelector('.mft-track').style.width) > 100")
    assert timeline.page.evaluate(scale) == 1
    before = timeline.page.evaluate(width)
    timeline.page.evaluate("() => document.activeElement.blur()")
    timeline.page.mouse.wheel(0, -100)
    timeline.page.wait_for_function("() => app.canvas.ds.scale > 1")
    assert timeline.page.evaluate(width) == before and timeline.page.evaluate(scale) < 1.2


def test_the_end_of_the_story_is_dragged(timeline):
    handle = timeline.page.locator(".mft-handle")
    timeline.drag(timeline.x_of(9.5), timeline.x_of(5), timeline.ruler_y())
    assert timeline.length == 81 and timeline.text == STORY
    assert timeline.message.inner_text().startswith("3 prompts in 5.06 s; left out after the end")
    # past the end of the axis, too
    right = timeline.page.locator(".mft-track").bounding_box()
    timeline.drag(timeline.x_of(5.06), right["x"] + right["width"] + 60, timeline.ruler_y())
    assert timeline.length > 213
    assert "The story ends at" in handle.get_attribute("aria-label")
    long = timeline.length
    timeline.page.evaluate("() => document.querySelector('.mft-handle').focus()")
    timeline.press("ArrowLeft")
    assert timeline.length == long - 12
    timeline.setting("length", 0)
    timeline.page.wait_for_function("() => document.querySelector('.mft-handle').hidden")


def test_a_prompt_is_looked_at_closely(timeline):
    timeline.blocks.nth(1).click()
    timeline.press("z")
    view, block = timeline.page.locator(".mft-view").bounding_box(), timeline.blocks.nth(1).bounding_box()
    assert 0.7 < block["width"] / view["width"] <= 1
    assert block["x"] >= view["x"] - 1 and block["x"] + block["width"] <= view["x"] + view["width"] + 1
    timeline.button("Show the whole story").click()
    assert timeline.blocks.nth(1).bounding_box()["width"] < block["width"]
