"""MemFlow Load Control and MemFlow Control on the tiny model, with control weights of random numbers."""

from __future__ import annotations

import json
import struct

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from memflow_core.config import ModelConfig
from memflow_core.model import WanControl
from memflow_core.weights import read_generator
from tests.nodes.graphs import GHOSTS, NODE, QUICK, graph_of, steered

KEPT = {**QUICK, "keep_moments_gb": 1.0}


def weights(config: ModelConfig, blocks: int, channels: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(8)
    tree = WanControl(config, blocks, channels)
    return {key: tensor.detach().clone() for key, tensor in tree.state_dict().items()}


@pytest.fixture(scope="module")
def config(generator_file) -> ModelConfig:
    return read_generator(generator_file).config


@pytest.fixture
def load(tiny, config, tmp_path, monkeypatch):
    """load(model, blocks, channels): the model with control weights beside it, by the node."""
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(tmp_path)], {".safetensors"}))

    def run(model=tiny.model, blocks=1, channels=2 * config.in_channels + 64, **sizes):
        sized = ModelConfig(**{**config.__dict__, **sizes})
        save_file(weights(sized, blocks, channels), tmp_path / "module.safetensors")
        return tiny.nodes.control.MemFlowLoadControl.execute(model, "module.safetensors").result[0]

    return run


@pytest.fixture
def control(tiny):
    """control(pictures, **widgets): a control, by the node."""
    usual = {"strength": 1.0, "start": "0s", "end": "", "use": "steer"}
    node = tiny.nodes.control.MemFlowControl
    return lambda pictures, **more: node.execute(**({"vae": tiny.vae, "pictures": pictures} | usual | more)).result[0]


def pictures(count: int, seed: int = 2, side: int = 64) -> torch.Tensor:
    return torch.rand(count, side, side, 3, generator=torch.Generator().manual_seed(seed))


def film(path, count: int = 30, rate: int = 8):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            frame = np.full((64, 64, 3), number * 8 % 256, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


def test_a_story_is_steered_where_its_control_is(tiny, load, control):
    model = load()
    free, _, _ = tiny.sample(model=tiny.model)
    carried, _, report = tiny.sample(model=model)
    # control weights that nothing uses change nothing
    assert torch.equal(carried, free)
    assert any("no control is connected" in sentence for sentence in json.loads(report)["told"])
    steered, _, report = tiny.sample(model=model, control=control(pictures(40), start="1c", end="3c"))
    assert not any("control" in sentence.lower() for sentence in json.loads(report)["told"])
    assert torch.equal(steered[:, :, :3], free[:, :, :3])
    assert not torch.allclose(steered[:, :, 3:6], free[:, :, 3:6], atol=1e-3)


def test_strength_0_is_no_control(tiny, load, control):
    model = load()
    none, _, _ = tiny.sample(model=model, control=control(pictures(40), strength=0.0))
    assert torch.equal(none, tiny.sample(model=tiny.model)[0])


def test_a_run_goes_on_from_a_state_as_if_it_had_not_stopped(tiny, load, control):
    model, steer = load(), control(pictures(60), end="4c")
    whole, _, _ = tiny.sample(model=model, control=steer, length=45)
    first, state, _ = tiny.sample(model=model, control=steer, length=21)
    assert any(name.startswith("control.") for name in state.stream.tensors)
    second, _, _ = tiny.sample(model=model, control=steer, length=24, state=state)
    assert torch.equal(torch.cat((first, second), dim=2), whole)


def test_a_state_under_another_control_is_refused_and_one_without_any_is_told(tiny, load, control):
    model = load()
    _, state, _ = tiny.sample(model=model, control=control(pictures(60), end="4c"), length=21)
    with pytest.raises(Exception, match="made under another control: up to video frame 21") as refusal:
        tiny.sample(model=model, control=control(pictures(60, seed=3)), length=24, state=state)
    assert "\n" not in str(refusal.value)
    tiny.sample(model=model, control=control(pictures(60, seed=3), start="21"), length=12, state=state)
    told = json.loads(tiny.sample(model=model, length=12, state=state)[2])["told"]
    assert [sentence.split(",")[0] for sentence in told if "control" in sentence] == [
        "The state was made under control"
    ]


def test_controls_follow_one_another(tiny, load, control):
    model = load()
    first = control(pictures(60), end="1s")
    both = control(pictures(60, seed=3), start="1s", control=first)
    one, _, _ = tiny.sample(model=model, control=first)
    two, _, report = tiny.sample(model=model, control=both)
    assert torch.equal(one[:, :, :3], two[:, :, :3])
    assert not torch.equal(one, two)
    estimate = json.loads(report)["estimate"]
    assert estimate["steered"] == estimate["denoise"] == 8
    assert estimate["control_bytes"] > 0


def test_a_film_is_read_at_the_frame_rate_of_the_story(pack, tmp_path):
    from comfy_api.latest import InputImpl

    video = InputImpl.VideoFromFile(str(film(tmp_path / "film.mp4")))
    reader = pack.nodes.host.VideoReader(video, fps=16)
    there = [round(float(picture.mean()) * 255 / 8) for picture in reader.read(0, 10)]
    # twice as many as the film has: each is shown twice, to the nearest
    assert there == [int(number / 2 + 0.5) for number in range(10)]
    # from another place, and back
    assert round(float(reader.read(40, 1).mean()) * 255 / 8) == 20
    assert round(float(reader.read(4, 1).mean()) * 255 / 8) == 2
    assert len(reader.read(50, 100)) == 9
    assert len(reader.read(500, 4)) == 0


TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("degrees", TURNS)
def test_a_clip_that_was_filmed_upright_is_read_upright(pack, tmp_path, degrees):
    """As phones write it: the frames lie on their side, and the track says how they are to be turned."""
    from comfy_api.latest import InputImpl

    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=16)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:24, :32] = 255
        for _ in range(4):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    a, b, c, d = (number * 2**16 for number in TURNS[degrees])
    content = bytearray(path.read_bytes())
    # the matrix of a track header of version 0
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(content)
    video = InputImpl.VideoFromFile(str(path))
    read, expected = pack.nodes.host.VideoReader(video, fps=16).read(0, 4), video.get_components().images
    assert read.shape == expected.shape and (read.shape[1] > read.shape[2]) == (degrees != 180)
    torch.testing.assert_close(read, expected, rtol=0, atol=0.03)


