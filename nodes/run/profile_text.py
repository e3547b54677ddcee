"""What people read of a model's profile: on its loader, and in the plan of a run."""

from __future__ import annotations

from ...memflow_core.config import MemoryConfig
from ...memflow_core.profiles import OPEN_SETTINGS, Picked, Profile, settled
from .messages import Message, message
from .presets import memory_words
from .request import PlanRequest

# profiles whose values are those that the nodes' widgets show anyway
MOST_LORAS = 6  # that are listed
PLAIN = ("MemFlow", "LongLive 1", "Tiny story model")


def profile_lines(picked: Picked) -> list[Message]:
    """Everything of a profile, a line each, and where it was taken from."""
    profile = picked.profile
    lines = [_what(profile), message("Memory: {0}.", memory_words(profile.memory))]
    lines += _first_steps(profile)
    trained = (profile.width, profile.height, f"{profile.fps:g}")
    lines.append(message("Trained at {0} x {1} pixels and {2} fps.", *trained))
    lines.append(message("Licence of the weights: {0}.", profile.licence))
    if profile.note:
        lines.append(message(profile.note))
    return [*lines, *doubt(picked)]


def doubt(picked: Picked) -> list[Message]:
    """What is to be told of a profile that no name stands for."""
    if picked.why != "layout":
        return []
    return [
        message(
            "Its file's name does not say what it is, so it is taken for {0}: if that is wrong, choose its profile.",
            picked.profile.name,
        )
    ]


def told_of_profile(request: PlanRequest) -> list[Message]:
    """What a run takes from its model's profile that its widgets do not show, a line each."""
    profile = request.profile
    if profile.name in PLAIN and profile.sampling.chunk_frames == 3 and not profile.sampling.first_steps:
        return []
    lines = [_what(profile), *_first_steps(profile)]
    if request.as_the_model and request.state is None:
        lines.append(message("Memory: {0}.", memory_words(request.settings)))
    settings = request.settings
    read = settings.sink_frames + settings.window_frames + settings.bank_slots
    if read != profile.frames_read:
        lines.append(
            message("This memory reads {0} latent frames; the model was trained with {1}.", read, profile.frames_read)
        )
    if (request.width, request.height, request.fps) != (profile.width, profile.height, profile.fps):
        asked = (request.width, request.height, f"{request.fps:g}")
        trained = (profile.width, profile.height, f"{profile.fps:g}")
        lines.append(
            message("It was trained at {0} x {1} and {2} fps; this run makes {3} x {4} at {5} fps.", *trained, *asked)
        )
    if settings.retrieval == "shots" and any(s.switch == "recache" for s in request.prompts.segments[1:]):
        lines.append(
            message("This memory is never recached: a prompt that takes over by recache changes the text alone.")
        )
    if profile.note:
        lines.append(message(profile.note))
    return lines


def told_of_segments(request: PlanRequest) -> list[Message]:
    """What a run makes of its segments that their words do not show: LoRAs, and joins that do less than they say."""
    lines, later = [], request.prompts.segments[1:]
    if loras := [
        f"{lora.name} {lora.strength:g} ({segment.start})"
        for segment in request.prompts.segments
        for lora in segment.loras
    ]:
        shown = ", ".join(loras[:MOST_LORAS])
        lines.append(message("LoRAs of segments: {0}.", f"{shown}, ..." if loras[MOST_LORAS:] else shown))
    jumps = any(segment.switch == "jump" for segment in later)
    moves = request.positions == "absolute" and request.settings.shot_offset > 0
    if jumps and not moves and request.settings.retrieval != "shots":
        lines.append(
            message("Positions are relative here, so a prompt that takes over by jump changes the text alone.")
        )
    initial = None if request.state is None else request.state.initial
    if initial is not None and initial.remembered and any(segment.switch == "fresh" for segment in later):
        lines.append(message("A fresh prompt forgets the pictures that were given to remember, too."))
    return lines


def told_of_auto(request: PlanRequest) -> list[Message]:
    """What memory settings became that are left to the model, a line; none where they are the paper's and no node has
    them on auto."""
    if not request.opened:
        return []
    profile, words = request.profile, memory_words if request.as_the_model else _values_of
    values = words(request.settings)
    if values != words(settled(request.memory, profile.memory)):
        return [message("Memory goes on as the state was made: {0}.", values)]
    as_in_paper = _values_of(request.settings) == _values_of(MemoryConfig())
    if as_in_paper and request.as_the_model:
        return []
    if request.as_the_model and request.settings != profile.memory:
        return [message("Memory on auto, but for what its node sets: {0}.", values)]
    if values != (best := words(profile.memory)):
        return [message("Memory on auto: {0}; the other settings rule out {1}.", values, best)]
    if as_in_paper:
        return [
            message("Memory on auto: {0}, as in the paper: nothing else was measured for {1}.", values, profile.name)
        ]
    return [message("Memory on auto: {0}, measured best for the {1}.", values, profile.name)]


def _values_of(settings: MemoryConfig) -> str:
    return ", ".join(f"{name} {getattr(settings, name)}" for name in OPEN_SETTINGS)


def told_of_memory(settings: MemoryConfig) -> list[Message]:
    """What a run's bank takes in and keeps otherwise than the published code, a line each."""
    lines = []
    if settings.admission == "novelty":
        lines.append(message("A full bank takes in only moments that look new beside its own."))
    if settings.look_ahead:
        lines.append(message("Memory looks ahead: what later prompts ask for stays, and no moments are kept on disk."))
    return lines


def _what(profile: Profile) -> Message:
    sampling = profile.sampling
    steps = ", ".join(map(str, sampling.steps))
    return message("Profile {0}: chunks of {1} latent frames, steps {2}.", profile.name, sampling.chunk_frames, steps)


def _first_steps(profile: Profile) -> list[Message]:
    steps = profile.sampling.first_steps
    return [message("The first chunk takes steps {0}.", ", ".join(map(str, steps)))] if steps else []
