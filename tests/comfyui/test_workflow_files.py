"""Every file in `workflows/`: fits the nodes' schemas, and runs over the API with the front end never loaded."""

from __future__ import annotations

import copy
import json
import math
import re
from urllib.parse import urlsplit

import av
import pytest
from PIL import Image

from memflow_core.render import failure
from tools.comfy_host import PACK_NAME, ROOT
from tools.comfy_server import output_files
from tools.make_workflows import text_of
from tools.stories import STORIES
from tools.workflow_graph import workflow_json

FILES = {path.stem: path for path in sorted((ROOT / "workflows").glob("*.json"))}
WORKFLOWS = {name: json.loads(path.read_text()) for name, path in FILES.items()}
NEED_WEIGHTS = {"official_story", "low_vram", "second_device", "causal_framewise", "longlive2_story"}
# chunks of the models that these are for, which the tiny model makes in their place
CHUNKS = {"causal_framewise": 1, "longlive2_story": 8}
# a node that loads real weights -> the outputs of MemFlow Tiny Story Model that stand in for its own
STAND_INS = {"MemFlowLoadModel": 0, "CLIPLoader": 1, "VAELoader": 2}
FASTER = {"node_by_node": 4.0, "picture_to_story": 4.0, "longlive2_story": 8.0, "control_story": 4.0}
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3")

every_workflow = pytest.mark.parametrize("name", FILES)


@pytest.fixture(scope="module")
def schemas(comfy):
    return comfy.get("/object_info")


def test_the_folder_holds_the_stories_that_the_tool_writes(schemas):
    assert set(FILES) == {story.name for story in STORIES}
    for story in STORIES:
        written = text_of(workflow_json(story, schemas))
        assert FILES[story.name].read_text() == written, "run `python -m tools.make_workflows`"


def test_comfyui_offers_them_as_templates_with_small_pictures(comfy):
    assert sorted(comfy.get("/workflow_templates")[PACK_NAME]) == sorted(FILES)
    for path in FILES.values():
        picture = path.with_suffix(".jpg")
        assert picture.stat().st_size <= 30_000
        with Image.open(picture) as opened:
            assert opened.format == "JPEG" and opened.size == (384, 384)


def nodes_of(name: str) -> list[dict]:
    return [node for node in WORKFLOWS[name]["nodes"] if node["type"] != "MarkdownNote"]


def declared(schema: dict) -> dict[str, tuple[str, dict]]:
    """Input name -> (type, options)."""
    given = {}
    for part in ("required", "optional"):
        for name, (kind, *options) in schema["input"].get(part, {}).items():
            given[name] = ("COMBO" if isinstance(kind, list) else kind, options[0] if options else {})
    return given


def widget_names(schema: dict, values: list) -> list[str]:
    """What each of a node's saved values is of, in order."""
    names = []
    for name, (kind, options) in declared(schema).items():
        if kind not in WIDGETS or options.get("forceInput"):
            continue
        names.append(name)
        if kind == "COMFY_DYNAMICCOMBO_V3":
            chosen = next(option for option in options["options"] if option["key"] == values[len(names) - 1])
            names += [f"{name}.{inner}" for inner in declared({"input": chosen["inputs"]})]
        if options.get("control_after_generate"):
            names.append("control_after_generate")
        if options.get("image_upload"):
            names.append("upload")
    return names


@every_workflow
def test_ids_inputs_and_widgets_are_those_of_the_schemas(name, schemas):
    for node in nodes_of(name):
        assert node["type"] in schemas, node["type"]
        schema = schemas[node["type"]]
        names = widget_names(schema, node["widgets_values"])
        assert len(node["widgets_values"]) == len(names), node["type"]
        inputs = [socket["name"] for socket in node["inputs"]]
        known = set(declared(schema)) | set(names) - {"control_after_generate", "upload"}
        assert len(inputs) == len(set(inputs)) and set(inputs) == known, node["type"]
        assert [slot["name"] for slot in node["outputs"]] == schema["output_name"]
        for socket in node["inputs"]:
            needed = socket["name"] in schema["input"].get("required", {}) and "widget" not in socket
            assert not needed or socket["link"] is not None, f"{node['type']}: {socket['name']} is not connected"


@every_workflow
def test_links_join_outputs_to_inputs_of_their_type(name):
    nodes = {node["id"]: node for node in WORKFLOWS[name]["nodes"]}
    links = WORKFLOWS[name]["links"]
    assert [link[0] for link in links] == list(range(1, len(links) + 1))
    for number, source, out, target, into, kind in links:
        slot, socket = nodes[source]["outputs"][out], nodes[target]["inputs"][into]
        assert number in slot["links"] and socket["link"] == number and slot["type"] == kind
        assert kind in socket["type"].split(",") or socket["type"] == "*"


def notes_of(name: str) -> list[dict]:
    return [node for node in WORKFLOWS[name]["nodes"] if node["type"] == "MarkdownNote"]


@every_workflow
def test_each_says_what_it_is_for(name):
    (note,) = [node for node in WORKFLOWS[name]["nodes"] if node.get("title") == "Read me"]
    (text,) = note["widgets_values"]
    assert text.startswith("## ") and "**" in text
    for node in nodes_of(name):
        for model in node["properties"].get("models", ()):
            assert f"[{model['name']}]({model['url']}) | {model['directory']} |" in text and "| in models |" in text
    # Nodes 2.0 draws code in a note blue on grey-brown
    assert not any("`" in note["widgets_values"][0] for note in notes_of(name))


