"""MemFlow Start Images and Remember Images: what the sampler sees of pictures, and how they are made to fit."""

from __future__ import annotations

import copy
import json

import pytest
import torch

MEADOW, BEACH = "a robot walks in the meadow", "an empty beach"


def picture(seed: int = 0, count: int = 1, height: int = 64, width: int = 64) -> torch.Tensor:
    """Smooth colours [F, H, W, 3] from 0 to 1."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1).movedim(1, -1)


@pytest.fixture
def pictures(tiny):
    """The two nodes: start(images, ...) and remember(images, state, ...) give states; words(text) a CONDITIONING."""

    class Nodes:
        @staticmethod
        def words(text: str):
            return tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize(text))

        @classmethod
        def start(
            cls, images, text: str = MEADOW, width: int = 64, height: int = 64, length: int = 33, fps: float = 16
        ):
            node = tiny.nodes.images.MemFlowStartImages
            return node.execute(tiny.vae, cls.words(text), images, width, height, length, fps).result[0]

        @classmethod
        def remember(cls, images, state=None, text: str = BEACH, width: int = 64, height: int = 64):
            node = tiny.nodes.images.MemFlowRememberImages
            return node.execute(tiny.vae, cls.words(text), images, width, height, state).result[0]

    return Nodes


@pytest.fixture
def go_on(tiny):
    """go_on(state, **changes): latents, state and report of a run of two chunks from a state."""

    def sample(state, **changes):
        inputs = {"schedule": tiny.schedule(f"0s: {MEADOW}"), "length": 24, "memory": tiny.memory()}
        return tiny.sample(**(inputs | changes), state=state)

    return sample


def test_a_story_goes_on_from_a_picture(go_on, pictures):
    first, second = (pictures.start(picture(seed)) for seed in (1, 2))
    made = [go_on(state)[0] for state in (first, second, first)]
    assert made[0].shape == (1, 16, 6, 8, 8)
    assert torch.equal(made[0], made[2]) and not torch.equal(made[0], made[1])


def test_a_start_of_decoded_frames_is_read_as_the_latents_it_came_from(tiny, pictures, go_on):
    """What the sampler reads is what ComfyUI's VAE encodes, in whole chunks."""
    clip = picture(3, 21)
    latents = tiny.vae.encode(clip)
    given = pictures.start(clip).initial.start
    assert given.latents.shape[2] == 6 and torch.equal(given.latents, latents.float().cpu())
    _, state, report = go_on(pictures.start(clip))
    assert state.stream.chunks == 4
    # of four chunks the newest three are kept, of which the first was given
    kept = state.stream.tensors["recent"][:, :, :3]
    torch.testing.assert_close(kept, tiny.model.model.process_latent_in(given.latents[:, :, 3:]))
    assert '"context": 4' in report


@pytest.mark.parametrize(
    ("given", "used"), [(1, 9), (8, 9), (9, 9), (10, 9), (20, 9), (21, 21), (32, 21), (33, 33), (60, 33)]
)
def test_pictures_are_snapped_to_whole_chunks_and_the_newest_count(tiny, given, used):
    frames = torch.arange(given).view(-1, 1, 1, 1).expand(-1, 2, 2, 3).float()
    kept = tiny.nodes.run.pictures.on_grid(frames, 33)[:, 0, 0, 0].tolist()
    assert len(kept) == used and kept[-1] == given - 1
    assert kept == [max(0, given - used + number) for number in range(used)]


@pytest.mark.parametrize(("width", "height"), [(96, 48), (48, 96), (64, 64)])
def test_pictures_fill_the_size_and_are_cropped_evenly(tiny, width, height):
    # a green centre, red left and right, blue above and below
    image = torch.zeros(1, 90, 120, 4)
    image[..., 3] = 0.5
    image[:, :, :, 1] = 1
    image[:, :, :20, :3] = image[:, :, -20:, :3] = torch.tensor([1.0, 0, 0])
    fitted = tiny.nodes.host.fit_pictures(image, width, height)
    assert fitted.shape == (1, height, width, 3)
    middle = fitted[0, height // 2]
    torch.testing.assert_close(middle, middle.flip(0), atol=0.02, rtol=0)
    assert middle[width // 2].tolist() == pytest.approx([0, 1, 0], abs=0.02)


def test_a_clip_is_read_at_the_storys_rate(tiny, pictures, tmp_path):
    from comfy_api.latest import InputImpl, Types

    frames = torch.linspace(0, 1, 120).view(-1, 1, 1, 1).expand(-1, 64, 64, 3)
    clip = InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, audio=None, frame_rate=24))
    clip.save_to(str(tmp_path / "clip.mp4"))
    for video in (clip, InputImpl.VideoFromFile(str(tmp_path / "clip.mp4"))):
        read = tiny.nodes.host.video_pictures(video, 16, 33)
        brightness = read.mean(dim=(1, 2, 3))
        assert len(read) == 33
        # the last 2 of 5 seconds; h264 is not exact
        torch.testing.assert_close(brightness[-1], frames[-1, 0, 0, 0], atol=0.04, rtol=0)
        torch.testing.assert_close(brightness[0], frames[119 - 48, 0, 0, 0], atol=0.04, rtol=0)
        assert pictures.start(video).initial.start.latents.shape[2] == 9


def test_a_short_slow_clip_is_read_whole(tiny):
    from comfy_api.latest import InputImpl, Types

    frames = torch.linspace(0, 1, 5).view(-1, 1, 1, 1).expand(-1, 64, 64, 3)
    clip = InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, audio=None, frame_rate=4))
    read = tiny.nodes.host.video_pictures(clip, 16, 33)
    assert len(read) == 17 and torch.equal(read[0], frames[0]) and torch.equal(read[-1], frames[-1])


