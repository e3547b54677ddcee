"""Workflows as the page saves them come out as comfy-cli converts them, and as the page itself did."""

from __future__ import annotations

import json
import os

import pytest

from memflow_core.render import JobError, convert
from tools.comfy_host import ROOT

OURS = sorted((ROOT / "workflows").glob("*.json"))
KEPT = sorted(ROOT.glob("tests/golden/kept/workflows/*.api.json"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """comfy-cli's conversion, which makes folders in the home directory when it is imported."""
    home, os.environ["HOME"] = os.environ.get("HOME", ""), str(tmp_path_factory.mktemp("home"))
    try:
        from comfy_cli.workflow_to_api import convert_ui_to_api
    finally:
        os.environ["HOME"] = home
    return convert_ui_to_api


def bare(graph: dict) -> dict:
    return {id: (node["class_type"], node["inputs"]) for id, node in graph.items()}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_workflows(path, all_infos, reference):
    workflow = json.loads(path.read_text())
    assert bare(convert(workflow, all_infos)) == bare(reference(workflow, all_infos))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_kept_workflows_ask_for_what_the_page_asked_for(path, all_infos):
    made = convert(json.loads(path.with_name(path.name.replace(".api", "")).read_text()), all_infos)
    for id, node in json.loads(path.read_text()).items():
        assert made[id]["inputs"] | node["inputs"] == made[id]["inputs"]


def test_stock_workflows(comfy_path, all_infos, reference):
    """Blueprints that come with ComfyUI: subgraphs, reroutes, primitive nodes, promoted widgets.

    comfy-cli mistakes some promoted widgets of subgraphs for others (names of files come out as None).
    """
    same, different = 0, []
    for path in sorted((comfy_path / "blueprints").glob("*.json")):
        workflow = json.loads(path.read_text())
        try:
            made = bare(convert(workflow, all_infos))
        except JobError as error:
            # services that are not here
            assert "has no node" in str(error)
            continue
        if made == bare(reference(workflow, all_infos)):
            same += 1
        else:
            different.append(path.name)
    assert same >= 60 and same >= 4 * len(different), different


def small(**more) -> dict:
    """A workflow of three nodes, model to schedule to video, with changes by node id."""
    workflow = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
    for node in workflow["nodes"]:
        node.update(more.get(f"node{node['id']}", {}))
    return workflow


def reroute(id: int, link: int, **more) -> dict:
    inputs = [{"name": "", "type": "*", "link": link}]
    return {"id": id, "type": "Reroute", "inputs": inputs, "outputs": [{"name": "", "type": "*"}], **more}


def test_a_reroute_is_passed_through(all_infos):
    workflow = small()
    workflow["nodes"].append(reroute(90, 91))
    workflow["links"] += [[91, 2, 0, 90, 0, "MODEL"], [92, 90, 0, 5, 0, "MODEL"]]
    workflow["nodes"][4]["inputs"][0]["link"] = 92
    assert bare(convert(workflow, all_infos)) == bare(convert(small(), all_infos))


def test_a_primitive_node_gives_its_value_and_a_link_wins_over_the_widget(all_infos):
    workflow = small()
    workflow["nodes"].append({"id": 90, "type": "PrimitiveNode", "outputs": [], "widgets_values": [123, "fixed"]})
    workflow["links"].append([91, 90, 0, 5, 7, "INT"])
    (seed,) = [slot for slot in workflow["nodes"][4]["inputs"] if slot["name"] == "seed"]
    seed["link"] = 91
    assert convert(workflow, all_infos)["5"]["inputs"]["seed"] == 123


def test_a_muted_node_is_left_out_and_a_bypassed_one_passes_on(all_infos):
    muted = convert(small(node4={"mode": 2}), all_infos)
    assert "4" not in muted and "memory" not in muted["5"]["inputs"]
    lora = {
        "id": 90,
        "type": "LoraLoaderModelOnly",
        "mode": 4,
        "widgets_values": ["x", 1.0],
        "outputs": [{"name": "MODEL", "type": "MODEL"}],
    }
    lora["inputs"] = [{"name": "model", "type": "MODEL", "link": 91}]
    workflow = small()
    workflow["nodes"].append(lora)
    workflow["links"] += [[91, 2, 0, 90, 0, "MODEL"], [92, 90, 0, 5, 0, "MODEL"]]
    workflow["nodes"][4]["inputs"][0]["link"] = 92
    assert convert(workflow, all_infos)["5"]["inputs"]["model"] == ["2", 0]


def test_widgets_of_a_chosen_preset_follow_it(all_infos):
    values = ["Custom", "fifo", 5, 2, 1, 3, 6, "auto", True, "fp8"]
    inputs = convert(small(node4={"widgets_values": values}), all_infos)["4"]["inputs"]
    assert inputs["preset"] == "Custom" and inputs["preset.retrieval"] == "fifo" and inputs["cache"] == "fp8"
    # those that came later than the file have their defaults
    assert inputs["bank_keys"] == "auto" and inputs["archive"] == "auto"


def test_values_by_name_and_values_that_lack(all_infos):
    by_name = convert(small(node5={"widgets_values": {"seed": 7, "length": 33}}), all_infos)["5"]["inputs"]
    assert by_name["seed"] == 7 and by_name["length"] == 33
    old = convert(small(node5={"widgets_values": [7, "fixed", 64, 64, 33]}), all_infos)["5"]["inputs"]
    assert old["length"] == 33 and old["fps"] == 16.0 and old["steps"] == "1000, 750, 500, 250"


def test_choices_in_braces_are_made_as_on_the_page(all_infos):
    text = "0s: a {red|blue} robot // a note\n4s: \\{kept\\}"
    inputs = convert(small(node3={"widgets_values": [text, ""]}), all_infos)["3"]["inputs"]
    assert inputs["prompts"] == "0s: a red robot \n4s: {kept}"
