"""What the timeline of MemFlow Prompt Schedule shows: the story as it will be played, and a run as it goes."""

from __future__ import annotations

import pytest

from tests.browser.timeline_page import STARTS_S, STORY, chunk, emit, near, spans


def test_segments_stand_where_they_will_really_switch(timeline, tab):
    boxes = [timeline.blocks.nth(n).bounding_box() for n in range(3)]
    for box, start in zip(boxes, STARTS_S, strict=True):
        assert box["x"] == pytest.approx(timeline.x_of(start), abs=2)
    assert boxes[1]["x"] + boxes[1]["width"] == pytest.approx(boxes[2]["x"], abs=2)
    assert timeline.blocks.nth(1).get_attribute("aria-label") == "Prompt 2 of 3, 4.31 s to 8.06 s, cut, an empty beach"
    assert "asked for at 4 s" in timeline.blocks.nth(1).get_attribute("title")
    timeline.shot(f"shown_{tab[1].split()[0]}")


def test_it_has_the_colours_of_the_theme(timeline, tab):
    palette = "name => app.extensionManager.setting.set('Comfy.ColorPalette', name)"
    colour = "() => getComputedStyle(document.querySelector('.mft')).color"
    dark = timeline.page.evaluate(colour)
    timeline.page.evaluate(palette, "light")
    timeline.page.wait_for_function("was => getComputedStyle(document.querySelector('.mft')).color !== was", arg=dark)
    assert timeline.page.evaluate(colour) == "rgb(34, 34, 34)"
    timeline.shot(f"light_{tab[1].split()[0]}")
    timeline.page.evaluate(palette, "dark")
    timeline.page.wait_for_function("is => getComputedStyle(document.querySelector('.mft')).color === is", arg=dark)


def test_what_is_written_in_the_text_box_is_shown(timeline, tab):
    box = timeline.page.locator("textarea:not(.mft-editor)").first
    box.fill("0s: one\n2s [soft] [seed 5]: two")
    assert timeline.blocks.all_inner_texts() == ["one", "soft\nseed 5\ntwo"]
    assert timeline.text == "0s: one\n2s [soft] [seed 5]: two"


def test_a_text_that_is_no_schedule_is_told_in_a_sentence_and_left_alone(timeline, tab):
    bad = "0s: one\n4x: two"
    timeline.write(bad)
    notice = timeline.page.locator(".mft-notice")
    notice.wait_for()
    assert notice.inner_text().startswith("line 2: '4x' looks like a time")
    timeline.shot(f"bad_{tab[1].split()[0]}")
    timeline.page.evaluate("() => document.querySelector('.mft-lane').focus()")
    assert timeline.button("Add a prompt").is_disabled()
    assert timeline.text == bad
    timeline.write(STORY)
    notice.wait_for(state="hidden")
    assert timeline.blocks.count() == 3


def test_a_faulty_line_is_marked_in_its_place_and_the_rest_is_drawn(timeline, tab):
    timeline.write("0s: a robot walks\n4s [cut: an empty beach\n8s: the robot returns")
    mark = timeline.page.locator(".mft-bad-line")
    mark.wait_for()
    assert mark.inner_text() == "line 2" and "no colon" in mark.get_attribute("title")
    assert timeline.blocks.all_inner_texts() == ["a robot walks", "the robot returns"]
    assert spans(timeline, ".mft-bad-line")[0][0] == pytest.approx(4, abs=0.2)
    assert timeline.page.locator(".mft-unread").count() == 0
    timeline.page.locator(".mft-notice").wait_for()
    timeline.shot(f"part_{tab[1].split()[0]}")
    timeline.write(STORY)
    mark.wait_for(state="detached")
    assert timeline.blocks.count() == 3


def test_what_cannot_be_played_is_said(timeline):
    timeline.write("0s: a\n20s: b")
    assert timeline.message.inner_text().endswith("; left out after the end: prompts 1, pins 0")
    timeline.write("pin hero: 6s\n0s: a\n5s [hero]: b")
    assert timeline.message.inner_text() == "Prompt 2 asks for [hero], a moment that is not made by then."


def test_the_axis_follows_the_sampler(timeline):
    assert timeline.message.inner_text() == "3 prompts in 9.56 s"
    timeline.build(STORY, 321)
    assert timeline.message.inner_text() == "3 prompts in 20.06 s"
    timeline.build(STORY, None)
    assert timeline.message.inner_text() == "3 prompts in 13.31 s"
    timeline.build("length: 1:00\n0s: a", None)
    assert timeline.message.inner_text() == "1 prompt in 1:00.56"


def test_a_run_is_shown_chunk_by_chunk(timeline, tab):
    for index in range(5):
        chunk(timeline, index)
    ((start, end),) = spans(timeline, ".mft-done")
    assert [start, end] == near(0, 3.5625)
    ((start, end),) = spans(timeline, ".mft-making")
    assert [start, end] == near(3.5625, 4.3125)
    assert timeline.page.locator(".mft-thumbnail").count() >= 2
    timeline.shot(f"run_{tab[1].split()[0]}")
    emit(timeline, "memflow.done", prompt_id="p1")
    assert timeline.page.locator(".mft-making").count() == 0 and timeline.page.locator(".mft-done").count() == 1
    timeline.page.evaluate("() => app.api.dispatchEvent(new CustomEvent('executing', {detail: window.sampler}))")
    assert timeline.page.locator(".mft-done").count() == 0 and timeline.page.locator(".mft-making").count() == 1
    chunk(timeline, 0, "p2", None)
    ((start, end),) = spans(timeline, ".mft-done")
    assert [start, end] == near(0, 0.5625)
    assert timeline.page.locator(".mft-thumbnail").count() == 0


def test_another_samplers_run_is_not_shown(timeline):
    emit(timeline, "memflow.chunk", node="9999", chunk=0, chunks=2, start_s=0, end_s=1, thumbnail=None)
    assert timeline.page.locator(".mft-done").count() == 0


def test_a_thumbnail_is_a_picture_and_nothing_else(timeline):
    chunk(timeline, 0, thumbnail="https://example.com/a.jpg")
    assert timeline.page.locator(".mft-done").count() == 1 and timeline.page.locator(".mft-thumbnail").count() == 0