def test_the_prompt_that_comes_with_the_pictures_is_theirs(tiny, pictures, go_on):
    """Going on under the same prompt is no switch; under another one it is."""
    same, other = (json.loads(go_on(pictures.start(picture(1), prompt))[2]) for prompt in (MEADOW, BEACH))
    assert "recache" not in same["forwards"]
    assert any(entry["event"] == "switch" for entry in other["memory"])


def test_remembered_pictures_change_the_story_and_stay(tiny, pictures, go_on):
    plain = go_on(None)[0]
    state = pictures.remember(picture(4, 2))
    made, after, report = go_on(state, length=93)
    assert not torch.equal(made[:, :, :6], plain)
    assert {-2, -3} <= set(after.stream.tensors["frames"].unique().tolist())
    assert '"picture": 2' in report


def test_pictures_join_a_start_and_a_story_under_way(tiny, pictures, go_on):
    state = pictures.remember(picture(5), pictures.start(picture(1)))
    assert state.initial.start_frames == 3 and state.initial.remembered_frames == 1
    _, made, _ = go_on(state, length=57)
    more = pictures.remember(picture(6), made)
    assert not torch.equal(go_on(more)[0], go_on(made)[0])
    _, end, _ = go_on(more)
    assert sorted(end.stream.meta["pins"])[:2] == [-3, -2]


def test_states_are_values(pictures, go_on):
    begun = pictures.start(picture(1))
    _, made, _ = go_on(begun)
    for state in (begun, made):
        before = copy.deepcopy(state)
        more = pictures.remember(picture(5), state)
        assert go_on(more)[0].shape == go_on(state)[0].shape
        assert state.initial.remembered == () and more.initial.remembered_frames == 1
        assert state.stream is made.stream if state is made else state.stream is None
        if before.stream is not None:
            assert before.stream.meta == state.stream.meta
            assert all(torch.equal(before.stream.tensors[n], t) for n, t in state.stream.tensors.items())


def test_a_start_goes_on_as_video(tiny, pictures, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    node = tiny.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)
    inputs = {"model": tiny.model, "vae": tiny.vae, "schedule": tiny.schedule(f"0s: {MEADOW}"), "seed": 7}
    inputs |= {"width": 64, "height": 64, "fps": 16.0, "steps": "1000, 500", "shift": 5.0, "filename_prefix": "story"}
    inputs |= {"format": "mp4 (h264)", "quality": "high", "save_output": True}
    state = pictures.remember(picture(5), pictures.start(picture(1)))
    made = node.execute(**inputs, length=24, state=state)
    video, after, *_ = made.result
    # the page sees the picture that was given, and the start's first chunk, that the bank holds
    (summary,) = made.ui["memflow"]
    assert summary["thumbnails"]["-2"] == state.given[0] != summary["thumbnails"]["0"] == state.shown[0]
    assert after.shown[-2] == state.given[0]
    # the video starts behind the pictures
    assert video.get_frame_count() == 24 and after.stream.chunks == 3
    fresh = node.execute(**inputs, length=21, state=pictures.remember(picture(5))).result[0]
    assert fresh.get_frame_count() == 21


BAD = {
    "other size": (lambda p: p.start(picture(), width=96), {}, "96 x 64 pixels, but the node asks for 64 x 64"),
    "too many": (lambda p: p.remember(picture(0, 4)), {}, "4 pictures are to be remembered, but the bank holds 3"),
    "no bank": (lambda p: p.remember(picture()), {"memory": dict(retrieval="none")}, "retrieval is 'none'"),
    "published": (lambda p: p.remember(picture()), {"memory": dict(retrieval="reference")}, "'reference'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_said_before_any_sampling(tiny, pictures, go_on, name, monkeypatch):
    make, changes, message = BAD[name]
    state = make(pictures)
    changes = {key: tiny.memory(**value) for key, value in changes.items()}

    def sampled(*_):
        raise AssertionError("sampling started")

    monkeypatch.setattr(tiny.nodes.host, "sampling", sampled)
    with pytest.raises(ValueError, match=message) as error:
        go_on(state, **changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "size", "message"),
    [
        (torch.zeros(0, 64, 64, 3), {}, r"shape \[0, 64, 64, 3\]"),
        (torch.zeros(1, 64, 64, 1), {}, r"shape \[1, 64, 64, 1\]"),
        (torch.full((1, 64, 64, 3), torch.nan), {}, "NaN"),
        (torch.zeros(1, 64, 64, 3), {"width": 100}, "multiples of 16"),
    ],
)
def test_pictures_that_are_none_are_refused(pictures, images, size, message):
    for node in (pictures.start, pictures.remember):
        with pytest.raises(ValueError, match=message):
            node(images, **size)


def test_a_wrong_vae_and_too_many_pictures_are_named(tiny, pictures):
    node = tiny.nodes.images.MemFlowStartImages
    with pytest.raises(ValueError, match="connect the Wan 2.1 VAE"):
        node.execute(None, pictures.words(MEADOW), picture(), 64, 64, 33, 16.0)
    with pytest.raises(ValueError, match="no bank holds more than 64"):
        pictures.remember(picture(0, 65))


def test_pictures_that_no_sampler_has_read_are_not_saved(tiny, pictures):
    with pytest.raises(ValueError, match="no sampler has read"):
        tiny.nodes.state.MemFlowSaveState.execute(pictures.start(picture()), "story", "compact")
