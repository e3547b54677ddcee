"""Two of a kind in one story: the bank shows the one that a prompt means, by what the prompts and the pictures say."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import ARCHIVE_RULES
from memflow_core.memory import kin, recall
from memflow_core.state import StreamState, capture, resume

CAT, BIRD, ROBOT, MEADOW, BEACH, SNOW, JUMPS, WAVES = range(8)
CAT_OF_MEADOW, CAT_OF_BEACH, BIRD_OF_SNOW = "cat of the meadow", "cat of the beach", "bird of the snow"
# the third between the two, as in a story; each is seen twice and does something else each time
STORY = (
    ((CAT, MEADOW, WAVES), CAT_OF_MEADOW),
    ((CAT, BEACH, JUMPS), CAT_OF_BEACH),
    ((BIRD, SNOW, WAVES), BIRD_OF_SNOW),
    ((CAT, MEADOW), CAT_OF_MEADOW),
    ((CAT, BEACH), CAT_OF_BEACH),
    ((BIRD, SNOW), BIRD_OF_SNOW),
)
FRAMES = 2  # of each shot


def text(*words: int) -> torch.Tensor:
    """An embedding [5, 8] whose tokens are words of a vocabulary of orthogonal vectors, with padding."""
    return torch.cat((torch.eye(8)[list(words)], torch.zeros(5 - len(words), 8)))


def picture(character: str, rows: int = 4, columns: int = 6) -> torch.Tensor:
    """Latents [16, rows, columns] of a place and somebody in it, other ones for each character."""
    number = (CAT_OF_MEADOW, CAT_OF_BEACH, BIRD_OF_SNOW).index(character)
    return torch.randn(16, rows, columns, generator=torch.Generator().manual_seed(number))


def shots_in_bank(coming: torch.Tensor, story=STORY, places: int = 3, frames: int = FRAMES) -> list[int]:
    """Numbers of the shots that fill the bank, one for each place."""
    texts = {number: text(*words) for number, (words, _) in enumerate(story)}
    looks = {number: kin.look_of(picture(character)) for number, (_, character) in enumerate(story)}
    shots = [number for number in texts for _ in range(frames)]
    by_shot = recall.words(coming, list(texts.values())).tolist()
    scores = [by_shot[shot] for shot in shots]
    return [shots[index] for index in recall.choose(scores, shots, places, kin.Kin(coming, texts, looks))]


def in_bank(coming: torch.Tensor, **settings) -> set[str]:
    return {STORY[shot][1] for shot in shots_in_bank(coming, **settings)}


def test_of_two_of_a_kind_only_the_one_whose_scene_is_named_is_in_the_bank():
    assert in_bank(text(CAT, MEADOW, WAVES), places=2) == {CAT_OF_MEADOW}
    assert in_bank(text(CAT, BEACH, JUMPS), places=2) == {CAT_OF_BEACH}


def test_one_place_of_three_is_for_somebody_else_who_is_not_of_that_kind():
    """The best shot may be the wrong one, and a moment of another kind does no harm."""
    for words, right in (((CAT, MEADOW, WAVES), 2), ((CAT, BEACH, JUMPS), 2)):
        shown = [STORY[shot][1] for shot in shots_in_bank(text(*words))]
        assert shown[:right] == [shown[0]] * right and shown[2] == BIRD_OF_SNOW


def test_not_the_one_that_once_did_just_what_is_asked_for_now():
    coming = text(CAT, MEADOW, JUMPS)
    scores = recall.words(coming, [text(*words) for words, _ in STORY])
    assert STORY[int(scores.argmax())][1] == CAT_OF_BEACH, "by its words alone, the prompt would bring back the other"
    assert in_bank(coming) == {CAT_OF_MEADOW, BIRD_OF_SNOW}
    assert in_bank(coming, places=2) == {CAT_OF_MEADOW}


def test_where_the_right_one_has_too_few_moments_another_kind_comes_before_the_wrong_one():
    story = (*STORY[:2], ((BIRD, SNOW), BIRD_OF_SNOW))
    assert shots_in_bank(text(CAT, MEADOW), story=story, places=2, frames=1) == [0, 2]
    # a place that nothing else can fill is not left empty
    assert shots_in_bank(text(CAT, MEADOW), story=story, places=3, frames=1) == [0, 2, 1]


def test_two_characters_that_one_prompt_names_both_come():
    assert in_bank(text(CAT, BIRD, MEADOW)) == {CAT_OF_MEADOW, BIRD_OF_SNOW}
    assert in_bank(text(CAT, BEACH, BIRD), places=2) == {CAT_OF_BEACH, BIRD_OF_SNOW}


def test_moments_of_one_prompt_are_spread_over_its_shots():
    assert sorted(shots_in_bank(text(CAT, MEADOW), places=2)) == [0, 3]
    assert sorted(shots_in_bank(text(CAT, MEADOW), places=5))[:4] == [0, 0, 3, 3]


def test_where_somebody_stands_in_a_row_does_not_make_another_picture():
    there, here = torch.zeros(16, 8, 8), torch.zeros(16, 8, 8)
    there[:, 3, 1], here[:, 3, 6] = 2.0, 2.0
    assert torch.allclose(kin.look_of(there), kin.look_of(here))


# -- in a stream ------------------------------------------------------------------------------------------------------

CHUNKS = 4  # of each shot: longer than the window
ARCHIVES = ({"archive": "latents", "bank_keys": "alone"}, {"archive": "keys"})
SETTINGS = {"record_every": 1, "bank_frames": 3, "sink_frames": 0}


def told(stream, batch: int = 1) -> None:
    """Give a stream the story's pictures under its prompts."""
    for words, character in STORY:
        stream.set_prompt(text(*words).expand(batch, -1, -1).clone())
        for _ in range(CHUNKS):
            stream.prefill(picture(character)[None, :, None].expand(batch, -1, 3, -1, -1).clone())


