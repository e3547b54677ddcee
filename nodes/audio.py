"""`AUDIO` for a video that is made in parts."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..memflow_core.sound import Sound

THIS_VIDEO, THE_STORY = "this video", "the story"


def audio_inputs() -> list[io.Input]:
    return [
        io.Audio.Input(
            "audio",
            optional=True,
            tooltip="Sound for the video, mono or stereo, from Load Audio for example. It is cut where the video ends; "
            "where it ends first, silence follows. AAC in mp4 and mkv, Opus in webm.",
        ),
        io.Combo.Input(
            "audio_start",
            options=[THIS_VIDEO, THE_STORY],
            default=THIS_VIDEO,
            optional=True,
            advanced=True,
            tooltip="Only for a run that goes on from a state. this video (default): the sound begins with this file. "
            "the story: it is the sound of the whole story, and goes on where the story stands.",
        ),
    ]


def sound_of(audio: dict[str, Any] | None, audio_start: str, story_s: float) -> Sound | None:
    """The sound of a file that starts `story_s` seconds into the story. Raises ValueError if it cannot be written."""
    if audio is None:
        return None
    waveform = audio["waveform"]
    if waveform.ndim != 3 or waveform.shape[0] != 1:
        raise ValueError(f"the audio has shape {list(waveform.shape)}, but must be one clip: [1, channels, samples].")
    sound = Sound(waveform[0], int(audio["sample_rate"]))
    return sound.after(story_s) if audio_start == THE_STORY else sound
