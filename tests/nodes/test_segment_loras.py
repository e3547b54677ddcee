"""`[lora NAME 0.8]` in a schedule: files, weights of a segment, and the model's own weights after a run."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

PROMPTS = ("a robot walks in the meadow", "an empty beach", "the robot returns to the meadow")
PLAIN = "0s: {0}\n0.75s: {1}\n1.5s: {2}"
# the second prompt starts at the third chunk, the third at the fourth
WITH = "0s: {0}\n0.75s [lora NAME]: {1}\n1.5s: {2}"


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A folder of ComfyUI's with a LoRA for two matrices of the model, in three names."""
    import folder_paths

    folder = tmp_path_factory.mktemp("loras")
    folder_paths.add_model_folder_path("loras", str(folder), is_default=True)
    random, halves = torch.Generator().manual_seed(5), {}
    for target in ("blocks.0.self_attn.q", "blocks.1.cross_attn.v"):
        rows, columns = tiny.model.model.state_dict()[f"diffusion_model.{target}.weight"].shape
        halves[f"{target}.lora_A"] = torch.randn(4, columns, generator=random) / 4
        halves[f"{target}.lora_B"] = torch.randn(rows, 4, generator=random) / 4
    comfy = {f"diffusion_model.{name}.weight": half for name, half in halves.items()}
    for name in ("segment_ink", "ink one/segment_wash", "ink two/segment_wash"):
        (folder / name).parent.mkdir(exist_ok=True)
        save_file(comfy, folder / f"{name}.safetensors")
    save_file({**comfy, "lora_te_layer.lora_A.weight": torch.ones(1)}, folder / "segment_words.safetensors")
    torch.save({f"base_model.model.{k}.default.weight": v for k, v in halves.items()}, folder / "segment_peft.pt")
    (folder / "segment_broken.safetensors").write_bytes(b"no LoRA at all")
    return folder


@pytest.fixture
def run(tiny, folder):
    """run(text, **changes) -> latents by chunk, state, report."""

    def sample(text: str, name: str = "", **changes):
        schedule = tiny.schedule(text.replace("NAME", name).format(*PROMPTS))
        latents, state, report = tiny.sample(schedule=schedule, **changes)
        return latents.split(3, dim=2), state, json.loads(report)

    return sample


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.model.state_dict().items()}


def same(a, b) -> list[bool]:
    return [torch.equal(x, y) for x, y in zip(a, b, strict=True)]


def test_a_lora_holds_for_its_segment_and_strength_0_is_none(run, tiny):
    before = weights_of(tiny.model)
    plain, made = run(PLAIN)[0], run(WITH, "segment_ink 0.8")
    assert same(plain, made[0]) == [True, True, False, False]
    assert "LoRAs of segments: segment_ink 0.8 (0.75 s)." in made[2]["told"]
    none = run(WITH, "segment_ink 0")
    assert all(same(plain, none[0])) and none[1].stream.weights == set()
    after = weights_of(tiny.model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_it_is_the_lora_that_a_hook_on_the_conditioning_is(run, tiny, folder):
    import comfy.hooks
    import comfy.utils

    made = run("0s [lora segment_ink 0.5]: {0}", length=9)[0]
    lora = comfy.utils.load_torch_file(str(folder / "segment_ink.safetensors"))
    words = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize(PROMPTS[0]))
    hooked = comfy.hooks.set_hooks_for_conditioning(words, comfy.hooks.create_hook_lora(lora, 0.5, 0.0))
    schedule = tiny.nodes.prompts.MemFlowPromptSegment.execute(hooked, 0.0, "seconds", "recache", None).result[0]
    assert all(same(made, tiny.sample(schedule=schedule, length=9)[0].split(3, dim=2)))
    # files of the published programs have other names
    published = run("0s [lora segment_peft.pt 0.5]: {0}", length=9)[0]
    assert max(float((a - b).abs().max()) for a, b in zip(made, published, strict=True)) < 1e-5


def test_the_same_prompt_with_another_strength_is_another_segment(run):
    story = "0s [lora segment_ink 1]: {0}\n0.75s [soft] [lora segment_ink 0.2]: {0}\n1.5s [soft]: {0}"
    latents, state, report = run(story)
    assert len(report["plan"]["segments"]) == 3 and state.stream.weights
    assert [one.get("loras") for one in report["plan"]["segments"]] == [
        [["segment_ink", 1]],
        [["segment_ink", 0.2]],
        None,
    ]
    assert all(same(latents, run(report["played"].replace("{", "{{").replace("}", "}}"))[0]))


def test_a_state_goes_on_under_its_lora(run):
    whole = run("0s [lora segment_ink 0.8]: {0}")
    head = run("0s [lora segment_ink 0.8]: {0}", length=33)
    rest = run("0s [lora segment_ink 0.8]: {0}", length=12, state=head[1])
    assert all(same(whole[0][-1:], rest[0]))
    bare = run("0s: {0}", length=12, state=head[1])
    assert "The state was made under LoRA hooks that the schedule lacks: it goes on without them." in bare[2]["told"]


