"""The film on the node: it plays while it is made, and is found again after a reload and in another tab."""

from __future__ import annotations

import json

import pytest

from tools.comfy_host import ROOT

WORKFLOW = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
VUE = "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)"
LONG = 12 * 1000 - 3
# (whether it is on show, seconds of it, where it plays) of the film on the page
FILM = """() => {
    const video = document.querySelector(".mf-video");
    if (!video) return null;
    const {buffered} = video;
    return {shown: video.checkVisibility(), made: buffered.length ? buffered.end(buffered.length - 1) : 0,
            at: video.currentTime, paused: video.paused, source: video.src, width: video.videoWidth};
}"""
PLAYING = f"seconds => {{ const film = ({FILM})(); return film?.shown && film.made >= seconds && !film.paused; }}"
# what is told of the film in the moment in which it plays, which does not last
PLAYED = f"""seconds => ({PLAYING})(seconds)
    && {{source: ({FILM})().source, line: document.querySelector(".mf-line").innerText}}"""
FINISHED = f"""name => {{ const film = ({FILM})(); return film?.shown && film.width > 0
    && film.source.includes(name) && film.source.includes("unfinished") === name.includes("unfinished"); }}"""
HEIGHTS = "() => app.graph.nodes.map(node => [node.type, Math.round(node.size[1])])"
PROMPT = "async () => JSON.stringify((await app.graphToPrompt()).output)"
QUEUE = "() => { app.queuePrompt(0, 1); }"
SETTLED = "() => new Promise(done => setTimeout(done, 900))"
# pictures on the strip, and remembered ones
SHOWN = """() => [document.querySelectorAll(".mft-thumbnail").length, document.querySelectorAll(".mm-row").length]"""


def story(seed: int, length: int = 153, prefix: str = "film/story", prompts: str | None = None) -> dict:
    workflow = json.loads(json.dumps(WORKFLOW))
    values = {node["type"]: node["widgets_values"] for node in workflow["nodes"]}
    texts = values["MemFlowPromptSchedule"]
    texts[0] = prompts or "0s: the meadow lies empty\n1s: a robot walks in the meadow\n3s: an empty beach"
    stream = values["MemFlowStreamToVideo"]
    stream[0], stream[4] = seed, length
    stream[stream.index("video/tiny_story")] = prefix
    stream[stream.index("1000, 750, 500, 250")] = "1000"
    # graphs of a user's have an id each
    workflow["id"] = f"{seed:08x}-0000-4000-8000-000000000000"
    return workflow


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def page(new_page, request):
    tab = new_page()
    tab.evaluate(VUE, request.param == "Vue nodes")
    tab.seed = 20_000 + 100 * (request.param == "Vue nodes")
    yield tab
    # a test that failed leaves no run behind
    stop(tab)
    tab.evaluate(VUE, False)
    tab.close()


def open_story(page, seed: int, **more) -> None:
    page.evaluate("workflow => app.loadGraphData(workflow)", story(page.seed + seed, **more))
    page.wait_for_function("() => document.querySelector('.mf-video') && document.querySelector('.mft-block')")
    page.evaluate(SETTLED)


def stop(page) -> None:
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Interrupt')")


def reload(page) -> None:
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function("() => window.app?.extensionManager?.workflow?.activeWorkflow?.isLoaded", timeout=120_000)
    page.wait_for_function("() => document.querySelector('.mf-video')", timeout=60_000)


def test_it_plays_while_it_is_made_and_then_whole(page, comfy):
    open_story(page, 1, length=12 * 60 - 3)
    heights, prompt = page.evaluate(HEIGHTS), page.evaluate(PROMPT)
    assert "plays here" in page.locator(".mf-empty").inner_text()
    page.evaluate(QUEUE)
    # no previews are switched on: what plays is the file
    played = page.wait_for_function(PLAYED, arg=1.5, timeout=180_000).json_value()
    # where media from blobs are forbidden the file is loaded again and again
    assert played["source"].startswith("blob:") or ".unfinished." in played["source"]
    assert "s made" in played["line"]
    page.wait_for_function(FINISHED, arg="story_0000", timeout=180_000)
    assert page.locator(".mf-line").inner_text().endswith(".mp4")
    assert page.evaluate("() => document.querySelectorAll('video').length") == 1
    # nothing has changed that is saved or sent
    page.evaluate(SETTLED)
    assert page.evaluate(HEIGHTS) == heights
    assert page.evaluate(PROMPT) == prompt
    # the strip and the film go together: where it plays, and a prompt's moment by a click on it
    page.wait_for_function("() => parseFloat(document.querySelector('.mft-playhead').style.left) > 0")
    page.evaluate("() => document.querySelectorAll('.mft-block')[2].dispatchEvent(new Event('focus'))")
    page.evaluate("""() => {
        const {timeline} = app.graph.nodes.flatMap(n => n.widgets ?? []).find(w => w.name === "timeline");
        timeline.setFocus(2);
    }""")
    page.wait_for_function(f"() => {{ const f = ({FILM})(); return f.paused && Math.abs(f.at - 3.5625) < 0.05; }}")