def test_a_film_and_its_frames_steer_alike(tiny, pack, load, control, tmp_path):
    from comfy_api.latest import InputImpl

    model = load()
    video = InputImpl.VideoFromFile(str(film(tmp_path / "film.mp4", rate=16)))
    frames = video.get_components().images
    by_film, _, _ = tiny.sample(model=model, control=control(video))
    by_frames, _, _ = tiny.sample(model=model, control=control(frames))
    torch.testing.assert_close(by_film, by_frames, rtol=0, atol=0.05)


def test_a_mask_has_the_say(tiny, load, control):
    model = load()
    given = pictures(60)
    made, _, _ = tiny.sample(model=model, control=control(given), length=9)
    white, _, _ = tiny.sample(model=model, control=control(given, mask=torch.ones(1, 32, 32)), length=9)
    black, _, _ = tiny.sample(model=model, control=control(given, mask=torch.zeros(60, 64, 64)), length=9)
    shown, _, _ = tiny.sample(model=model, control=control(given, use="show"), length=9)
    assert torch.equal(made, white)
    assert torch.equal(black, shown)
    assert not torch.allclose(black, white, atol=1e-3)


def test_what_steers_is_what_comfyui_makes_of_it(tiny, pack, control):
    """The first chunk's latents and mask are those of WanVaceToVideo, with a first and a last picture."""
    from comfy_extras.nodes_wan import WanVaceToVideo

    controls = pack.nodes.run.controls
    given = torch.full((9, 64, 64, 3), 0.5)
    given[0], given[8] = pictures(2)
    mask = torch.ones(9, 64, 64)
    mask[0] = mask[8] = 0
    text = [[torch.zeros(1, 4, 4), {}]]
    made = WanVaceToVideo.execute(text, text, tiny.vae, 64, 64, 9, 1, 1.0, given, mask).result[0][0][1]
    model = tiny.model.model
    expected = [
        model.process_latent_in(part) for part in made["vace_frames"][0].split(model.latent_format.latent_channels, 1)
    ]
    first = control(pictures(2)[:1], use="show", end="1")
    both = control(pictures(2)[1:], use="show", start="8", control=first)
    shape, grid = pack.memflow_core.config.LatentShape(8, 8), pack.memflow_core.schedule.ChunkGrid()
    found = controls.control_track(both, tiny.model, shape, grid, 4).of_chunk(0)
    torch.testing.assert_close(found.context, torch.cat((*expected, made["vace_mask"][0]), 1), rtol=0, atol=1e-5)