def test_kept_moments_know_the_lora(tiny, run, kept_folder, stream):
    small = {"width": 32, "height": 32, "steps": "1000", "keep_moments_gb": 1.0}

    def film(text):
        return stream(schedule=tiny.schedule(text.format(*PROMPTS)), **small)[2]

    film(PLAIN)
    other = film(WITH.replace("NAME", "segment_ink 0.8"))
    assert other["rendered_from"]["chunk"] == 2
    assert film(WITH.replace("NAME", "segment_ink 0.8"))["rendered_from"]["chunk"] == 3
    assert film(WITH.replace("NAME", "segment_ink 0.4"))["rendered_from"]["chunk"] == 2
    assert film(WITH.replace("NAME", "segment_ink 0"))["rendered_from"]["chunk"] == 3


@pytest.mark.parametrize("how", ["cancel", "error"])
def test_weights_are_the_files_again_after_a_run_that_broke_off(run, tiny, monkeypatch, how):
    import comfy.model_management

    before, plain = weights_of(tiny.model), run(PLAIN)[0]
    error = comfy.model_management.InterruptProcessingException() if how == "cancel" else RuntimeError("no")
    player = tiny.nodes.run.session
    real = player.play

    def broken(*args, **kwargs):
        for chunk in real(*args, **kwargs):
            if chunk.index == 2:
                raise error
            yield chunk

    with monkeypatch.context() as patch:
        patch.setattr(player, "play", broken)
        with pytest.raises(type(error)):
            run(WITH, "segment_ink 1")
    after = weights_of(tiny.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(same(plain, run(PLAIN)[0]))


UNKNOWN = {
    "a name that is near": (
        "segment_inc",
        "no LoRA 'segment_inc' in models/loras: did you mean 'segment_ink.safetensors'",
    ),
    "a name that no file is near": ("xyzzy", "there is no LoRA 'xyzzy' in models/loras: there are"),
    "a name of several": (
        "segment_wash",
        "may be any of .*ink one/segment_wash.*: write the LoRA's name with its folder",
    ),
    "a path": ("../../secret", "there is no LoRA '../../secret'"),
}


@pytest.mark.parametrize("name, message", UNKNOWN.values(), ids=list(UNKNOWN))
def test_a_name_without_a_file_is_refused_before_anything_runs(tiny, folder, name, message):
    import re

    text = f"0s: a robot walks\n4s [lora {name} 1]: an empty beach"
    node = tiny.nodes.prompts.MemFlowPromptSchedule
    refused = node.validate_inputs(prompts=text, story=1)
    assert isinstance(refused, str) and re.search(f"segment 2: .*{message}", refused)
    with pytest.raises(ValueError, match=message):
        node.execute(None, text)
    body = {"schedule": text, "model": "tiny", "length": 97, "fps": 16, "width": 64, "height": 64, "steps": "4"}
    status, answer = tiny.nodes.api.plan.answer(json.dumps(body).encode())
    assert status == 200 and re.search(message, answer["error"])


@pytest.mark.parametrize(
    "name", ["segment_ink", "segment_ink.safetensors", "ink one/segment_wash", "ink two\\segment_wash"]
)
def test_a_name_may_leave_out_what_is_plain(tiny, folder, name):
    text = f"0s [lora {name}]: a robot walks in the meadow"
    assert tiny.nodes.prompts.MemFlowPromptSchedule.validate_inputs(prompts=text, story=1) is True
    assert len(tiny.schedule(text).hooks_by_name) == 1


def test_what_of_a_file_cannot_be_used_is_told_or_refused(tiny, run, folder):
    told = run("0s [lora segment_words 1]: {0}", length=9)[2]["told"]
    assert any("weights for the text encoder in segment_words.safetensors is not used" in sentence for sentence in told)
    with pytest.raises(ValueError, match="segment_broken.safetensors cannot be read as a LoRA"):
        tiny.schedule("0s [lora segment_broken]: a robot walks in the meadow")


def test_a_live_prompt_keeps_the_lora_that_it_is_put_under(run, tiny, folder):
    schedule = tiny.schedule("0s [lora segment_ink 0.8]: " + PROMPTS[0])
    core = tiny.nodes.host.loras.PromptSchedule.__module__.rpartition(".memflow_core")[0]
    play = __import__(f"{core}.memflow_core.play", fromlist=["EncodedSchedule"])
    grid = __import__(f"{core}.memflow_core.schedule", fromlist=["ChunkGrid"])
    plan = schedule.prompts.place(grid.ChunkGrid(), grid.Time(6, "chunks"))
    told = play.EncodedSchedule(schedule.prompts, plan, schedule.embeddings, schedule.weights)
    new = told.with_prompt(3, PROMPTS[1], "cut", schedule.embeddings[0])
    assert [len(one.loras) for one in new.played().segments] == [1, 1] and new.weights[0] == new.weights[1]
    with pytest.raises(ValueError, match="asks for LoRA 'segment_ink'"):
        play.EncodedSchedule(schedule.prompts, plan, schedule.embeddings)
