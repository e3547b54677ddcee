"""Settings that came from different papers, in one stream: what each of them promises holds beside the others."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.play import play
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream, keys_alone
from tests.core.test_estimate import encoded, estimate_of, planned

ALONE = {"bank_keys": "alone", "record_every": 1}
ARCHIVE = {**ALONE, "archive": "latents"}
AVERAGE = {"sink": "average", "sink_decay": 0.6}
SHOTS = {"retrieval": "shots", "bank_frames": 2, "sink_frames": 2, "window_frames": 4}
REFRESH = {"refresh": True}

# memory, sampling
TOGETHER = {
    "shots read in one layer": ({**SHOTS, "bank_layers": (1,)}, {"chunk_frames": 2}),
    "an averaged sink, frames read alone": ({**AVERAGE, **ALONE}, {}),
    "an averaged sink, an archive by words": ({**AVERAGE, **ARCHIVE, "top_k": 3}, {}),
    "an averaged sink in fp8, an archive by keys": ({**AVERAGE, **ARCHIVE, "archive_rule": "keys", "cache": "fp8"}, {}),
    "an averaged sink, an archive of keys": ({**AVERAGE, "archive": "keys", "record_every": 1}, {}),
    "refreshed keys, an archive of keys in fp8": ({"archive": "keys", "cache": "fp8", "record_every": 1}, REFRESH),
    "an averaged sink, a bank read in one layer": ({**AVERAGE, "bank_layers": (0,), "record_every": 1}, {}),
    "refreshed keys, frames read alone": (ALONE, REFRESH),
    "refreshed keys, an archive": ({**ARCHIVE, "retrieval": "attention"}, {**REFRESH, "chunk_frames": 1}),
    "refreshed keys, a bank read in one layer": ({"bank_layers": (1,), "record_every": 1, "top_k": 3}, REFRESH),
    "refreshed keys, an averaged sink": ({**AVERAGE, "record_every": 1}, REFRESH),
    "one path, own first steps, an archive": (ARCHIVE, {"solver": "unipc", "first_steps": (1000, 700, 400)}),
    "chunks of 8, an archive in one layer": ({**ARCHIVE, "bank_layers": (0,)}, {"chunk_frames": 8}),
}
JOINS = ((2, "recache"), (4, "jump"), (6, "cut"), (7, "blend"), (9, "jump"))
ANEW = ((2, "recache"), (3, "jump"), (4, "fresh"), (7, "recache"), (8, "fresh"), (10, "cut"))
CHUNKS, STOP = 11, 5


def stream_of(backbone, name: str) -> Stream:
    memory, sampling = TOGETHER[name]
    return Stream(
        backbone,
        LatentShape(4, 6),
        memory=MemoryConfig(**{"window_frames": 9, **memory}),
        sampling=SamplingConfig(**{"steps": (1000, 500), **sampling}),
        seed=5,
        frames=200,
    )


def story(stream: Stream, prompt, joins=JOINS):
    plan = planned(CHUNKS, *joins, latent_frames=stream.sampling.chunk_frames)
    return plan, encoded(plan, [prompt(number) for number in range(len(plan.segments))])


@pytest.mark.parametrize("joins", [JOINS, ANEW], ids=["one story", "three stories"])
@pytest.mark.parametrize("name", TOGETHER)
def test_a_story_stops_and_goes_on_bit_by_bit_and_takes_what_was_estimated(backbone, prompt, tmp_path, name, joins):
    stream = stream_of(backbone, name)
    plan, texts = story(stream, prompt, joins)
    estimated, kinds, again = estimate_of(backbone, stream, plan), Counter(), None
    for chunk in play(stream, texts, 5):
        kinds.update(forward.kind for forward in chunk.forwards)
        assert torch.isfinite(chunk.latents).all()
        if chunk.index == STOP:
            capture(stream).save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    rest = list(play(again, texts, 5))
    assert torch.equal(rest[-1].latents, stream.progress.recent[-1])
    assert [record for chunk in rest for record in chunk.trace] == [
        record for record in stream.trace.records if record["chunk"] > STOP
    ]
    made = (estimated.denoise, estimated.context, estimated.recache, estimated.refresh)
    assert made == tuple(kinds[kind] for kind in ("denoise", "context", "recache", "refresh"))
    assert kinds["moment"] <= estimated.moments
    if stream.memory_config.archive == "off":
        assert kinds["moment"] == estimated.moments
    assert (kinds["moment"] > 0) == (stream.memory_config.bank_keys == "alone")


@torch.inference_mode()
def test_a_frame_read_alone_stands_where_jumps_before_it_moved_it(make_stream, prompt, play, backbone):
    jumped, plain = (make_stream(**ARCHIVE, shot_offset=8) for _ in range(2))
    play(jumped, 6, {0: (prompt(0),), 2: (prompt(1), "jump"), 4: (prompt(2), "jump")})
    x, text = torch.randn(1, backbone.channels, 1, 4, 6), backbone.embed_text(prompt(1))
    for frame, moved in ((5, 5), (6, 14), (11, 19), (12, 28)):
        (here,), (there,) = keys_alone(jumped, [frame], x, text), keys_alone(plain, [moved], x, text)
        assert torch.equal(here.k, there.k) and torch.equal(here.mean_k, there.mean_k)
    (here,), (there,) = (keys_alone(stream, [6], x, text) for stream in (jumped, plain))
    assert not torch.allclose(here.k, there.k, atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"bank_keys": "alone"}, {"archive": "latents"}, {"bank_keys": "alone", "archive": "latents"}]
)
def test_shots_keep_keys_as_they_were_made(settings):
    with pytest.raises(ValueError, match="'shots' keeps the first chunk of a shot as it was made.*choose another"):
        MemoryConfig(**SHOTS, **settings)


def test_shots_have_no_moment_to_ban(make_stream, prompt, play):
    stream = make_stream(chunk_frames=2, **SHOTS)
    play(stream, 2, {0: (prompt(0),)})
    with pytest.raises(ValueError, match="retrieval 'shots' has no archive"):
        stream.ban(0)
