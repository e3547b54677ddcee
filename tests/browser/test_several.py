"""Several at once: runs in the queue, samplers in a graph, and nodes inside a subgraph. Each shows its own."""

from __future__ import annotations

import json

import pytest

from tests.browser.test_both_front_ends import PANELS, SETTLED, VUE, short
from tests.core.video.test_peaks import tone, write_wav

# of each chunk that comes, some time after it: its run, and what is on show on each node by then
RECORD = """() => {
    window.sent = {};
    window.seen = [];
    const sources = (element, kind) => [...element?.querySelectorAll(kind) ?? []].map(one => one.src);
    const look = window.look = run => window.seen.push([run, Object.fromEntries(window.watched().map(node => {
        const part = name => node.widgets.find(one => one.name === name)?.element;
        const film = part("memflow_film")?.querySelector("video");
        return [node.title, {
            // what is out of sight is not drawn
            strip: node.widgets.find(one => one.name === "timeline")?.timeline.view.run.done.map(one => one.thumbnail),
            memory: sources(part("memflow_memory"), ".mm-rows img"),
            film: film && !film.hidden ? film.src : "",
            live: Boolean(part("memflow_memory")?.querySelector(".mm-live:not(.mm-idle)")),
        }];
    }))]);
    app.api.addEventListener("memflow.chunk", ({detail}) => {
        const run = `${detail.prompt_id} ${detail.node}`;
        const pictures = window.sent[run] ??= [];
        pictures.push(detail.thumbnail, ...Object.values(detail.thumbnails ?? {}));
        // before the next run can have begun; those who show it have heard of it first
        look(run);
    });
}"""
WATCHED = """() => app.graph.nodes.filter(node => node.type.startsWith("MemFlow"))"""
SET = """([type, values]) => {
    const node = app.graph.nodes.find(n => n.type === type);
    for (const [name, value] of Object.entries(values)) {
        const widget = node.widgets.find(w => w.name === name);
        widget.value = value;
        widget.callback?.(value);
    }
}"""
QUEUE = "() => app.queuePrompt(0, 1)"
# names of the finished films on show, by the title of their node
FILMS = """() => Object.fromEntries(app.graph.nodes.filter(n => n.type === "MemFlowStreamToVideo").map(node => {
    const video = node.widgets.find(w => w.name === "memflow_film").element.querySelector("video");
    const name = video.videoWidth && !video.hidden && URL.parse(video.src)?.searchParams.get("filename");
    return [node.title, name && !name.includes("unfinished") ? name : ""];
}))"""
SHOWS = (
    f"films => {{ const now = ({FILMS})(); return Object.entries(films).every(([n, f]) => now[n]?.startsWith(f)); }}"
)


@pytest.fixture(scope="module")
def tab(new_page):
    page, errors = new_page(), []
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(error.stack))
    page.evaluate(RECORD)
    yield page
    page.close()
    assert [error for error in errors if "memflow" in error.lower()] == []


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def page(tab, request, comfy):
    vue = request.param == "Vue nodes"
    tab.evaluate(VUE, vue)
    tab.evaluate(f"() => {{ window.seen = []; window.sent = {{}}; window.watched = {WATCHED}; }}")
    # of its own, or what another graph of that id has shown is shown again
    tab.number = next(NUMBERS)
    open_story(tab)
    yield tab
    tab.evaluate(VUE, False)
    comfy.interrupt()


NUMBERS = iter(range(1, 1000))


def open_story(tab, **changes) -> None:
    workflow = short(**changes)
    workflow["id"] = f"{tab.number:08d}-0000-4000-8000-{id(tab) % 10**12:012d}"
    values = {node["type"]: node["widgets_values"] for node in workflow["nodes"]}["MemFlowStreamToVideo"]
    values[values.index("1000, 750, 500, 250")] = "1000"
    values[0] = 3_000_000 + 1000 * tab.number
    tab.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    tab.wait_for_function("n => app.graph.nodes.length === n", arg=len(workflow["nodes"]))
    tab.wait_for_function("kinds => kinds.every(kind => document.querySelectorAll(kind).length === 1)", arg=PANELS)
    tab.evaluate(SETTLED)


def by_run(page) -> dict[str, list[dict]]:
    """What was on show after each chunk, by the run that the chunk is of."""
    found: dict[str, list[dict]] = {}
    for run, shown in page.evaluate("() => window.seen"):
        found.setdefault(run, []).append(shown)
    return found


