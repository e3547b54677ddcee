"""Kept moments in the nodes: a changed story is rendered from the change on, its film as of a run from nothing."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
import torch

STORY = """pin hero: 0.5s
0s: a robot walks in the meadow
1.5s: an empty beach
3s [blend 2]: a ghost waits on the beach
4.5s [cut]: a cat stands in the city
6s [hero]: the robot returns to the meadow"""
LENGTH, LAST = 129, 9  # video frames, and the chunk that the last prompt starts at
CHUNKS = 11
SMALL = {"width": 32, "height": 32, "steps": "1000"}
FORMATS = ["mp4 (h264)", "webm (vp9)", "mkv (h264)"]


@pytest.fixture(autouse=True)
def folder(tiny, tmp_path, monkeypatch):
    """The folder of kept moments."""
    place = tmp_path / "moments"
    monkeypatch.setattr(tiny.nodes.host, "moments_folder", lambda: place)
    return place


@pytest.fixture
def film(tiny, stream):
    """film(text, **changes) -> (path, state, report), with a memory whose bank is full soon."""

    def make(text=STORY, gb=1.0, **changes):
        inputs = {
            "schedule": tiny.schedule(text),
            "length": LENGTH,
            "memory": tiny.memory(),
            "keep_moments_gb": gb,
            **SMALL,
        }
        return stream(**inputs | changes)

    return make


def packets_in(path, kind="video"):
    with av.open(path) as file:
        streams = [stream for stream in file.streams if stream.type == kind]
        return [(bytes(p), p.pts) for p in file.demux(streams) if p.size] if streams else []


def frames_in(path):
    with av.open(path) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def assert_same_film(made, fresh, length=LENGTH):
    (path, state, report), (other, others, plain) = made, fresh
    assert packets_in(path) == packets_in(other) and packets_in(path, "audio") == packets_in(other, "audio")
    assert np.array_equal(frames_in(path), frames_in(other))
    for one, two in ((state.decoder, others.decoder), (state.stream.tensors, others.stream.tensors)):
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert report["memory"] == plain["memory"] and report["first_chunk"] == plain["first_chunk"] == 0
    assert report["played"] == plain["played"] and report["video_frames"] == plain["video_frames"]
    assert length is None or report["video_frames"] == length


# what is changed, and the chunk that is rendered first then
CHANGES = {
    "the last prompt": (("the robot returns", "the robot waves"), 9),
    "another take": (("[hero]", "[hero] [seed 3]"), 9),
    "the prompt after a cut": (("a cat stands", "a cat jumps"), 7),
    "a blend": (("blend 2", "blend 3"), 5),
    "a pin": (("0.5s", "0.75s"), 0),
    "the first prompt": (("a robot walks", "a robot jumps"), 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_story_is_rendered_from_the_change_on(film, change):
    (old, new), first = CHANGES[change]
    film()
    changed = STORY.replace(old, new)
    made = film(changed)
    assert made[2]["rendered_from"]["chunk"] == first and (made[2]["resumed_from"] is None) == (first == 0)
    assert made[2]["forwards"]["denoise"] == CHUNKS - first and made[2]["kept"]["told"] == []
    assert_same_film(made, film(changed, gb=0.0))


def test_keeping_changes_nothing(film):
    assert_same_film(film(), film(gb=0.0))


@pytest.mark.parametrize("format", FORMATS)
def test_sound_and_format_go_on_too(film, format):
    audio = {"waveform": torch.rand(1, 2, 50_000) * 2 - 1, "sample_rate": 8000}
    film(format=format, audio=audio)
    changed = STORY.replace("returns", "waves")
    made = film(changed, format=format, audio=audio)
    assert made[2]["rendered_from"]["chunk"] == LAST
    assert_same_film(made, film(changed, gb=0.0, format=format, audio=audio))


@pytest.mark.parametrize("other", [{"format": "webm (vp9)"}, {"quality": "medium"}])
def test_another_format_is_decoded_again_and_not_rendered(film, other):
    film()
    changed = STORY.replace("returns", "waves")
    made = film(changed, **other)
    assert made[2]["rendered_from"]["chunk"] == LAST and made[2]["forwards"]["denoise"] == CHUNKS - LAST
    assert_same_film(made, film(changed, gb=0.0, **other))
    # and is there at once the next time
    assert_same_film(film(STORY, **other), film(gb=0.0, **other))


@pytest.mark.parametrize("chunk_frames", [1, 8])
def test_films_of_other_chunks_go_on_too(tiny, film, chunk_frames):
    node, short = tiny.nodes.profile.MemFlowProfile, "0s: a robot walks\n1s [cut]: a cat\n2s: a ghost"
    (model,) = node.execute(tiny.model, "auto", chunk_frames=chunk_frames, first_steps="1000, 500").result
    inputs = {"model": model, "memory": tiny.memory(window_size=8), "length": 61}
    last = film(short, **inputs)[2]["plan"]["segments"][-1]["start_chunk"]
    changed = short.replace("ghost", "robot")
    made, fresh = film(changed, **inputs), film(changed, gb=0.0, **inputs)
    assert made[2]["rendered_from"]["chunk"] == last > 0
    assert_same_film(made, fresh, length=None)
    # another list of steps for the first chunk is another story
    (other,) = node.execute(tiny.model, "auto", chunk_frames=chunk_frames, first_steps="1000").result
    assert film(changed, **inputs | {"model": other})[2]["resumed_from"] is None


def test_pictures_that_were_there_are_not_watched_again(film):
    whole = film()[2]["pictures"]
    again = film(STORY.replace("returns", "waves"))[2]["pictures"]
    assert whole["chunk"] == list(range(CHUNKS)) and again["chunk"] == list(range(LAST, CHUNKS))
    assert again["edge"][0] is None


def test_the_earlier_film_may_be_gone(film):
    path, *_ = film()
    path.unlink()
    changed = STORY.replace("returns", "waves")
    made = film(changed)
    assert made[2]["rendered_from"]["chunk"] == LAST
    assert_same_film(made, film(changed, gb=0.0))


@pytest.mark.parametrize("kind, first", [("moment", 0), ("film", LAST), ("latents", LAST)])
def test_files_of_which_none_is_whole(film, folder, kind, first):
    film()
    for path in folder.glob(f"{kind}_*"):
        path.write_bytes(path.read_bytes()[:-9])
    changed = STORY.replace("returns", "waves")
    made = film(changed)
    assert made[2]["rendered_from"]["chunk"] == first
    told = made[2]["kept"]["told"]
    assert (told == []) == (kind == "latents") or all("skipped" in sentence for sentence in told)
    assert_same_film(made, film(changed, gb=0.0))


def test_a_budget_of_zero_leaves_no_file(film, folder):
    film(gb=0.0)
    assert not folder.exists()


@pytest.mark.parametrize("change", [{"seed": 8}, {"fps": 8.0}, {"steps": "1000, 250"}, {"width": 48}])
def test_another_story_starts_anew(film, change):
    film()
    assert film(**change)[2]["resumed_from"] is None


def test_a_patched_model_is_another_one(tiny, film):
    film()
    model = tiny.model.clone()
    place = "diffusion_model.blocks.0.ffn.0.weight"
    weight = model.model.diffusion_model.blocks[0].ffn[0].weight
    model.add_patches({place: ("diff", (torch.full_like(weight, 0.01),))}, 0.5)
    first = film(model=model)
    assert first[2]["resumed_from"] is None
    assert film(STORY.replace("returns", "waves"), model=model)[2]["rendered_from"]["chunk"] == LAST
    # the same model again, though its weights were patched meanwhile
    assert film(STORY.replace("returns", "waves"))[2]["rendered_from"]["chunk"] == LAST


def test_what_cannot_be_told_apart_is_not_kept(tiny, film, folder):
    model = tiny.model.clone()
    scale = 1.0
    model.set_model_unet_function_wrapper(lambda apply, args: scale)
    model.add_object_patch("diffusion_model.blocks.0.cross_attn.forward", lambda *a, **k: a[0] * scale)
    model.model_options["transformer_options"]["optimized_attention_override"] = lambda f, *a, **k: f(*a, **k) * scale
    assert tiny.nodes.run.KeptStory is not None
    with pytest.raises(tiny.nodes.host.UnknownKindError):
        tiny.nodes.host.model_fingerprint(model)
    assert not folder.exists()


def test_the_plan_says_what_is_rendered(film, tiny, monkeypatch):
    sent = []
    film()
    monkeypatch.setattr(tiny.nodes.host.Page, "send", lambda self, event, data: sent.append((event, data)))
    film(STORY.replace("returns", "waves"))
    (plan,) = [data for event, data in sent if event == "memflow.plan"]
    assert "An earlier run has made the same until 6.56 s: renders 1.50 of 8.06 s." in plan["lines"]


def test_a_cancelled_run_goes_on_from_its_last_moment(film, tiny, monkeypatch):
    import comfy.model_management

    def cancel_at_eighth_chunk(self, text):
        if "chunk 8" in text:
            comfy.model_management.interrupt_current_processing()

    with monkeypatch.context() as patch:
        patch.setattr(tiny.nodes.host.Progress, "show_text", cancel_at_eighth_chunk)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            film()
    made = film()
    # The line of text is shown when a chunk has been encoded, some chunks behind the sampler.
    assert made[2]["rendered_from"]["chunk"] in (5, 7, LAST)
    assert_same_film(made, film(gb=0.0))


def test_the_sampler_keeps_moments_too(tiny):
    def sample(text, gb):
        samples, state, report = tiny.sample(
            schedule=tiny.schedule(text), length=LENGTH, memory=tiny.memory(), keep_moments_gb=gb, **SMALL
        )
        return samples, state, json.loads(report)

    sample(STORY, 1.0)
    changed = STORY.replace("returns", "waves")
    samples, state, report = sample(changed, 1.0)
    others, other, _ = sample(changed, 0.0)
    assert report["rendered_from"]["chunk"] == LAST and torch.equal(samples, others)
    assert all(torch.equal(state.stream.tensors[name], other.stream.tensors[name]) for name in other.stream.tensors)


def test_a_story_that_goes_on_from_a_state_is_kept_too(film):
    _, state, _ = film(length=45, gb=0.0)
    rest = {"state": state, "length": LENGTH - 45}
    film(**rest)
    changed = STORY.replace("returns", "waves")
    made = film(changed, **rest)
    fresh = film(changed, gb=0.0, **rest)
    assert made[2]["rendered_from"]["chunk"] == LAST and made[2]["first_chunk"] == fresh[2]["first_chunk"] == 4
    assert packets_in(made[0]) == packets_in(fresh[0])


def test_the_route_counts_what_is_kept_and_deletes_it(tiny, film, folder):
    route = tiny.nodes.api.moments
    assert route.answer_get()[1] | {"budget": 0} == {"moments": 0, "files": 0, "bytes": 0, "budget": 0}
    film(length=45)
    status, kept = route.answer_get()
    on_disk = sum(path.stat().st_size for path in folder.iterdir())
    assert status == 200 and kept["moments"] == 2 and kept["files"] == 6 and kept["bytes"] == on_disk > 0
    for body in (b"{}", b"delete", b'{"action": "all"}', b'{"action": "delete", "more": 1}'):
        status, answer = route.answer_post(body)
        assert status == 400 and set(answer) == {"error"}
    assert route.answer_get()[1] == kept
    assert route.answer_post(b'{"action": "delete"}')[1]["freed"] == on_disk
    assert not folder.exists()
