"""The table of profiles: one for each kind of published checkpoint of a streaming Wan.

Numbers are those of the programs that were published with the weights. Where a program reads more latent frames than
sink and window, and knows no bank, the bank takes places of the window: no more is read than in training.

Where nothing was measured, memory is the paper's. What was measured to be better for one kind stands in its memory
here, and is what its streams have unless a user says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..config import MemoryConfig, SamplingConfig
from .profile import Profile

AUTO = "auto"

# 21 latent frames in all: sink, bank and window together
_WHOLE_CLIP = MemoryConfig(sink_frames=3, window_frames=15)
# a moment every 9 latent frames, as with chunks of 3
_FRAMEWISE = MemoryConfig(sink_frames=3, window_frames=15, record_every=9)
_FOUR = (1000, 750, 500, 250)
_TRAINED_SHORT = "It was trained on clips of 5 seconds: longer stories drift sooner than MemFlow's."
# no more frames read than in training, where the sink had three of the bank's six places: a sink shows for good whoever
# opened the story, and then comes back in place of another of its kind (docs/memory.md)
_TINY = MemoryConfig(sink_frames=0, bank_frames=6, record_every=1, bank_keys="alone", archive="latents")
_SHOTS = MemoryConfig(retrieval="shots", sink_frames=8, window_frames=16, bank_frames=8)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("MemFlow"),
        Profile("Tiny story model", memory=_TINY, width=64, height=64, licence="that of this program"),
        Profile("LongLive 1"),
        Profile("Self-Forcing", memory=_WHOLE_CLIP, note=_TRAINED_SHORT),
        Profile("Causal Forcing, chunk-wise", memory=_WHOLE_CLIP, averaged=True, note=_TRAINED_SHORT),
        Profile(
            "Causal Forcing, long video",
            memory=_WHOLE_CLIP,
            averaged=True,
            note="Its own program denoises a rolling window; here it is streamed chunk by chunk.",
        ),
        Profile(
            "Causal Forcing, frame-wise",
            SamplingConfig(chunk_frames=1),
            _FRAMEWISE,
            averaged=True,
            note=_TRAINED_SHORT,
        ),
        Profile(
            "Causal Forcing++, frame-wise, 2 steps",
            SamplingConfig(steps=(1000, 500), first_steps=_FOUR, chunk_frames=1),
            _FRAMEWISE,
            averaged=True,
            note=_TRAINED_SHORT,
        ),
        Profile(
            "Causal Forcing++, frame-wise, 1 step",
            SamplingConfig(steps=(1000,), first_steps=_FOUR, chunk_frames=1),
            _FRAMEWISE,
            averaged=True,
            note=_TRAINED_SHORT,
        ),
        Profile(
            "Reward Forcing",
            memory=MemoryConfig(retrieval="none", sink_frames=3, window_frames=6, sink="average", positions="relative"),
        ),
        Profile("RAVEN", memory=_WHOLE_CLIP, licence="see the model's card", note=_TRAINED_SHORT),
        Profile(
            "LiveWan",
            memory=MemoryConfig(retrieval="none", sink_frames=0, window_frames=6),
            width=640,
            height=368,
            note="It goes on from given pictures: begin with MemFlow Start Images.",
        ),
        Profile(
            "Krea Realtime 14B",
            SamplingConfig(steps=(1000, 937, 833, 625), warp=False, refresh=True),
            MemoryConfig(retrieval="none", sink_frames=1, window_frames=5, positions="relative"),
            licence="CC BY-NC-SA 4.0: not for commercial use",
        ),
        Profile("Wan 14B, streaming", memory=_WHOLE_CLIP, licence="see the model's card"),
        Profile(
            "LongLive 2",
            SamplingConfig(chunk_frames=8, solver="unipc"),
            _SHOTS,
            width=1280,
            height=704,
            fps=24.0,
            pixels=16,
            channels=48,
        ),
        Profile(
            "LongLive 2, 2 steps",
            SamplingConfig(steps=(1000, 500), chunk_frames=8, solver="unipc"),
            _SHOTS,
            width=1280,
            height=704,
            fps=24.0,
            pixels=16,
            channels=48,
        ),
    )
}


@dataclass(frozen=True)
class Layout:
    """Sizes that tell models apart: width of the transformer, and channels of a latent.

    usual  name of the profile for a file of which nothing else is known.
    """

    dim: int
    channels: int
    pixels: int
    usual: str


LAYOUTS = (
    Layout(1536, 16, 8, "MemFlow"),
    Layout(5120, 16, 8, "Wan 14B, streaming"),
    Layout(3072, 48, 16, "LongLive 2"),
)


def dim_of(profile: Profile) -> int:
    """Width of the transformer that a profile's files usually have: 1536, 3072 or 5120."""
    if profile.channels == 48:
        return 3072
    return 5120 if "14B" in profile.name else 1536


def layout_of(dim: int, channels: int) -> Layout:
    """The layout of these sizes; of others, as of the tiny models, the one of as many channels."""
    for layout in LAYOUTS:
        if (layout.dim, layout.channels) == (dim, channels):
            return layout
    return next((layout for layout in LAYOUTS if layout.channels == channels), LAYOUTS[0])