def test_each_of_two_queued_runs_is_shown_by_itself(page):
    for number, prompts in (
        (1, "0s: a robot walks in the meadow"),
        (2, "0s: an empty beach\n1s: a cat walks on the beach"),
    ):
        page.evaluate(SET, ["MemFlowPromptSchedule", {"prompts": prompts}])
        page.evaluate(SET, ["MemFlowStreamToVideo", {"filename_prefix": f"several/run{number}", "length": 93}])
        page.evaluate(QUEUE)
    page.wait_for_function(SHOWS, arg={"MemFlow Stream to Video": "run2_"}, timeout=180_000)
    page.evaluate(SETTLED)
    sent, shown = page.evaluate("() => window.sent"), by_run(page)
    assert len(shown) == 2 and all(len(looks) == 8 for looks in shown.values())
    for run, looks in shown.items():
        for nodes in looks:
            strip, node = nodes["MemFlow Prompt Schedule"]["strip"], nodes["MemFlow Stream to Video"]
            assert strip and set(strip) <= set(sent[run])
            assert set(node["memory"]) <= set(sent[run])
        assert looks[-1]["MemFlow Stream to Video"]["memory"]
    # by its second chunk at the latest the film is that of the run, too
    first, second = shown.values()
    assert all("run2" not in nodes["MemFlow Stream to Video"]["film"] for nodes in first)
    assert all("run1" not in nodes["MemFlow Stream to Video"]["film"] for nodes in second[1:])


TWO = """seed => {
    const [schedule, stream] = ["MemFlowPromptSchedule", "MemFlowStreamToVideo"].map(
        type => app.graph.nodes.find(n => n.type === type));
    const find = type => app.graph.nodes.find(n => n.type === type);
    const add = (type, title, x, y) => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        [node.title, node.pos] = [title, [x, y]];
        return node;
    };
    app.canvas.emitBeforeChange();
    const text = add("MemFlowPromptSchedule", "other text", 480, 1100);
    const other = add("MemFlowStreamToVideo", "other film", 1060, 1100);
    const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex(i => i.name === name));
    const tiny = find("MemFlowTinyStory");
    link(tiny, 1, text, "clip");
    link(tiny, 0, other, "model");
    link(tiny, 2, other, "vae");
    link(text, 0, other, "schedule");
    [stream.title, schedule.title] = ["one film", "one text"];
    const set = (node, values) => {
        for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value;
    };
    set(text, {prompts: "0s: an empty beach\\n1s: a cat walks on the beach"});
    set(other, {width: 64, height: 64, length: 93, steps: "1000", seed, filename_prefix: "several/other"});
    set(stream, {filename_prefix: "several/one", length: 93});
    app.canvas.emitAfterChange();
}"""
DONE = {"one film": "one_", "other film": "other_"}


def test_each_of_two_samplers_in_a_graph_shows_its_own(page):
    page.evaluate(TWO, 77_000 + page.number)
    page.wait_for_function("kinds => kinds.every(kind => document.querySelectorAll(kind).length === 2)", arg=PANELS)
    page.evaluate(SETTLED)
    page.evaluate(QUEUE)
    page.wait_for_function(SHOWS, arg=DONE, timeout=180_000)
    page.evaluate(SETTLED)
    sent, shown = page.evaluate("() => window.sent"), by_run(page)
    owners = {run.split()[1]: set(pictures) for run, pictures in sent.items()}
    titles = page.evaluate("() => Object.fromEntries(app.graph.nodes.map(n => [n.title, String(n.id)]))")
    pairs = (("one text", "one film"), ("other text", "other film"))
    assert len(shown) == 2 and not owners[titles["one film"]] & owners[titles["other film"]]
    for looks in shown.values():
        for nodes in looks:
            # only the one that runs can be directed
            assert sum(node["live"] for node in nodes.values()) <= 1
            for text, film in pairs:
                own = owners[titles[film]]
                assert set(nodes[text]["strip"]) <= own and set(nodes[film]["memory"]) <= own
    # and both are there to the end
    _, ended = page.evaluate("() => { window.look('end'); return window.seen.at(-1); }")
    assert all(ended[text]["strip"] and ended[film]["memory"] for text, film in pairs)


