"""Control in a running ComfyUI: pictures and a film steer a story on a VACE twin, and what cannot steer is refused."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from memflow_core.config import ModelConfig
from memflow_core.model import WanControl
from memflow_core.render import failure
from memflow_core.state import StreamState
from memflow_core.weights import ASSETS, TINY_GENERATOR, read_generator
from tools.comfy_server import RequestError, output_files

SMALL = {"width": 64, "height": 64, "length": 45, "fps": 16.0, "steps": "1000, 500", "shift": 5.0, "seed": 1606}
FILE = {"filename_prefix": "control/story", "format": "mp4 (h264)", "quality": "high", "save_output": True}
TWIN = "control/wan2.1_vace_1.3B_twin.safetensors"
STORY = "0s: a robot walks in the meadow\n1.3s: an empty beach"


def twin(**sizes: int) -> dict[str, torch.Tensor]:
    """The control part of a VACE model of the tiny model's size, of random numbers."""
    config = ModelConfig(**{**read_generator(ASSETS / TINY_GENERATOR).config.__dict__, **sizes})
    torch.manual_seed(8)
    return {name: tensor.detach().clone() for name, tensor in WanControl(config, 1, 96).state_dict().items()}


@pytest.fixture(scope="module")
def folder(comfy):
    """ComfyUI's folder of models, with a whole VACE twin in ComfyUI's dialect in it."""
    path = comfy.base / "models" / "diffusion_models"
    (path / TWIN).parent.mkdir(parents=True, exist_ok=True)
    whole = {**load_file(ASSETS / TINY_GENERATOR), **twin()}
    save_file({f"model.diffusion_model.{name}": tensor.contiguous() for name, tensor in whole.items()}, path / TWIN)
    yield path
    for file in (path / TWIN).parent.iterdir():
        file.unlink()
    (path / TWIN).parent.rmdir()


@pytest.fixture(scope="module")
def film(comfy):
    """A film in ComfyUI's input folder, and its name there."""
    path = comfy.base / "input" / "control_test.mp4"
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=16)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(50):
            picture = np.full((64, 64, 3), number * 5, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    yield path.name
    path.unlink()


def control(pictures: str = "5", before: str | None = None, **values) -> dict:
    usual = {"vae": ["1", 2], "pictures": [pictures, 0], "strength": 1.0, "start": "0s", "end": "", "use": "steer"}
    link = {} if before is None else {"control": [before, 0]}
    return {"class_type": "MemFlowControl", "inputs": {**usual, **link, **values}}


def graph(weights: str | None = TWIN, last: str | None = "6", nodes: dict | None = None, **values) -> dict:
    """A story under the control `last`; weights: the file of control weights, None for none."""
    made = {
        "1": ("MemFlowTinyStory", {}),
        "2": ("MemFlowPromptSchedule", {"clip": ["1", 1], "prompts": STORY, "global_prompt": ""}),
        "5": ("EmptyImage", {"width": 80, "height": 64, "batch_size": 50, "color": 0xC04020}),
        "9": (
            "MemFlowStreamToVideo",
            {"vae": ["1", 2], "schedule": ["2", 0], "keep_moments_gb": 0.0, **SMALL, **FILE, **values},
        ),
        "10": ("PreviewAny", {"source": ["9", 2]}),
    }
    if weights is not None:
        made["3"] = ("MemFlowLoadControl", {"model": ["1", 0], "control_name": weights})
    made["9"][1]["model"] = ["1" if weights is None else "3", 0]
    if last is not None:
        made["9"][1]["control"] = [last, 0]
    plain = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in made.items()}
    return {**plain, "6": control(), **(nodes or {})}


def made_by(comfy, prompt: dict):
    """Frames of the film, the node's report, and the event of its plan."""
    run = comfy.run(prompt)
    assert failure(run.history) is None, failure(run.history)
    (file,) = output_files(run.history, ".mp4")
    with av.open(str(comfy.path_of(file))) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    report = json.loads(run.history["outputs"]["10"]["text"][0])
    (plan,) = [event["data"] for event in run.events if event["type"] == "memflow.plan"]
    return frames, report, plan


def refusal(comfy, prompt: dict) -> str:
    said = failure(comfy.run(prompt).history)
    assert said and "\n" not in said and "Traceback" not in said, said
    return said


def test_pictures_steer_what_comes_after_their_start(comfy, folder):
    free, report, plan = made_by(comfy, graph(last=None))
    assert plan["controls"] == [] and any("no control is connected" in line for line in report["told"])
    steered, report, plan = made_by(comfy, graph(nodes={"6": control(start="2c", end="40")}))
    assert plan["controls"] == [{"number": 1, "use": "steer", "strength": 1.0, "start_s": 1.3125, "end_s": 2.5}]
    assert (report["estimate"]["steered"], report["estimate"]["steered_seconds"]) == (4, 19 / 16)
    # a decoder looks back alone
    assert np.array_equal(steered[:21], free[:21])
    assert np.abs(steered[24:].astype(int) - free[24:]).mean() > 1
    nothing, *_ = made_by(comfy, graph(nodes={"6": control(strength=0.0)}))
    assert np.array_equal(nothing, free)