def test_another_tab_of_the_page_and_an_undo_keep_all_that_was_shown(page):
    open_story(page, 2)
    page.evaluate(QUEUE)
    page.wait_for_function(FINISHED, arg="story_0000", timeout=180_000)
    page.evaluate(SETTLED)
    heights, shown = page.evaluate(HEIGHTS), page.evaluate(SHOWN)
    assert min(shown) > 3
    name = page.evaluate("() => app.extensionManager.workflow.activeWorkflow.filename")
    for _ in range(3):
        page.evaluate("async () => { await app.extensionManager.command.execute('Comfy.NewBlankWorkflow'); }")
        page.wait_for_function("() => !document.querySelector('.mf-video')")
        page.get_by_text(name, exact=True).first.click()
        page.wait_for_function(FINISHED, arg="story_0000", timeout=60_000)
        page.evaluate(SETTLED)
        assert page.evaluate(HEIGHTS) == heights
        assert page.evaluate(SHOWN) == shown
    page.evaluate("""() => {
        const node = app.graph.nodes.find(n => n.type === "MemFlowMemory");
        app.canvas.emitBeforeChange();
        node.pos = [node.pos[0] + 40, node.pos[1]];
        app.canvas.emitAfterChange();
    }""")
    page.evaluate(SETTLED)
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    page.wait_for_function(FINISHED, arg="story_0000", timeout=60_000)
    page.wait_for_function(f"shown => JSON.stringify(({SHOWN})()) === JSON.stringify(shown)", arg=shown)


def test_a_paused_story_goes_on_after_a_reload_and_is_seen_from_a_second_tab(page, new_page):
    open_story(page, 3, length=LONG)
    page.evaluate(QUEUE)
    page.wait_for_function(PLAYING, arg=1.5, timeout=180_000)
    page.locator(".mm-pause").click()
    page.wait_for_function("() => document.querySelector('.mm-said').innerText.startsWith('Paused.')", timeout=120_000)
    page.evaluate(SETTLED)
    rows = page.evaluate(SHOWN)[1]
    reload(page)
    page.wait_for_function("() => document.querySelector('.mm-pause').innerText === 'Go on'", timeout=60_000)
    page.wait_for_function(PLAYING, arg=1.5, timeout=60_000)
    assert page.evaluate(SHOWN)[1] >= rows and page.evaluate(SHOWN)[0] > 0
    rows = page.evaluate(SHOWN)[1]
    # another page that opens the same workflow
    second = new_page()
    open_in = story(page.seed + 3, length=LONG)
    second.evaluate("workflow => app.loadGraphData(workflow)", open_in)
    second.wait_for_function("() => document.querySelector('.mm-pause')?.innerText === 'Go on'", timeout=60_000)
    second.locator(".mm-pause").click()
    second.wait_for_function(f"rows => ({SHOWN})()[1] > rows", arg=rows, timeout=180_000)
    page.wait_for_function(f"rows => ({SHOWN})()[1] > rows", arg=rows, timeout=180_000)
    second.locator(".mm-finish").click()
    for each in (page, second):
        each.wait_for_function(FINISHED, arg="story_0000", timeout=180_000)
        each.wait_for_function("() => document.querySelector('.mm-live.mm-idle')", timeout=60_000)
    second.close()
    # and a page that is opened after the end finds the last run of its graph
    reload(page)
    page.wait_for_function(FINISHED, arg="story_0000", timeout=60_000)
    assert page.evaluate(SHOWN)[1] > rows


def test_a_run_that_is_stopped_shows_what_it_has_kept(page, comfy):
    open_story(page, 4, length=LONG, prefix="film/stopped")
    page.evaluate(QUEUE)
    page.wait_for_function(PLAYING, arg=2, timeout=180_000)
    stop(page)
    page.wait_for_function(FINISHED, arg=".unfinished.mp4", timeout=60_000)
    page.wait_for_function(
        "() => /kept, in stopped_.*unfinished.mp4 \\([0-9.]+ s\\)/.test(document.querySelector('.mf-line').innerText)"
    )
    assert list(comfy.output_dir.glob("film/stopped*.unfinished.mp4"))


def test_a_text_over_a_link_is_drawn_as_it_is_played(page):
    open_story(page, 5)
    assert page.locator(".mft-block").count() == 3
    page.evaluate("""() => {
        const schedule = app.graph.nodes.find(n => n.type === "MemFlowPromptSchedule");
        const text = LiteGraph.createNode("PrimitiveStringMultiline");
        app.graph.add(text);
        text.widgets[0].value = "length: 2s\\n0s: one\\n1s: two";
        text.connect(0, schedule, schedule.inputs.findIndex(i => i.name === "prompts"));
    }""")
    page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 2")
    message = page.locator(".mft-message")
    assert "from another node" in message.inner_text()
    # a text that only a run can know is not taken for the node's own, hidden one
    page.evaluate("""() => {
        const schedule = app.graph.nodes.find(n => n.type === "MemFlowPromptSchedule");
        const other = LiteGraph.createNode("StringConcatenate");
        app.graph.add(other);
        other.connect(0, schedule, schedule.inputs.findIndex(i => i.name === "prompts"));
    }""")
    page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 0")
    assert "when the story runs" in page.locator(".mft-notice").inner_text()


def test_fresh_nodes_make_a_film_with_nothing_set(page):
    page.evaluate("""() => {
        app.graph.clear();
        const add = type => { const node = LiteGraph.createNode(type); app.graph.add(node); return node; };
        const [tiny, schedule, stream] = ["MemFlowTinyStory", "MemFlowPromptSchedule", "MemFlowStreamToVideo"].map(add);
        const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex(i => i.name === name));
        link(tiny, 1, schedule, "clip");
        link(tiny, 0, stream, "model");
        link(tiny, 2, stream, "vae");
        link(schedule, 0, stream, "schedule");
        // its own size is that of real weights, which takes a minute here
        for (const name of ["width", "height"]) stream.widgets.find(w => w.name === name).value = 64;
        stream.widgets.find(w => w.name === "steps").value = "1000";
    }""")
    page.evaluate(QUEUE)
    page.wait_for_function(FINISHED, arg="MemFlow_0000", timeout=180_000)