CONVERT = """() => {
    const nodes = app.graph.nodes.filter(n => n.type.startsWith("MemFlow") || n.type === "LoadAudio");
    app.canvas.emitBeforeChange();
    const {node} = app.canvas.graph.convertToSubgraph(new Set(nodes));
    app.canvas.emitAfterChange();
    window.subgraph = node.id;
}"""
ENTER = """() => {
    const node = app.graph.getNodeById(window.subgraph);
    app.canvas.openSubgraph(node.subgraph, node);
}"""
LEAVE = """() => {
    app.canvas.setGraph(app.graph.rootGraph ?? app.graph);
    app.canvas.emitBeforeChange();
    app.canvas.graph.unpackSubgraph(app.graph.getNodeById(window.subgraph));
    app.canvas.emitAfterChange();
}"""
INSIDE = "() => app.canvas.graph.nodes"
AUDIO = """file => {
    let audio = app.graph.nodes.find(n => n.type === "LoadAudio");
    app.canvas.emitBeforeChange();
    if (!audio) {
        audio = LiteGraph.createNode("LoadAudio");
        app.graph.add(audio);
        const stream = app.graph.nodes.find(n => n.type === "MemFlowStreamToVideo");
        audio.connect(0, stream, stream.inputs.findIndex(i => i.name === "audio"));
    }
    audio.widgets.find(w => w.name === "audio").value = file;
    app.canvas.emitAfterChange();
}"""
# how much of the track the wave takes, in percent; -1 where none is on show
WAVE = """() => {
    const wave = document.querySelector(".mft-wave");
    return wave.checkVisibility() ? Math.round(parseFloat(wave.style.width)) : -1;
}"""
WAVES = f"share => ({WAVE})() === share"
# panels in sight, pictures on the strip, remembered ones, and the film
SHOWN = """kinds => ({
    panels: kinds.map(kind => [...document.querySelectorAll(kind)].filter(one => one.checkVisibility()).length),
    strip: document.querySelectorAll(".mft-thumbnail").length,
    rows: document.querySelectorAll(".mm-row").length,
    film: document.querySelector(".mf-line")?.innerText,
})"""
ALL = [*PANELS, ".mm-live"]


def is_shown(page, **expected) -> None:
    """Wait for all panels to be in sight, once each, with what they are to show."""
    wanted = json.dumps({"panels": [1] * len(ALL), **expected})
    page.wait_for_function(
        f"([kinds, wanted]) => {{ const now = ({SHOWN})(kinds); return Object.entries(JSON.parse(wanted))"
        ".every(([name, one]) => JSON.stringify(now[name]) === JSON.stringify(one)); }",
        arg=[ALL, wanted],
    )


def test_nodes_in_a_subgraph_work_and_keep_what_they_show_there_and_back(page, comfy):
    write_wav(comfy.input_dir / "song.wav", tone(2))
    write_wav(comfy.input_dir / "longer.wav", tone(4))
    (comfy.input_dir / "no_song.wav").write_bytes(b"no sound")
    # 45 frames: 2.8125 s, with 3.75 s more to draw it longer
    for file, share in (("song.wav", 30), ("longer.wav", 43), ("no_song.wav", -1), ("none.wav", -1), ("song.wav", 30)):
        page.evaluate(AUDIO, file)
        page.wait_for_function(WAVES, arg=share)
    page.evaluate(SET, ["MemFlowStreamToVideo", {"filename_prefix": "several/inside"}])
    page.evaluate(QUEUE)
    page.wait_for_function(SHOWS, arg={"MemFlow Stream to Video": "inside_"}, timeout=180_000)
    page.evaluate(SETTLED)
    film = page.locator(".mf-line").inner_text()
    is_shown(page, strip=4, rows=4, film=film)

    page.evaluate(CONVERT)
    page.evaluate(SETTLED)
    page.evaluate(ENTER)
    is_shown(page, strip=4, rows=4, film=film)
    # the plan follows what is set in there, and so does the strip
    page.evaluate("""() => {
        const find = type => app.canvas.graph.nodes.find(n => n.type === type);
        app.canvas.emitBeforeChange();
        const set = (node, name, value) => {
            const widget = node.widgets.find(w => w.name === name);
            widget.value = value;
            widget.callback?.(value);
        };
        set(find("MemFlowPromptSchedule"), "prompts", "0s: an empty beach\\n1s: a cat\\n3s: a ghost waits");
        set(find("MemFlowStreamToVideo"), "length", 1197);
        app.canvas.emitAfterChange();
    }""")
    page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 3")
    page.wait_for_function("() => document.querySelector('.memflow-plan').textContent.includes('1197 video frames')")
    # a run is shown, paused, and ended in there
    page.evaluate(QUEUE)
    page.wait_for_function("() => document.querySelector('.mm-live:not(.mm-idle)')", timeout=120_000)
    page.wait_for_function("() => document.querySelectorAll('.mft-thumbnail').length > 1", timeout=120_000)
    page.locator(".mm-pause").click()
    page.wait_for_function("() => document.querySelector('.mm-said').innerText.startsWith('Paused.')", timeout=120_000)
    page.locator(".mm-pause").click()
    page.locator(".mm-finish").click()
    page.wait_for_function(
        "before => /^inside_.*mp4$/.test(document.querySelector('.mf-line').innerText) && "
        "document.querySelector('.mf-line').innerText !== before",
        arg=film,
        timeout=180_000,
    )
    page.evaluate(SETTLED)
    shown = page.evaluate(SHOWN, ALL)
    assert shown["rows"] > 1 and shown["strip"] > 1 and page.evaluate(WAVE) > 0

    page.evaluate(LEAVE)
    is_shown(page, rows=shown["rows"], film=shown["film"])
    assert page.evaluate(SHOWN, ALL)["strip"] > 1
