"""The memory view of a long story, by events: what is shown already stays in its place, and it is the run's own."""

from __future__ import annotations

import pytest

from tests.browser.test_both_front_ends import VUE
from tests.browser.test_memory_view import CHUNK, EMIT, Story

# a remembered frame, as an event tells of it, and more chunks than have rows
MOMENT = {"time_s": 0, "frame": 0, "chunk": 0, "score": None, "layers": 1, "pinned": False, "name": None}
MOST_ROWS, MANY = 200, 208
MARK_SHOWN = "() => document.querySelectorAll('.mm-row, .mm-shelf-moments > *').forEach(e => { e.wasShown = true; })"
MADE_ANEW = "kind => [...document.querySelectorAll(kind)].flatMap((e, place) => e.wasShown ? [] : [place])"


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def story(page, request):
    page.evaluate(VUE, request.param == "Vue nodes")
    made = Story(page)
    made.build()
    yield made
    page.evaluate(VUE, False)


def test_a_long_story_leaves_what_is_shown_in_its_place(story):
    """A page that makes all anew for each chunk is too slow to be clicked, hours into a story."""
    moments = [{**MOMENT, "frame": 12 * number, "chunk": number, "time_s": 0.75 * number} for number in range(MANY)]
    memories = [{**CHUNK["memory"], "bank": moments[:1], "recorded": [moment]} for moment in moments]
    memories[1]["archive"] = {"rule": "words", "moments": 1, "recalled": [], "best": moments[:1]}
    every = {**CHUNK, "prompt_id": "long", "prompt": "a"}
    chunks = [{**every, "chunk": number, "memory": memory} for number, memory in enumerate(memories)]
    story.page.evaluate(EMIT, ["memflow.chunk", chunks[:-1]])
    story.page.locator(".mm-head").click()
    story.page.evaluate(MARK_SHOWN)
    story.emit("memflow.chunk", **chunks[-1])
    # the oldest row goes, and the next one says what the prompt is
    assert story.rows.count() == MOST_ROWS
    assert story.page.locator(".mm-more").inner_text() == f"{MANY - MOST_ROWS} earlier chunks are in the report"
    assert story.page.locator(".mm-prompt").count() == 1 and story.rows.first.locator(".mm-prompt").count() == 1
    assert story.page.evaluate(MADE_ANEW, ".mm-row") == [0, MOST_ROWS - 1]
    assert story.page.evaluate(MADE_ANEW, ".mm-shelf-moments > *") == [MANY - 1]
    assert f"Archive: {MANY} moments" in story.page.locator(".mm-shelf-line").inner_text()


def test_the_archive_shows_the_pictures_of_the_run_that_is_told_of(story):
    story.page.locator(".mm-head").click()
    archive = {"rule": "words", "moments": 1, "recalled": [], "best": [MOMENT]}
    memory = {**CHUNK["memory"], "recorded": [MOMENT], "archive": archive}
    # two seeds of a story differ in their pictures alone
    for run in ("one", "two"):
        picture = f"data:image/gif;base64,{run}="
        story.emit("memflow.chunk", **{**CHUNK, "prompt_id": run, "memory": memory, "thumbnail": picture})
        shelf = story.page.locator(".mm-shelf-moments img")
        assert shelf.evaluate_all("images => images.map(image => image.src)") == [picture]
