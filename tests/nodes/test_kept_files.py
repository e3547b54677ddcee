"""Kept files of the nodes: state files, reports and played schedules of earlier code do today what they did then.

How the files were made, and why they are not made anew: tests/golden/kept/make.py. Nodes are asked for by their ids and
given values by their inputs' names, as ComfyUI does it. The numbers are those of a CPU.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.on_cpu import on_cpu
from tools.load_pack import node_classes

KEPT = Path(__file__).resolve().parents[1] / "golden" / "kept" / "nodes"
INPUTS = json.loads((KEPT / "inputs.json").read_text())
NEAR = {"rtol": 1e-4, "atol": 1e-4}

every_content = pytest.mark.parametrize("content", ["exact", "compact"])


@pytest.fixture(scope="module")
def run(pack):
    """run(node id, **inputs) -> its outputs."""
    nodes = node_classes(pack)

    def call(name: str, **inputs) -> tuple:
        return nodes[name].PREPARE_CLASS_CLONE(None).execute(**inputs).result

    return call


@pytest.fixture(scope="module")
def tiny_model(run):
    """Model, text encoder and VAE of the tiny story model."""
    return run("MemFlowTinyStory")


@pytest.fixture(scope="module")
def inputs_of(run, tiny_model):
    """inputs_of(name of sizes and steps, prompts) -> the inputs of a sampling node for the whole tale."""
    model, clip, _ = tiny_model
    (memory,) = run("MemFlowMemory", **INPUTS["memory"])

    def inputs(sizes: str, prompts: str = INPUTS["tale"]["prompts"], **more) -> dict:
        (schedule,) = run("MemFlowPromptSchedule", clip=clip, prompts=prompts, global_prompt="")
        return {"model": model, "memory": memory, "schedule": schedule, **INPUTS[sizes], **more}

    return inputs


@pytest.fixture
def folders(pack, tmp_path, monkeypatch):
    """ComfyUI's folders, with the kept state files in the input folder."""
    import folder_paths

    for name in ("output", "input"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    for file in KEPT.glob("state_*.safetensors"):
        shutil.copy(file, tmp_path / "input")
    return tmp_path


@pytest.fixture
def loaded(run, folders):
    """loaded(content) -> state and info."""
    return lambda content: run("MemFlowLoadState", file=f"state_{content}.safetensors")


def assert_alike(made, kept) -> None:
    """The same JSON: decisions exactly, scores nearly. There may be more to read than there was."""
    if isinstance(kept, dict):
        assert kept.keys() <= made.keys()
        for key in kept:
            assert_alike(made[key], kept[key])
    elif isinstance(kept, list):
        assert len(made) == len(kept)
        for one, other in zip(made, kept, strict=True):
            assert_alike(one, other)
    else:
        assert made == (pytest.approx(kept, rel=1e-3, abs=1e-4) if isinstance(kept, float) else kept)


@every_content
def test_load_state_says_what_it_said(loaded, content):
    assert loaded(content)[1] == json.loads((KEPT / "state_infos.json").read_text())[content]


@on_cpu
@every_content
def test_a_kept_state_goes_on_to_the_same_latents(run, inputs_of, loaded, content):
    inputs = inputs_of("story", length=INPUTS["more_length"], state=loaded(content)[0])
    made = run("MemFlowSampler", **inputs)[0]["samples"]
    torch.testing.assert_close(made, load_file(KEPT / "states_after.safetensors")[f"{content}.latents"], **NEAR)


@pytest.fixture
def encoded(pack, monkeypatch) -> list:
    """Pictures [F, H, W, 3] as they went to the encoder, write by write, and "end" for each part's end."""
    writer = pack.memflow_core.video.VideoWriter
    write, end_part, seen = writer.write, writer.end_part, []
    monkeypatch.setattr(writer, "write", lambda self, frames: (seen.append(frames.clone()), write(self, frames))[1])
    monkeypatch.setattr(writer, "end_part", lambda self: (seen.append("end"), end_part(self))[1])
    return seen


def decibels(made, true) -> float:
    """Peak signal-to-noise ratio of pictures from 0 to 255."""
    return 10 * float(torch.log10(255**2 / ((made - true) ** 2).mean()))


@on_cpu
@every_content
def test_a_kept_state_goes_on_to_the_same_video(run, tiny_model, inputs_of, loaded, content, encoded):
    """With the decoder's carry of an exact state; a compact one reads its newest pictures again."""
    inputs = inputs_of(
        "story", length=INPUTS["more_length"], state=loaded(content)[0], vae=tiny_model[2], **INPUTS["video"]
    )
    video, _, report, _ = run("MemFlowStreamToVideo", **inputs)
    made = video.get_components().images * 255
    kept = load_file(KEPT / "states_after.safetensors")[f"{content}.frames"].float()
    true = torch.cat([frames for frames in encoded if isinstance(frames, torch.Tensor)]).float()
    # the same pictures, through an encoder that may be another build
    assert made.shape == kept.shape == true.shape
    assert decibels(kept, true) > 36
    # up to the next prompt in the same manner, too; there one encoder went on, where another one starts today
    assert [len(item) for item in encoded if item != "end"] == [12, 12, 12] and encoded[3] == "end"
    assert (made - kept)[:24].abs().mean() < 0.6 and (made - kept)[:24].abs().max() < 6
    assert decibels(made[24:], true[24:]) > decibels(kept[24:], true[24:]) - 0.5
    assert set(json.loads((KEPT / "video_report_keys.json").read_text())) <= set(json.loads(report))


@pytest.mark.parametrize(("content", "form"), [("exact", "exact"), ("exact", "compact"), ("compact", "compact")])
def test_a_kept_state_is_saved_again_as_it_was(run, loaded, folders, content, form):
    """Every tensor of the file, the decoder's carry of an exact one among them."""
    (name,) = run("MemFlowSaveState", state=loaded(content)[0], filename_prefix="again", content=form)
    saved = load_file(folders / "output" / name.removesuffix(" [output]"))
    kept = load_file(KEPT / f"state_{form}.safetensors")
    assert saved.keys() == kept.keys()
    assert all(torch.equal(saved[part], tensor) for part, tensor in kept.items())


def test_a_state_of_version_1_is_loaded_and_saved_again_but_not_as_compact(run, folders):
    shutil.copy(KEPT.parent / "core" / "v1_prompt.safetensors", folders / "input")
    state, info = run("MemFlowLoadState", file="v1_prompt.safetensors")
    assert info.startswith("93 video frames made, 32 x 16") and info.endswith("retrieval prompt, exact")
    with pytest.raises(ValueError, match="of version 1.*save it as exact"):
        run("MemFlowSaveState", state=state, filename_prefix="old", content="compact")
    (name,) = run("MemFlowSaveState", state=state, filename_prefix="old", content="exact")
    assert run("MemFlowLoadState", file=name)[1] == info


@pytest.mark.parametrize("rows", ["chunks", "prompts"])
def test_memory_view_draws_a_kept_report_as_it_did(run, rows):
    sheet, text = run("MemFlowMemoryView", report=(KEPT / "report.json").read_text(), rows=rows)
    assert_alike(json.loads(text), json.loads((KEPT / "view.json").read_text()))
    drawn = Image.open(KEPT / f"sheet_{rows}.png").convert("RGB")
    kept, made = np.asarray(drawn, dtype=np.float32), sheet[0].numpy() * 255
    # the kept picture has few colours
    assert made.shape == kept.shape and np.abs(made - kept).mean() < 2


@on_cpu
def test_a_kept_schedule_that_was_played_plays_the_same(run, inputs_of):
    """The same plan, memory, forwards and latents, and it is written again as the same text."""
    played = (KEPT / "played.txt").read_text()
    inputs = inputs_of("larger", played, length=INPUTS["tale_length"])
    latent, _, report, again = run("MemFlowSampler", **inputs)
    assert again == played
    torch.testing.assert_close(latent["samples"], load_file(KEPT / "tale.safetensors")["latents"], **NEAR)
    assert_alike(json.loads(report), json.loads((KEPT / "report.json").read_text()))


@on_cpu
def test_the_tale_itself_plays_as_it_did(run, inputs_of):
    latent, _, report, played = run("MemFlowSampler", **inputs_of("larger", length=INPUTS["tale_length"]))
    torch.testing.assert_close(latent["samples"], load_file(KEPT / "tale.safetensors")["latents"], **NEAR)
    assert played == (KEPT / "played.txt").read_text()
    assert_alike(json.loads(report), json.loads((KEPT / "report.json").read_text()))
