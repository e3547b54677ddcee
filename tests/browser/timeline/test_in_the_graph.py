"""Other forms of schedule, workflow files, undo, links and subgraphs."""

from __future__ import annotations

import json

import pytest

from tests.browser.timeline_page import STORY, chunk

JSONL = json.dumps({"prompts": ["a meadow", "a beach"], "switch_frame_indices": [18]})
PASTE = """text => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    const at = {bubbles: true, cancelable: true, clipboardData: data};
    document.activeElement.dispatchEvent(new ClipboardEvent("paste", at));
}"""


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        (JSONL, "0l: a meadow\n18l: a beach"),
        ('{"prompts": [{"startTime": 0, "endTime": 5, "prompts": [{"text": "a"}]}]}', "length: 5s\n0s: a"),
        ('"0": "a", "24": "b",', "0: a\n24f: b"),
        ("a | b", "a | b"),
        ("# mine\n0s: a", "# mine\n0s: a"),
    ],
)
def test_a_schedule_of_any_form_is_pasted_on_the_strip(timeline, pasted, text):
    timeline.page.evaluate(PASTE, pasted)
    timeline.page.wait_for_function(
        "text => app.graph.getNodeById(window.schedule).widgets[0].value === text", arg=text
    )
    timeline.press("Control+z")
    assert timeline.text == STORY


def test_what_is_no_schedule_is_not_pasted(timeline):
    timeline.page.evaluate(PASTE, '{"nodes": []}')
    timeline.page.wait_for_function("() => document.querySelector('.mft-message').innerText.includes('keys')")
    assert timeline.text == STORY and timeline.page.evaluate("() => app.graph.nodes.length") == 2


def test_another_form_in_the_text_box_is_shown_and_converted_on_demand(timeline, tab):
    timeline.write(JSONL)
    convert = timeline.button("Convert to text")
    convert.wait_for()
    assert timeline.blocks.all_inner_texts() == ["a meadow", "a beach"] and timeline.text == JSONL
    timeline.shot(f"foreign_{tab[1].split()[0]}")
    convert.click()
    timeline.page.wait_for_function("() => app.graph.getNodeById(window.schedule).widgets[0].value.startsWith('0l:')")
    assert timeline.prompts == ["a meadow", "a beach"]


def test_the_schedule_is_copied_as_text(timeline):
    timeline.write("oil", "global_prompt")
    timeline.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    timeline.button("Copy as text").click()
    timeline.page.wait_for_function("() => document.querySelector('.mft-message').innerText === 'Copied as text.'")
    assert timeline.page.evaluate("() => navigator.clipboard.readText()") == "global: oil\n" + STORY
    timeline.write("", "global_prompt")
    timeline.blocks.first.click()
    timeline.press("Control+c")
    timeline.page.wait_for_function("async text => await navigator.clipboard.readText() === text", arg=STORY)


def test_workflow_files_keep_their_values_in_order(timeline):
    saved = timeline.page.evaluate("() => app.graph.serialize().nodes.find(n => n.id == window.schedule)")
    assert saved["widgets_values"] == [STORY, "", 1]
    queued = timeline.page.evaluate("async () => (await app.graphToPrompt()).output[window.schedule].inputs")
    assert queued == {"prompts": STORY, "global_prompt": "", "story": 1}


def test_json_in_the_text_box_reaches_the_server_whole(timeline):
    """ComfyUI's choices in braces, which would take a pair of them away, still work in prompts."""
    timeline.write(JSONL)
    queued = "async () => (await app.graphToPrompt()).output[window.schedule].inputs.prompts"
    assert timeline.page.evaluate(queued) == JSONL
    timeline.write("0s: a {red|red} robot")
    assert timeline.page.evaluate(queued) == "0s: a red robot"


def test_a_loaded_workflow_has_nothing_to_undo(timeline):
    timeline.page.evaluate("async () => app.loadGraphData(app.graph.serialize())")
    timeline.page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 3")
    assert timeline.button("Undo").is_disabled() and timeline.text == STORY


def test_comfyui_undoes_an_edit_too(timeline):
    timeline.press("End", "Delete")
    assert len(timeline.prompts) == 2
    timeline.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    timeline.page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 3")
    assert timeline.text == STORY


def test_a_text_that_comes_over_a_link_is_not_edited(timeline):
    timeline.page.evaluate("""() => {
        const text = LiteGraph.createNode("PrimitiveStringMultiline");
        app.graph.add(text);
        const schedule = app.graph.getNodeById(window.schedule);
        text.connect(0, schedule, schedule.inputs.findIndex(input => input.name === "prompts"));
    }""")
    timeline.page.wait_for_function("() => document.querySelector('.mft-message').innerText.includes('another node')")
    timeline.press("Delete")
    assert timeline.text == STORY and timeline.button("Duplicate").is_disabled()


ROUNDABOUT = """() => {
    const [schedule, sampler] = [window.schedule, window.sampler].map(id => app.graph.getNodeById(id));
    const segment = LiteGraph.createNode("MemFlowPromptSegment");
    app.graph.add(segment);
    const input = node => node.inputs.findIndex(one => one.name === "schedule");
    schedule.connect(0, segment, input(segment));
    segment.connect(0, sampler, input(sampler));
    const {node} = app.canvas.graph.convertToSubgraph(new Set([segment, sampler]));
    const inside = node.subgraph.nodes.find(one => one.comfyClass === "MemFlowSampler");
    inside.widgets.find(one => one.name === "length").value = 321;
    schedule.widgets.find(one => one.name === "timeline").timeline.refresh();
    window.sampler = `${node.id}:${inside.id}`;
}"""


def test_a_sampler_is_found_through_segments_and_subgraphs(timeline):
    timeline.page.evaluate(ROUNDABOUT)
    assert timeline.message.inner_text() == "3 prompts in 20.06 s"
    chunk(timeline, 0)
    assert timeline.page.locator(".mft-done").count() == 1
