"""The memory view on the sampling nodes in a real browser, LiteGraph and Vue nodes: a run seen, pinned and directed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.until import with_until

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORY = "# my story\n0s: a robot walks in the meadow\n1s: an empty beach\n3s: the robot returns to the meadow"

BUILD = with_until("""async ([text, clip]) => {
    app.graph.clear();
    await until(() => !document.querySelector(".memflow-memory"));
    const add = (type, x, y) => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [x, y];
        return node;
    };
    const tiny = add("MemFlowTinyStory", 20, 60);
    const schedule = add("MemFlowPromptSchedule", 20, 220);
    const memory = add("MemFlowMemory", 20, 620);
    const stream = add("MemFlowStreamToVideo", 480, 60);
    stream.setSize([460, stream.size[1]]);
    const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex(i => i.name === name));
    link(tiny, 1, schedule, "clip");
    link(tiny, 0, stream, "model");
    link(tiny, 2, stream, "vae");
    link(schedule, 0, stream, "schedule");
    link(memory, 0, stream, "memory");
    if (clip) link(tiny, 1, stream, "clip");
    schedule.widgets.find(w => w.name === "prompts").value = text;
    window.ids = {schedule: schedule.id, stream: stream.id};
    await app.extensionManager.command.execute("Comfy.Canvas.ResetView");
    app.canvas.ds.scale = 1;
    // the panels are at the foot of a tall node
    app.canvas.ds.offset = [0, -220];
    app.canvas.setDirty(true, true);
    await until(() => document.querySelector(".memflow-memory"));
}""")
SET = """([node, values]) => {
    const widgets = app.graph.getNodeById(window.ids[node]).widgets;
    for (const [name, value] of Object.entries(values)) widgets.find(w => w.name === name).value = value;
}"""
VALUE = "([node, name]) => String(app.graph.getNodeById(window.ids[node]).widgets.find(w => w.name === name).value)"
HEIGHT = "() => app.graph.getNodeById(window.ids.stream).size[1]"
VIDEO = """() => {
    const video = document.querySelector("video");
    return video?.src.includes("_.mp4") && video.readyState > 0 ? [video.currentTime, video.duration] : null;
}"""
# of the words of shares, from the left: whose are whole; "cut" for what is seen in part
WHOLE = """line => {
    const box = line.getBoundingClientRect();
    const keys = [...line.children].map(key => [key, key.getBoundingClientRect()]);
    const seen = keys.filter(([, at]) => at.top < box.bottom - 1).sort(([, one], [, two]) => one.left - two.left);
    const whole = (key, at) => at.right <= box.right + 1 && key.scrollWidth <= key.clientWidth;
    return seen.map(([key, at]) => whole(key, at) ? key.classList[1] : "cut");
}"""
WIDTH = """width => {
    const stream = app.graph.getNodeById(window.ids.stream);
    stream.setSize([width || LiteGraph.createNode(stream.type).size[0], stream.size[1]]);
    app.canvas.setDirty(true, true);
}"""
EMIT = """([name, details]) => {
    const node = String(window.ids.stream);
    for (const detail of details) app.api.dispatchEvent(new CustomEvent(name, {detail: {node, ...detail}}));
}"""
# a chunk of a run, as an event tells of it
CHUNK = {
    "chunk": 0, "chunks": 13, "start_s": 0, "end_s": 0.75, "prompt": "a robot", "thumbnail": None,
    "memory": {"bank": [], "dropped": [], "recorded": [], "share": None},
}  # fmt: skip
EIGHT_ROWS = "() => document.querySelectorAll('.mm-row').length === 8"
SMALL = {"width": 64, "height": 64, "steps": "1000"}
LONG = 12 * 1000 - 3


class Story:
    """One sampling node on a page, and its memory view."""

    def __init__(self, page) -> None:
        self.page = page
        self.root = page.locator(".memflow-memory")
        self.line = page.locator(".mm-line")
        self.rows = page.locator(".mm-row")
        self.moments = page.locator(".mm-rows .mm-moment")
        self.menu = page.locator(".memflow-menu")
        self.live = page.locator(".mm-live:not(.mm-idle)")
        self.next = page.locator(".mm-next")
        self.message = page.locator(".mm-said")

    def build(self, text: str = STORY, clip: bool = True) -> None:
        self.page.evaluate(BUILD, [text, clip])
        self.root.wait_for()

    def set(self, node: str, **values) -> None:
        self.page.evaluate(SET, [node, values])

    def value(self, node: str, name: str) -> str:
        return self.page.evaluate(VALUE, [node, name])

    def queue(self, seed: int, length: int = 153, **values) -> None:
        self.set("stream", seed=seed, length=length, **SMALL, **values)
        self.page.evaluate("() => { app.queuePrompt(0, 1); }")

    def emit(self, name: str, **detail) -> None:
        """Let the page hear an event of a run in the sampling node."""
        self.page.evaluate(EMIT, [name, [detail]])

    def run(self, seed: int, length: int = 153, **values) -> None:
        """Queue, and wait for the finished video."""
        self.queue(seed, length, **values)
        self.page.wait_for_function(VIDEO, timeout=300_000)

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"memory_{name}.png")


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def story(page, request, console):
    enable = "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)"
    page.evaluate(enable, request.param == "Vue nodes")
    made = Story(page)
    made.kind = request.param.split()[0].lower()
    made.build()
    yield made
    page.evaluate(enable, False)
    assert [line for line in console if "memflow" in line.lower()] == []


@pytest.fixture
def console(page):
    """What the page wrote to its console as warnings and errors."""
    lines = []
    page.on("console", lambda message: lines.append(message.text) if message.type in ("warning", "error") else None)
    page.on("pageerror", lambda error: lines.append(f"memflow? {error}"))
    return lines


def test_a_run_is_seen_pinned_and_shown_again(story):
    page = story.page
    assert story.line.inner_text() == "shows what is remembered while it runs"
    assert story.rows.count() == 0 and story.live.count() == 0
    # Vue nodes take their height from what is drawn
    page.wait_for_timeout(900)
    height = page.evaluate(HEIGHT)
    story.shot(f"{story.kind}_idle")
    story.run(801)
    page.wait_for_function("() => document.querySelectorAll('.mm-row').length === 13")
    assert re.match(r"\d moments remembered · at 0:09", story.line.inner_text())
    assert story.live.count() == 0 and page.evaluate(HEIGHT) == height
    # what is remembered now is in sight, with what attention reads
    now = page.locator(".mm-now .mm-moment")
    assert now.count() == story.rows.last.locator(".mm-moment:not(.mm-dropped)").count() >= 2
    _check_words(page, now.first)
    assert story.rows.last.is_hidden()
    page.locator(".mm-head").click()
    # the history lies below a window of this size
    page.evaluate("() => { app.canvas.ds.offset = [0, -480]; app.canvas.setDirty(true, true); }")
    _check_rows(story)
    story.shot(f"{story.kind}_done")

    last = story.rows.last.locator(".mm-moment:not(.mm-dropped)").first
    last.scroll_into_view_if_needed()
    last.click()
    labels = [text.split("\n")[0] for text in story.menu.locator("button").all_inner_texts()]
    assert labels == ["Pin it", "Pin it with a name…", "Show this moment"]
    # what is known of it stands above, for those who do not hover
    assert story.menu.locator(".memflow-menu-title").inner_text().startswith("remembered from ")
    story.shot(f"{story.kind}_menu")
    page.keyboard.press("Escape")
    assert story.menu.count() == 0
    _pin(story, last)
    _show(story, last)

    # closed by hand, and open again
    tall = page.evaluate(HEIGHT)
    page.locator(".mm-head").click()
    assert story.rows.first.is_hidden()
    if story.kind == "litegraph":
        assert page.evaluate(HEIGHT) == height < tall
    page.locator(".mm-head").click()
    assert story.rows.last.is_visible()

    assert "memflow_memory" not in str(page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    _check_shares(story)


def _check_rows(story) -> None:
    first, last = story.rows.first, story.rows.last
    assert first.locator(".mm-none").count() == 1
    assert last.locator(".mm-moment:not(.mm-dropped)").count() >= 2
    assert story.page.locator(".mm-share .mm-part").count() == 39
    pictures = story.page.locator(".mm-picture")
    assert pictures.count() == story.page.locator(".mm-moment").count()
    loaded = "images => images.every(image => image.complete && image.naturalWidth > 0)"
    assert pictures.evaluate_all(loaded)


def _check_words(page, moment) -> None:
    """A moment says since when and for what it is remembered; its share of attention stands beside an even one."""
    title = moment.get_attribute("title")
    assert re.match(r"remembered from \d:\d\d\n", title) and "layers" in title and "Click" in title
    words = page.locator(".mm-share-words .mm-bank")
    assert re.fullmatch(r"remembered \d+%, (.* an even share|an even share|even would be \d+%)", words.inner_text())
    assert "An even share" in words.get_attribute("title")
    assert page.locator(".mm-share-words").evaluate(WHOLE) == ["mm-bank", "mm-sink", "mm-window"]


def _check_shares(story) -> None:
    """At any width of the node the words of shares are whole, those of the bank first; the bar has what is left out."""
    story.page.locator(".mm-head").click()
    # those of a fresh node, of templates, and of the widest words
    for width, least in ((0, 1), (380, 2), (600, 3)):
        story.page.evaluate(WIDTH, width)
        for number, bank in enumerate((0.04, 0.2, 0.88)):
            share = {"sink": (1 - bank) / 3, "bank": bank, "window": (1 - bank) * 2 / 3}
            memory = {**CHUNK["memory"], "share": share, "even": {"sink": 0.2, "bank": 0.2, "window": 0.6}}
            story.emit("memflow.chunk", **{**CHUNK, "prompt_id": f"{width} {number}", "memory": memory})
            story.page.wait_for_timeout(200)
            whole = story.page.locator(".mm-share-words").evaluate(WHOLE)
            assert len(whole) >= least and whole[0] == "mm-bank" and "cut" not in whole
            titles = story.page.locator(".mm-share-line .mm-part").evaluate_all("parts => parts.map(p => p.title)")
            names = {"beginning": "sink", "remembered": "bank", "last seconds": "window"}
            assert [re.match(r".*? \d+%", title)[0] for title in titles] == [
                f"{name} {share[kind]:.0%}" for name, kind in names.items()
            ]


def _time_of(moment) -> str:
    """In seconds, as a schedule writes it."""
    return moment.get_attribute("data-time")


def _pin(story, moment) -> None:
    moment.click()
    story.menu.locator("button").first.click()
    first, pin, *rest = story.value("schedule", "prompts").split("\n")
    assert first == "# my story" and rest[0].startswith("0s:")
    assert pin.startswith("pin: ") and abs(float(pin[5:-1]) - float(_time_of(moment))) < 0.006
    moment.click()
    story.menu.get_by_text("Pin it with a name…").click()
    field = story.page.locator(".p-dialog input[type=text], [role=dialog] input")
    field.fill("hero")
    story.shot(f"{story.kind}_name")
    field.press("Enter")
    story.page.wait_for_function(f"() => ({VALUE})(['schedule', 'prompts']).includes('pin hero: ')")
    story.page.locator(".p-toast, [data-testid=toast]").first.wait_for()
    # a name alone does nothing: a prompt has to ask for it
    story.page.locator(".memflow-menu-title").wait_for()
    assert "hero" in story.page.locator(".memflow-menu-title").inner_text()
    story.shot(f"{story.kind}_ask")
    story.menu.locator("button").first.click()
    asking = [line for line in story.value("schedule", "prompts").split("\n") if "[hero]" in line]
    assert len(asking) == 1 and not asking[0].startswith("0s")
    # and the field of its pins offers the name to the others
    offered = "() => [...document.querySelectorAll('datalist[id^=mft-pins-] option')].map(option => option.value)"
    assert story.page.evaluate(offered) == ["hero"]


def _show(story, moment) -> None:
    moment.click()
    story.menu.get_by_text("Show this moment").click()
    at, _ = story.page.evaluate(VIDEO)
    assert at == pytest.approx(float(_time_of(moment)), abs=0.006)


def test_a_result_from_the_cache_shows_its_memory(story, comfy):
    seed = 802 if story.kind == "litegraph" else 803
    story.run(seed, 93, control_after_generate="fixed")
    story.page.wait_for_function(EIGHT_ROWS)
    # the same nodes in another graph, where they have shown nothing yet
    story.page.evaluate("async () => { await app.loadGraphData({...app.graph.serialize(), id: crypto.randomUUID()}); }")
    story.page.wait_for_function("() => document.querySelectorAll('.memflow-memory').length === 1")
    assert story.rows.count() == 0
    runs = len(comfy.get("/history"))
    story.queue(seed, 93)
    story.page.wait_for_function(EIGHT_ROWS, timeout=60_000)
    assert story.page.locator(".mm-rows .mm-picture").count() == story.moments.count() > 0
    while len(comfy.get("/history")) == runs:
        story.page.wait_for_timeout(100)
    (cached,) = [
        data["nodes"]
        for kind, data in list(comfy.get("/history").values())[-1]["status"]["messages"]
        if kind == "execution_cached"
    ]
    assert str(story.page.evaluate("() => window.ids.stream")) in cached


def test_the_view_is_there_when_its_user_comes_back_to_the_workflow(story):
    story.run(810 if story.kind == "litegraph" else 811, 93, control_after_generate="fixed")
    story.page.wait_for_function(EIGHT_ROWS)
    name = story.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.filename")
    story.page.evaluate("async () => { await app.extensionManager.command.execute('Comfy.NewBlankWorkflow'); }")
    story.page.wait_for_function("() => !document.querySelector('.memflow-memory')")
    story.page.get_by_text(name, exact=True).first.click()
    story.page.wait_for_function(EIGHT_ROWS)


def test_a_story_is_directed_from_its_node(story):
    page = story.page
    story.queue(804 if story.kind == "litegraph" else 805, LONG)
    story.live.wait_for(timeout=120_000)
    page.locator(".mm-pause").click()
    page.wait_for_function("() => document.querySelector('.mm-said').innerText.startsWith('Paused.')", timeout=120_000)
    assert page.locator(".mm-pause").inner_text() == "Go on"
    story.next.fill("a zebra on the moonbase")
    story.next.press("Enter")
    page.wait_for_function("() => document.querySelector('.mm-said').innerText.includes('zebra')")
    page.wait_for_function("() => document.querySelector('.mm-said').classList.contains('mm-problem')")
    assert "not taken" in story.message.inner_text()
    # what was refused is still there to be corrected
    page.wait_for_function("() => document.querySelector('.mm-next').value === 'a zebra on the moonbase'")
    story.next.fill("a cat jumps")
    page.locator(".mm-switch").select_option("cut")
    story.shot(f"{story.kind}_live")
    page.locator(".mm-ask").click()
    page.wait_for_function("() => document.querySelector('.mm-said').innerText.includes('“a cat jumps” starts at')")
    assert story.next.input_value() == ""
    page.locator(".mm-pause").click()
    page.wait_for_function("() => document.querySelectorAll('.mm-row').length >= 4", timeout=300_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.mm-prompt')].some(p => p.innerText === 'a cat jumps')"
    )
    # on the strip too
    page.wait_for_function(
        "() => [...document.querySelectorAll('.mft-live-prompt')].some(p => p.textContent.includes('a cat jumps'))"
    )
    story.shot(f"{story.kind}_running")
    page.locator(".mm-finish").click()
    page.wait_for_function(VIDEO, timeout=120_000)
    assert story.live.count() == 0
    _, seconds = page.evaluate(VIDEO)
    # what was played can be put into the schedule, and is a story with the prompt in it
    page.locator(".mm-keep").click()
    assert re.search(r"^[0-9.]+s \[cut\]: a cat jumps$", story.value("schedule", "prompts"), re.M)
    assert story.value("schedule", "prompts").startswith("length: ") and page.locator(".mm-keep").is_hidden()
    rows = story.rows.count()
    assert rows < 1000 and seconds == pytest.approx((12 * rows - 3) / 16, abs=0.1)


def test_without_a_clip_the_box_says_what_is_missing(story):
    story.build(clip=False)
    story.queue(806 if story.kind == "litegraph" else 807, LONG)
    story.live.wait_for(timeout=120_000)
    assert story.next.is_disabled() and "CLIP" in story.next.get_attribute("placeholder")
    story.page.locator(".mm-finish").click()
    story.page.wait_for_function(VIDEO, timeout=300_000)


def test_light_colours(story):
    palette = "name => app.extensionManager.setting.set('Comfy.ColorPalette', name)"
    story.page.evaluate(palette, "light")
    try:
        story.run(808 if story.kind == "litegraph" else 809)
        story.page.wait_for_function("() => document.querySelectorAll('.mm-row').length === 13")
        story.shot(f"{story.kind}_light")
        ink, ground = story.page.evaluate(
            """() => [".mm-time", ".mm-row"].map((name, place) => {
                const style = getComputedStyle(document.querySelector(name));
                const [r, g, b] = (place ? style.backgroundColor : style.color).match(/[0-9.]+/g).map(Number);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            })"""
        )
        assert ground - ink > 100
    finally:
        story.page.evaluate(palette, "dark")