def test_a_video_is_remade_without_control_weights(tiny, control):
    """The more of it stays, the nearer to its latents is what is made; passes are left out, and the plan knows."""
    scene, _, _ = tiny.sample(schedule=tiny.schedule("0s: a robot walks in the meadow"), seed=3, length=21)
    video = tiny.vae.decode(scene)[0]
    far, passes = [], []
    for strength in (0.0, 0.4, 1.0):
        use = {"use": "remake", "strength": strength}
        made, _, report = tiny.sample(control=control(video, **use), steps="1000, 750, 500, 250", length=21)
        told = json.loads(report)
        far.append(float((made - scene).abs().mean()))
        passes.append(told["forwards"]["denoise"])
        assert told["estimate"]["denoise"] == passes[-1]
    assert far[0] > far[1] > far[2]
    assert passes == [8, 6, 2]


def test_weights_that_nothing_uses_take_no_room(tiny, load, control, monkeypatch):
    """Neither are they loaded, nor counted."""
    import comfy.model_management as management

    model, given = load(), pictures(60)
    weights = tiny.nodes.host.control_of(model)
    loaded: list = []
    monkeypatch.setattr(management, "load_models_gpu", lambda models, **_: loaded.extend(models))
    sizes = []
    for more in ({"use": "remake"}, {"strength": 0.0}, {}):
        loaded.clear()
        report = json.loads(tiny.sample(model=model, control=control(given, **more), length=9, steps="1000, 500")[2])
        sizes.append(report["estimate"]["control_weight_bytes"])
        assert any(patcher is weights for patcher in loaded) == (not more)
    assert sizes[0] == sizes[1] < sizes[2]


def test_a_remake_too_weak_to_keep_anything_is_refused(tiny, control):
    with pytest.raises(Exception, match=r"strength 0.1, but .* 4 steps .* at least 0.17, more steps, or 0"):
        tiny.sample(control=control(pictures(60), use="remake", strength=0.1), steps="1000, 750, 500, 250")
    tiny.sample(control=control(pictures(60), use="remake", strength=0.17), steps="1000, 750, 500, 250", length=9)


def test_one_step_leaves_nothing_to_remake(tiny, control):
    with pytest.raises(Exception, match="use at least 2 steps"):
        tiny.sample(control=control(pictures(60), use="remake"), steps="1000")


REFUSED_PICTURES = {
    "no pictures": (torch.empty(0, 64, 64, 3), {}, "at least one"),
    "NaN": (torch.full((2, 64, 64, 3), torch.nan), {}, "NaN or infinity"),
    "one channel": (torch.zeros(2, 64, 64, 1), {}, "must be"),
    "a mask of NaN": (pictures(2), {"mask": torch.full((1, 4, 4), torch.nan)}, "mask holds NaN"),
    "a mask of colours": (pictures(2), {"mask": torch.zeros(1, 3, 4, 4)}, "mask has shape"),
    "more than all of it": (pictures(2), {"use": "remake", "strength": 2.0}, "has strength 2, but"),
    "stronger than any": (pictures(2), {"strength": 11.0}, "from 0 to 10"),
    "weaker than none": (pictures(2), {"strength": -1.0}, "from 0 to 10"),
    "a mask to remake": (pictures(2), {"use": "remake", "mask": torch.ones(1, 4, 4)}, "has a mask, but"),
    "no time": (pictures(2), {"start": "soon"}, "is no time"),
    "an end that is none": (pictures(2), {"end": "10x"}, "unknown"),
}


@pytest.mark.parametrize("name", REFUSED_PICTURES)
def test_what_is_no_control_is_refused_in_one_sentence(control, name):
    given, more, words = REFUSED_PICTURES[name]
    with pytest.raises(Exception, match=words) as refusal:
        control(given, **more)
    assert "\n" not in str(refusal.value)


def test_a_control_without_weights_is_refused_before_the_run(tiny, control):
    with pytest.raises(Exception, match="no control weights: put MemFlow Load Control"):
        tiny.sample(control=control(pictures(9)))


def test_two_that_overlap_are_refused_before_the_run(tiny, load, control):
    both = control(pictures(60), start="1s", control=control(pictures(60), end="2s"))
    with pytest.raises(Exception, match="let one end where the next one starts"):
        tiny.sample(model=load(), control=both)


@pytest.mark.parametrize("sizes", [{"blocks": 5}, {"channels": 36}, {"dim": 256}])
def test_weights_of_another_model_are_refused_in_one_sentence(load, sizes):
    with pytest.raises(Exception, match="use control weights that were made for a model of this size"):
        load(**sizes)