def test_a_film_and_a_masked_picture_follow_one_another(comfy, folder, film):
    nodes = {
        "7": {"class_type": "LoadVideo", "inputs": {"file": film}},
        "8": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}},
        "6": control("7", end="2c"),
        "11": control("5", "6", start="2c", use="show", strength=0.7, mask=["8", 0]),
        "12": control("7", "11", start="3c", use="remake"),
    }
    both, report, plan = made_by(comfy, graph(last="12", nodes=nodes))
    assert [(one["use"], one["start_s"]) for one in plan["controls"]] == [
        ("steer", 0.0), ("show", 1.3125), ("remake", 2.0625),
    ]  # fmt: skip
    assert len(both) == SMALL["length"]
    assert report["estimate"]["left_out"] == 1 and report["forwards"]["denoise"] == report["estimate"]["denoise"]
    first, *_ = made_by(comfy, graph(last="6", nodes=nodes))
    assert np.array_equal(first[:21], both[:21]) and not np.array_equal(first, both)


def files_that_are_none(folder) -> dict[str, tuple[bytes | dict, str]]:
    """Contents of files by name, and what is said of each."""
    good = twin()
    whole = (folder / TWIN).read_bytes()
    header = (10**12).to_bytes(8, "little")
    first = "vace_blocks.0.self_attn.q.weight"
    return {
        "cut.safetensors": (whole[: len(whole) // 2], "cut.safetensors"),
        "empty.safetensors": (b"", "empty.safetensors"),
        "bomb.safetensors": (header + b"{}", "bomb.safetensors"),
        "main.safetensors": (load_file(ASSETS / TINY_GENERATOR), "main.safetensors has no control part"),
        "part.safetensors": ({name: good[name] for name in list(good)[:5]}, "has no whole control part: missing"),
        "more.safetensors": ({**good, "vace_blocks.77.before_proj.bias": good[first][0].clone()}, "control part"),
        "shape.safetensors": ({**good, first: good[first][:1].clone()}, "does not fit together"),
        "nan.safetensors": ({**good, first: good[first] * torch.nan}, "NaN or infinity"),
        "fp8.safetensors": ({**good, first: good[first].to(torch.float8_e4m3fn)}, "is quantised"),
        "large.safetensors": (twin(dim=256, num_heads=2), "use control weights that were made for"),
        "code.pt": (b"cos\nsystem\n(S'true'\ntR.", "code.pt"),
    }


def test_files_that_hold_no_control_weights_are_refused_before_the_run(comfy, folder):
    for name, (content, words) in files_that_are_none(folder).items():
        path = folder / "control" / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file({key: tensor.contiguous() for key, tensor in content.items()}, path)
        said = refusal(comfy, graph(f"control/{name}"))
        assert words in said, (name, said)
    # and a VACE model is no model to stream by
    nodes = {"1": {"class_type": "MemFlowTinyStory", "inputs": {}}}
    loader = {"model_name": TWIN, "lora_name": "none", "lora_strength": 1.0, "lora_alpha": 0.0, "weights": "auto"}
    nodes["4"] = {"class_type": "MemFlowLoadModel", "inputs": {**loader, "weight_dtype": "default"}}
    alone = graph(None, last=None, nodes=nodes)
    alone["9"]["inputs"]["model"] = ["4", 0]
    with pytest.raises(RequestError, match="is a VACE model, control weights for another"):
        comfy.run(alone)


# by name: changes of the graph, and what is said
REFUSED = {
    "no weights": ({"weights": None}, "put MemFlow Load Control between the loader and the sampler"),
    "two at once": (
        {"last": "11", "nodes": {"6": control(end="2s"), "11": control(before="6", start="1s")}},
        "let one end where the next one starts",
    ),
    "one step": ({"nodes": {"6": control(use="remake")}, "steps": "1000"}, "use at least 2 steps"),
    "too strong": ({"nodes": {"6": control(use="remake", strength=2.0)}}, "its strength is at most 1"),
    "an end before the start": ({"nodes": {"6": control(start="2s", end="1s")}}, "let it end after it starts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_control_that_cannot_steer_is_refused_before_the_queue_in_one_sentence(comfy, folder, name):
    changes, words = REFUSED[name]
    with pytest.raises(RequestError) as refused:
        comfy.run(graph(**changes))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_time_that_is_none_is_refused_before_the_queue(comfy, folder):
    with pytest.raises(RequestError, match="start: "):
        comfy.run(graph(nodes={"6": control(start="soon")}))


def test_a_state_goes_on_under_its_own_control_alone(comfy, folder, tmp_path):
    save = {"state": ["9", 1], "filename_prefix": "control/story", "content": "exact"}
    nodes = {"20": {"class_type": "MemFlowSaveState", "inputs": save}}
    run = comfy.run(graph(nodes=nodes, length=21))
    assert failure(run.history) is None, failure(run.history)
    (path,) = (comfy.output_dir / "memflow_states" / "control").glob("story*.safetensors")
    name = f"memflow_states/control/{path.name} [output]"

    def go_on(file: str = name, **values) -> dict:
        load = {"21": {"class_type": "MemFlowLoadState", "inputs": {"file": file}}}
        return graph(nodes={**load, "6": control(**values)}, state=["21", 0], length=12)

    made_by(comfy, go_on())
    other = {"5": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 50, "color": 255}}}
    assert "made under another control: up to video frame 21" in refusal(comfy, {**go_on(), **other})
    made_by(comfy, {**go_on(start="21"), **other})
    state = StreamState.load(path)
    carried = [key for key in state.tensors if key.startswith("control.")]
    for broken, change, words in (
        ("nan", lambda tensor: tensor * torch.nan, "NaN or infinity"),
        ("other", lambda tensor: tensor[:, :1].clone(), "encoded with another VAE"),
    ):
        file = path.with_name(f"{broken}.safetensors")
        StreamState(state.tensors | {key: change(state.tensors[key]) for key in carried}, state.meta).save(file)
        assert words in refusal(comfy, go_on(f"memflow_states/control/{broken}.safetensors [output]"))
