"""Inputs and outputs that several nodes share."""

from __future__ import annotations

from comfy_api.latest import io

from ..memflow_core.profiles import AUTO, PROFILES
from .io_types import ControlType, MemoryType, StateType
from .run import MOST_FRAMES

# where the sound of a file begins
THIS_VIDEO = "this video"
THE_STORY = "the story"


OPEN_END = " 0: until you press Finish now (positions are then relative)."
MODEL = (
    "A Wan text-to-video model that was distilled for streaming (MemFlow, LongLive, Self-Forcing, Causal Forcing, Krea "
    "Realtime), from any loader, with LoRAs if you like. Image-to-video models do not fit."
)
SCHEDULE = (
    "Prompts over time, from MemFlow Prompt Schedule or MemFlow Prompt Segment. They must be of this model's CLIP."
)
REPORT = (
    "JSON: when each prompt really changed, how often the model ran, and what memory recorded, scored and kept. "
    "MemFlow Memory View draws it."
)
# number of the output of a sampling node that gives it
STATE_OUTPUT = 1
STATE = "Where the story stands now: connect to another sampler to go on from here, or to MemFlow Save State."


def _size_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "width",
            default=832,
            min=16,
            max=8192,
            step=16,
            tooltip="Picture width in pixels, a multiple of 16 (32 for 5B models). 832 (default) is what the 1.3B "
            "models were trained at; the tiny story model makes 64. Smaller pictures take less memory and time.",
        ),
        io.Int.Input(
            "height",
            default=480,
            min=16,
            max=8192,
            step=16,
            tooltip="Picture height in pixels, a multiple of 16 (32 for 5B models). 480 (default) is what the 1.3B "
            "models were trained at; the tiny story model makes 64. Smaller pictures take less memory and time.",
        ),
    ]


def story_inputs(open_end: bool = False) -> list[io.Input]:
    """Widgets of a sampling node, whose order must never change. open_end: whether a length of 0 is allowed."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The same seed, schedule and settings make the same video; another one makes another take. Each "
            "chunk draws from its own part of the seed, so a longer video starts with the same pictures.",
        ),
        *_size_inputs(),
        io.Int.Input(
            "length",
            default=81,
            # a step of 12 from 0 would never meet 9, 21, 33 ...
            min=0 if open_end else 9,
            max=MOST_FRAMES,
            step=3 if open_end else 12,
            tooltip="Video frames to make in this run: 9, 21, 33 ... (a chunk is 12 frames, the first one 9; with "
            "other models as their profile says); others are rounded up to a whole chunk. 81 (default) is 5 s at 16 "
            "fps. With a state: frames to add. A schedule that says its own length ends there."
            + (OPEN_END if open_end else ""),
        ),
        io.Float.Input(
            "fps",
            default=16.0,
            min=1.0,
            max=120.0,
            step=0.01,
            tooltip="Video frames a second, from 1 to 120: the video's speed, and what the schedule's seconds are "
            "counted by. 16 (default) is what Wan 2.1 was trained at, 24 Wan 2.2 5B; another value only plays faster "
            "or slower.",
        ),
    ]


def expert_inputs() -> list[io.Input]:
    """Advanced widgets of a sampling node."""
    return [
        io.String.Input(
            "steps",
            default="1000, 750, 500, 250",
            advanced=True,
            tooltip="Denoising steps of each chunk: whole numbers from 1000 (noise) down, with commas. 1000, 750, 500, "
            "250 (default) is what most few-step models were distilled with, and leaves steps to the model's profile; "
            "fewer steps are faster and rougher. One number up to 50 is how many steps there are to be, evenly spaced.",
        ),
        io.Float.Input(
            "shift",
            default=5.0,
            min=0.01,
            max=100.0,
            step=0.01,
            advanced=True,
            tooltip="Timestep shift: how much of denoising is spent near the noise, from 0.01 to 100. 5 (default) is "
            "what the 1.3B models were distilled with; change it only for a model whose authors name another. Left "
            "as it is, the shift of a ModelSamplingSD3 on the model counts.",
        ),
    ]


def profile_input() -> io.Combo.Input:
    """The choice of a profile."""
    return io.Combo.Input(
        "profile",
        options=[AUTO, *PROFILES],
        default=AUTO,
        optional=True,
        advanced=True,
        tooltip="What the weights were trained with: chunk, steps, window and sink, size and frame rate. auto "
        "(default): told from the file's name, its metadata and its sizes, and shown on this node. Choose one where "
        "the name says nothing, or something else.",
    )


def story_sockets() -> list[io.Input]:
    """Optional links of a sampling node: memory settings, and where the story stands."""
    return [
        MemoryType.Input(
            "memory",
            optional=True,
            tooltip="What the stream remembers, from MemFlow Memory. Without it: the memory that was measured "
            "best for the model, or that of the state.",
        ),
        StateType.Input(
            "state",
            optional=True,
            tooltip="Go on where another run stopped, or from pictures (MemFlow Start Images, Remember Images, Load "
            "State). Size, steps, shift and memory must be those of that run; the schedule is the whole one, from the "
            "story's start.",
        ),
    ]


def audio_inputs() -> list[io.Input]:
    """The sound of a video file."""
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


def live_input() -> io.Input:
    """The text encoder for live prompts."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="Only for live prompts: reads what you type into 'what happens next' while the node runs. Connect the "
        "text encoder that the schedule was read with.",
    )


def keep_input() -> io.Input:
    """The budget of kept moments."""
    return io.Float.Input(
        "keep_moments_gb",
        default=-1.0,
        min=-1.0,
        max=100_000.0,
        step=0.5,
        optional=True,
        advanced=True,
        tooltip="Keeps exact moments of the story on disk, so that the next run renders only from the first change on. "
        "Most GB of all of them together: -1 (default) takes a quarter of what is free on the disk, at most 20; 0 "
        "keeps none. They lie in ComfyUI's user folder, in memflow_moments.",
    )


def control_input() -> io.Input:
    """What steers the story."""
    return ControlType.Input(
        "control",
        optional=True,
        tooltip="Pictures that steer the story, from MemFlow Control: depth, pose, lines, masks. The model must have "
        "come through MemFlow Load Control. Without it, nothing but the prompts steers.",
    )


def played_output() -> io.Output:
    """The schedule as it was played."""
    return io.String.Output(
        display_name="played",
        tooltip="What was played, live prompts and an early end included, as a schedule. In a MemFlow Prompt Schedule, "
        "with the same seed and settings, it makes the same video. A video file carries it too.",
    )