def characters(stream, item: int = 0) -> set[str]:
    held = stream.memory.bank.listed_frames()[:, item]
    return {STORY[frame // 3 // CHUNKS][1] for frame in held.flatten().tolist()}


@pytest.mark.parametrize("archive", ARCHIVES)
@pytest.mark.parametrize("rule", ARCHIVE_RULES[:2])
def test_a_stream_recalls_the_right_one_from_either_archive(make_stream, archive, rule):
    stream = make_stream(**archive, **SETTINGS, archive_rule=rule)
    told(stream)
    stream.set_prompt(text(CAT, MEADOW, JUMPS)[None])
    next(stream)
    assert characters(stream) == {CAT_OF_MEADOW, BIRD_OF_SNOW}


def test_each_story_of_a_batch_gets_its_own(make_stream):
    stream = make_stream(**ARCHIVES[0], **SETTINGS, batch=2)
    told(stream, batch=2)
    stream.set_prompt(torch.stack([text(CAT, MEADOW, JUMPS), text(CAT, BEACH, BIRD)]))
    next(stream)
    assert characters(stream, 0) == {CAT_OF_MEADOW, BIRD_OF_SNOW}
    assert characters(stream, 1) == {CAT_OF_BEACH, BIRD_OF_SNOW}


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_stream_that_goes_on_from_a_state_chooses_the_same(make_stream, backbone, tmp_path, archive):
    stream = make_stream(**archive, **SETTINGS)
    told(stream)
    capture(stream).save(tmp_path / "state.safetensors")
    resumed = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    for one in (stream, resumed):
        one.set_prompt(text(CAT, MEADOW, JUMPS)[None])
        next(one)
    assert torch.equal(stream.memory.bank.listed_frames(), resumed.memory.bank.listed_frames())


def test_it_makes_no_pass_for_it(make_stream):
    passes: list[str] = []
    stream = make_stream(**ARCHIVES[0], **SETTINGS, on_forward=lambda forward: passes.append(forward.kind))
    told(stream)
    passes.clear()
    stream.set_prompt(text(CAT, MEADOW, JUMPS)[None])
    next(stream)
    # three moments read alone, as many as came back
    assert passes.count("moment") == 3 and set(passes) == {"moment", "recache", "denoise", "context"}
