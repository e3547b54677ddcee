"""Kept moments in a browser: plan and timeline before a run, takes chosen and tried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.test_memory_view import BUILD, SET, VALUE

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORY = "0s: a robot walks in the meadow\n1s: an empty beach\n2.8s: a cat stands in the city"
CHANGED = STORY.replace("a cat stands", "a cat waves")
# two chunks for each prompt
VALUES = {"width": 64, "height": 64, "steps": "1000", "length": 69, "keep_moments_gb": 1.0}
FIXED = {"control_after_generate": "fixed"}
LISTEN = """() => {
    window.chunks = [];
    window.ended = 0;
    app.api.addEventListener("memflow.chunk", ({detail}) => window.chunks.push([detail.chunk, Boolean(detail.kept)]));
    app.api.addEventListener("execution_success", () => window.ended++);
}"""
QUEUE = "() => { window.chunks = []; window.ended = 0; app.queuePrompt(0, 1); }"
BARS = """() => ["mft-kept-part", "mft-new-part"].map(name => {
    const bar = document.querySelector(`.${name}`);
    return bar && [parseFloat(bar.style.left), parseFloat(bar.style.width)];
})"""
SHOWS = "([place, words]) => document.querySelector(place)?.innerText.includes(words)"
PLAYING = "count => [...document.querySelectorAll('.mtk-stage video')].filter(v => v.readyState > 1).length === count"
PICTURES = "() => document.querySelectorAll('.mft-thumbnail').length"


class Story:
    """A story of three prompts on a page, and its takes."""

    def __init__(self, page) -> None:
        self.page = page
        self.panel = page.locator(".memflow-takes")
        self.cards = page.locator(".mtk-card")

    def build(self, seed: int) -> None:
        self.page.evaluate(LISTEN)
        self.page.evaluate(BUILD, [STORY, False])
        self.set("stream", seed=seed, **VALUES, **FIXED)
        # the timeline's fields clear of the page's own bars, and no node over its buttons
        self.page.evaluate(
            """() => {
                app.graph.getNodeById(window.ids.stream).pos = [620, 60];
                app.canvas.ds.offset = [140, -180];
                app.canvas.setDirty(true, true);
            }"""
        )
        self.page.evaluate("() => { app.canvas.emitBeforeChange(); app.canvas.emitAfterChange(); }")

    def set(self, node: str, **values) -> None:
        self.page.evaluate(SET, [node, values])

    def write(self, text: str) -> None:
        """Change the text as a user who types it does: timeline and plan follow."""
        self.set("schedule", prompts=text)
        self.page.evaluate(
            """() => {
                app.graph.getNodeById(window.ids.schedule).widgets.find(w => w.name === "timeline").timeline.refresh();
                app.canvas.emitBeforeChange();
                app.canvas.emitAfterChange();
            }"""
        )

    @property
    def text(self) -> str:
        return self.page.evaluate(VALUE, ["schedule", "prompts"])

    def run(self) -> list[int]:
        """Queue; returns the chunks that were made, without those of an earlier run."""
        self.page.evaluate(QUEUE)
        return self.made(1)

    def made(self, runs: int) -> list[int]:
        self.page.wait_for_function("runs => window.ended >= runs", arg=runs, timeout=300_000)
        return [chunk for chunk, kept in self.page.evaluate("() => window.chunks") if not kept]

    def shows(self, place: str, words: str) -> None:
        self.page.wait_for_function(SHOWS, arg=[place, words], timeout=60_000)

    def open_takes(self, prompt: int) -> None:
        self.page.evaluate(
            """index => {
                const {timeline} = app.graph.getNodeById(window.ids.schedule).widgets.find(w => w.name === "timeline");
                timeline.setFocus(index);
            }""",
            prompt,
        )
        self.page.get_by_role("button", name="Takes of this prompt").click()
        self.panel.wait_for()

    def press(self, label: str) -> None:
        self.panel.get_by_role("button", name=label, exact=True).first.click()

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"takes_{name}.png")


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def story(page, request):
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    enable = "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)"
    page.evaluate(enable, request.param == "Vue nodes")
    made = Story(page)
    made.kind = request.param.split()[0].lower()
    yield made
    page.evaluate(enable, False)
    assert errors == []


def test_a_late_prompt_is_changed_and_its_takes_are_chosen(story, page):
    story.build(seed=2501 if story.kind == "vue" else 2502)
    story.shows(".memflow-plan", "4.31 s")
    assert page.evaluate(BARS) == [None, None]
    assert story.run() == [0, 1, 2, 3, 4, 5]

    # seen before the run
    story.write(CHANGED)
    story.shows(".memflow-plan", "renders 1.5 s of 4.31 s")
    story.shows(".mft-message", "renders 1.5 s of 4.31 s")
    (kept, fresh) = page.evaluate(BARS)
    assert kept[0] == 0 and fresh[0] == pytest.approx(kept[1], abs=0.01) and kept[1] > fresh[1] > 0
    story.shot(f"{story.kind}_plan")

    # and so it is; the film strip has the chunks that were kept too
    assert story.run() == [4, 5]
    page.wait_for_function("() => document.querySelectorAll('.mft-thumbnail').length > 0")
    assert [chunk for chunk, _ in page.evaluate("() => window.chunks")] == [0, 1, 2, 3, 4, 5]

    # another take of the last prompt, beside the first
    story.open_takes(2)
    story.cards.first.wait_for()
    assert story.cards.count() == 1 and "In the schedule" in story.cards.first.inner_text()
    before = story.text
    story.press("Another take")
    story.shows(".mtk-status", "press Run")
    assert story.text != before and "[seed " in story.text.splitlines()[2]
    assert story.run() == [4, 5]
    page.wait_for_function("() => document.querySelectorAll('.mtk-card').length === 2")
    assert story.cards.nth(1).get_attribute("class") == "mtk-card mtk-chosen"
    pictures = page.eval_on_selector_all(".mtk-card img", "all => all.map(image => image.src)")
    assert len(pictures) == 2 and all(source.startswith("data:image/jpeg") for source in pictures)
    story.press("Play all")
    page.wait_for_function(PLAYING, arg=2, timeout=60_000)
    story.shot(f"{story.kind}_takes")

    # back to the first one, of which nothing is rendered but what no moment lies behind
    story.press("Use this take")
    page.wait_for_function("() => document.querySelector('.mtk-card').classList.contains('mtk-chosen')")
    first = story.cards.first.get_attribute("data-seed")
    assert f"[seed {first}]" in story.text
    story.press("Delete other takes")
    page.wait_for_function("() => document.querySelectorAll('.mtk-card').length === 1")
    assert story.cards.first.get_attribute("data-seed") == first
    page.keyboard.press("Escape")
    assert story.panel.count() == 0


def test_seeds_are_tried_out_and_one_goes_on(story, page):
    story.build(seed=2503 if story.kind == "vue" else 2504)
    story.run()
    story.open_takes(1)
    page.locator(".mtk-try input").first.fill("2")
    page.locator(".mtk-try input").last.fill("0.75")
    page.evaluate("() => { window.chunks = []; window.ended = 0; }")
    story.press("Try seeds")
    story.shows(".mtk-status", "Queued 2 runs of 0.75 s")
    # each goes on from the same moment, and ends after a chunk
    assert story.made(2) == [2, 2]
    page.wait_for_function("() => document.querySelectorAll('.mtk-card').length === 3")
    seeds = page.eval_on_selector_all(".mtk-card", "all => all.map(card => card.dataset.seed)")
    assert len(set(seeds)) == 3
    story.cards.nth(2).get_by_role("button", name="Use this take").click()
    page.wait_for_function("() => document.querySelectorAll('.mtk-card')[2].classList.contains('mtk-chosen')")
    assert f"[seed {seeds[2]}]" in story.text.splitlines()[1]
    story.shot(f"{story.kind}_tried")
    assert story.run() == [2, 3, 4, 5]


def test_takes_say_why_there_are_none(story, page):
    story.build(seed=2505)
    # the first prompt has those of the stories before: nothing but its seed is before it
    story.open_takes(2)
    story.shows(".memflow-takes", "No run has kept a take of this prompt yet.")
    story.press("Play all")
    story.shows(".mtk-status", "None of these takes can be played.")
    story.set("stream", keep_moments_gb=0.0)
    story.press("Delete other takes")
    story.shows(".mtk-bad", "what is kept of this story is not known")