@pytest.mark.parametrize("name", sorted(NEED_WEIGHTS))
def test_loaders_name_their_files_for_the_missing_model_dialog(name, comfy, pack):
    loaders = [node for node in nodes_of(name) if node["type"] in STAND_INS]
    assert len(loaders) == len(STAND_INS)
    folders = comfy.get("/experiment/models")
    for node in loaders:
        named = [value for value in node["widgets_values"] if str(value).endswith((".pt", ".safetensors"))]
        models = node["properties"]["models"]
        assert [model["name"] for model in models] == named
        for model in models:
            # a browser saves it as it is published, so the loader has to know that name too
            other = pack.nodes.host.file_names.PUBLISHED_AS.get((model["directory"], model["name"]), model["name"])
            assert urlsplit(model["url"]).scheme == "https" and model["url"].endswith(f"/{other}")
            # and no other model's file is called so
            assert model["name"] not in ("base.pt", "lora.pt", "model.pt", "model_bf16.pt", "framewise-2step.pt")
            assert model["directory"] in {folder["name"] for folder in folders}
            assert set(model) in ({"name", "url", "directory"}, {"name", "url", "directory", "hash", "hash_type"})
            if "hash" in model:
                assert model["hash_type"] == "SHA256" and re.fullmatch("[0-9a-f]{64}", model["hash"])


def on_the_tiny_model(prompt: dict, chunk: int = 3) -> dict:
    """The prompt with MemFlow Tiny Story Model in the place of loaders, with chunks of that size, and words that it
    knows."""
    made = {id: node for id, node in copy.deepcopy(prompt).items() if node["class_type"] not in STAND_INS}
    inner = {"model": ["tiny", 0], "profile": "auto", "chunk_frames": chunk, "first_steps": ""}
    added = {
        "tiny": {"class_type": "MemFlowTinyStory", "inputs": {}},
        "profile": {"class_type": "MemFlowProfile", "inputs": inner},
    }
    for node in made.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] not in made:
                out = STAND_INS[prompt[value[0]]["class_type"]]
                node["inputs"][name] = ["tiny", out] if out else ["profile", 0]
    made |= added
    for node in made.values():
        if node["class_type"] == "MemFlowPromptSchedule":
            node["inputs"]["prompts"] = tiny_words(node["inputs"]["prompts"])
    return made


def tiny_words(prompts: str) -> str:
    """The same schedule with other words, no prompt like the one before it."""
    words = ("a robot walks in the meadow", "an empty beach")
    lines = [line for line in prompts.splitlines() if not line.startswith("global:")]
    return "\n".join(f"{line.partition(': ')[0]}: {words[number % 2]}" for number, line in enumerate(lines))


def quick(prompt: dict, fps: float) -> dict:
    """The prompt at 64 x 64 with one step and fewer frames a second, so that it plays all of its story."""
    made = copy.deepcopy(prompt)
    for node in made.values():
        inputs = node["inputs"]
        if "steps" in inputs:
            length = min(math.ceil(inputs["length"] * fps / inputs["fps"]), 125 if fps == 2 else 141)
            inputs |= {"width": 64, "height": 64, "steps": "1000", "fps": fps, "length": length}
    return made


class Director:
    """Asks for a prompt in the first chunk of an endless story, and ends it when that is played."""

    def __init__(self, comfy) -> None:
        self.comfy, self.asked, self.finished = comfy, False, False

    def __call__(self, event: dict) -> None:
        data = event["data"]
        if event["type"] != "memflow.live" or data["ended"] or self.finished:
            return
        path = f"/memflow/live/{data['prompt_id']}/{data['node']}"
        if not self.asked:
            self.asked = True
            self.comfy.post(path, {"prompt": "a cat walks into the city"})
        elif any(wish["status"] == "accepted" for wish in data["prompts"]):
            self.finished = True
            self.comfy.post(path, {"action": "finish"})


def played_in(path) -> tuple[int, str]:
    """(frames, what was played) of a video file."""
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0)), container.metadata["memflow_played"]


# tiny_story is run whole by test_story; frames a second at which no two prompts fall into one chunk
@pytest.mark.parametrize(("name", "fps"), [(name, FASTER.get(name, 2.0)) for name in FILES if name != "tiny_story"])
def test_it_runs_over_the_api(name, fps, comfy):
    converted = comfy.convert(WORKFLOWS[name])
    assert any(node["class_type"] in STAND_INS for node in converted.values()) == (name in NEED_WEIGHTS)
    chunk = CHUNKS.get(name, 3)
    prompt = quick(on_the_tiny_model(converted, chunk) if name in NEED_WEIGHTS else converted, fps)
    streams = [node["inputs"] for node in prompt.values() if node["class_type"] == "MemFlowStreamToVideo"]
    endless = [inputs for inputs in streams if inputs["length"] == 0]
    assert bool(endless) == (name == "live_story")
    run = comfy.run(prompt, Director(comfy) if endless else None)
    assert failure(run.history) is None, failure(run.history)
    videos = [comfy.path_of(file) for file in output_files(run.history, ".mp4")]
    assert len(videos) == len(streams)
    contents = {path.name.rpartition("_0")[0]: played_in(path) for path in videos}
    for inputs in streams:
        frames, played = contents[inputs["filename_prefix"].rpartition("/")[2]]
        # rounded up to a whole chunk
        assert inputs in endless or inputs["length"] <= frames < inputs["length"] + 4 * chunk
    if name == "longlive2_story":
        assert played.count("[jump]") == 2
    if name == "official_story":
        assert len(re.findall(r"^\d[^:]*s[^:]*: ", played, re.MULTILINE)) == 6
    if name == "live_story":
        assert "a cat walks into the city" in played