def test_times_are_checked_before_anything_runs(tiny):
    node = tiny.nodes.control.MemFlowControl
    assert node.validate_inputs(start="0s", end="") is True
    assert "start: " in node.validate_inputs(start="soon", end="")
    assert "end: " in node.validate_inputs(start=None, end="10x")


def test_a_steered_film_goes_on_from_kept_moments(tiny, stream, load, control, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny.nodes.host, "moments_folder", lambda: tmp_path / "moments")
    model = load()
    text = "0s: a robot walks in the meadow\n2c: an empty beach\n4c: the robot returns to the meadow"
    small = {"model": model, "schedule": tiny.schedule(text), "width": 32, "height": 32, "steps": "1000", "length": 69}

    def steered(seed: int):
        first = control(pictures(80, side=32), end="40")
        return control(pictures(80, seed=seed, side=32), start="50", control=first)

    *_, whole = stream(**small, control=steered(5), keep_moments_gb=1.0)
    assert whole["rendered_from"]["chunk"] == 0
    _, state, report = stream(**small, control=steered(5), keep_moments_gb=1.0)
    assert report["rendered_from"]["chunk"] == 4
    _, other, fresh = stream(**small, control=steered(5))
    assert all(torch.equal(state.stream.tensors[name], tensor) for name, tensor in other.stream.tensors.items())
    # the second control starts in the last part; the first one counts from the start
    assert stream(**small, control=steered(6), keep_moments_gb=1.0)[2]["rendered_from"]["chunk"] == 4
    changed = control(pictures(80, seed=9, side=32), end="40")
    assert stream(**small, control=changed, keep_moments_gb=1.0)[2]["rendered_from"]["chunk"] == 0
    assert fresh["rendered_from"]["chunk"] == 0


FIRST, SECOND = {"end": "1.5s"}, {"start": "4s"}
# chunks begin at 0, 0.56, 1.31, 2.06, 2.81, 3.56, 4.31, 5.06 s; prompts change at chunks 3, 5 and 7
LATER = {
    "nothing": ((FIRST, SECOND), 7),
    "the second's strength": ((FIRST, {**SECOND, "strength": 0.5}), 5),
    "the second's pictures": ((FIRST, {**SECOND, "pictures": "other"}), 5),
    "an earlier second": ((FIRST, {"start": "3s"}), 3),
    "no second": ((FIRST,), 5),
    "the first's pictures": (({**FIRST, "pictures": "other"}, SECOND), 0),
    "a third after the end": ((FIRST, {**SECOND, "end": "9s"}, {"start": "9s"}), 7),
}


@pytest.fixture
def steered_film(tiny, stream, load, control, kept_folder, monkeypatch):
    """steered_film(*controls) -> (what the plan promises to be kept, where the run goes on from), of a graph."""
    model, seeds = load(), {"dance": 2, "other": 3}
    schedule, memory = tiny.schedule(GHOSTS), tiny.memory()

    def make(*controls) -> tuple[int, int]:
        graph = steered(*({"pictures": "dance", **values} for values in controls), graph=graph_of(KEPT))
        last = None
        for values in controls:
            given = pictures(100, seed=seeds[values.get("pictures", "dance")], side=32)
            last = control(given, control=last, **{name: values[name] for name in values if name != "pictures"})
        known = tiny.nodes.run.known
        told = [{name: values[name] for name in values if name != "pictures"} for values in controls]
        body = {"schedule": GHOSTS, "model": "tiny", "node": NODE, "graph": graph, "control": told}
        body["memory"] = {"preset": "Story"}
        body |= {name: KEPT[name] for name in ("width", "height", "length", "fps", "steps")}
        status, plan = tiny.nodes.api.plan.answer(json.dumps(body).encode())
        assert status == 200 and "error" not in plan, plan
        with monkeypatch.context() as patch:
            node = tiny.nodes.stream_to_video
            patch.setattr(node, "known_by", lambda _, request: known.known_story(graph, NODE, request.positions))
            report = stream(model=model, schedule=schedule, memory=memory, control=last, **KEPT)[2]
        return plan["kept"]["chunk"], report["rendered_from"]["chunk"]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", LATER)
def test_a_film_keeps_its_start_where_a_later_control_is_another_and_the_plan_says_so(steered_film, name):
    controls, chunk = LATER[name]
    assert steered_film(FIRST, SECOND) == (0, 0)
    assert steered_film(*controls) == (chunk, chunk)
