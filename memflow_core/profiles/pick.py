"""Tell which profile a file has, by its name, its metadata and its sizes, and which files cannot be streamed.

Weights that were trained to stream and weights that were not have the same tensors, of the same names and sizes. So a
name decides; where it says nothing, the sizes give a usual profile, and that is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from .profile import Profile
from .table import AUTO, PROFILES, layout_of


@dataclass(frozen=True)
class Signs:
    """What is known of a file before its weights are read.

    file      its name, with the folders below the models' folder that it is in.
    metadata  of a safetensors file.
    dim       width of the transformer.
    channels  of a latent.
    lora      name of a LoRA's file that comes with it.
    """

    file: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    dim: int = 1536
    channels: int = 16
    lora: str = ""


@dataclass(frozen=True)
class Picked:
    """A profile, and why it was picked.

    why  `name`, `metadata` or `user`; `layout` where the file's name says nothing, `unknown` where there is no name.
    """

    profile: Profile
    why: str


MOST_SHOWN = 80
_GAP = r"[-_ .+]*"
_START = r"(?:^|[^a-z0-9])"
_END = r"(?![a-z0-9])"


def _name(*words: str) -> re.Pattern[str]:
    return re.compile(_START + _GAP.join(words), re.IGNORECASE)


_SECOND = re.compile(rf"longlive{_GAP}(?:v{_GAP})?2", re.IGNORECASE)
_FRAMEWISE = re.compile(r"frame[-_ ]?wise", re.IGNORECASE)
_TWO, _ONE = (re.compile(rf"{number}[-_ ]?steps?{_END}", re.IGNORECASE) for number in ("(?:2|two)", "(?:1|one)"))

# (pattern of a name, profile); the first match wins
_NAMES = (
    (_name("tiny", "story"), "Tiny story model"),
    (_name("memflow"), "MemFlow"),
    (_SECOND, "LongLive 2"),
    (_name("longlive"), "LongLive 1"),
    (_name("reward", "forcing"), "Reward Forcing"),
    (_name("krea"), "Krea Realtime 14B"),
    (_name("live", "wan"), "LiveWan"),
    (_name("raven"), "RAVEN"),
    (_name("cmgrpo"), "RAVEN"),
    (_name("long", "video"), "Causal Forcing, long video"),
    (_name("self", "forcing"), "Self-Forcing"),
    (_FRAMEWISE, "Causal Forcing, frame-wise"),
    (_name("causal", "forcing"), "Causal Forcing, chunk-wise"),
)

_OTHER_LOOP = "which a stream of chunks does not do"
# (pattern of a name, what such a file is); these are refused whatever their tensors are
_REFUSED = (
    (_name("helios"), "Helios, which makes 33 latent frames at once and has no KV cache to stream from"),
    (_name("rolling", "forcing"), f"Rolling Forcing, which denoises all frames of its window together, {_OTHER_LOOP}"),
    (_name("skyreels"), "SkyReels, which makes clips that overlap, without a KV cache to stream from"),
    (_name("phantom"), "Phantom, which makes a clip from reference pictures"),
    (_name("shot", "stream"), f"ShotStream, which reads whole frames of earlier shots as a condition, {_OTHER_LOOP}"),
    (re.compile(rf"{_START}(?:fun{_GAP})?(?:inp|i2v|flf2v|fflf){_END}", re.IGNORECASE), "image-to-video"),
    (re.compile(rf"{_START}s2v{_END}", re.IGNORECASE), "speech-to-video"),
    (re.compile(rf"{_START}vace{_END}", re.IGNORECASE), "a VACE model, control weights for another"),
    (_name("animate"), "Wan Animate, which needs a driving video"),
    (
        re.compile(rf"{_START}(?:high|low){_GAP}noise", re.IGNORECASE),
        "one half of Wan 2.2's pair for high and low noise",
    ),
)
# names under which the models are published that see a whole clip at once
_BIDIRECTIONAL = re.compile(r"wan[^/\\]{0,40}?ti?2v", re.IGNORECASE)
_STREAMING_WORD = re.compile(
    r"causal|causvid|forcing|stream|realtime|autoregressive|chunk[-_ ]?wise|dmd|\bar\b", re.IGNORECASE
)


def pick(signs: Signs, chosen: str = AUTO) -> Picked:
    """The profile of a file: the one chosen by name, or by what is known of it.

    Raises ValueError for a name that no profile has, a profile for other latents, and a file that cannot be streamed.
    """
    if chosen != AUTO:
        if chosen not in PROFILES:
            raise ValueError(f"the profile is {chosen[:40]!r}, but must be one of {'; '.join((AUTO, *PROFILES))}.")
        return Picked(_fitting(PROFILES[chosen], signs), "user")
    problem = refusal(signs)
    if problem is not None:
        raise ValueError(problem)
    for name in (signs.lora, signs.file):
        found = _by_name(name, signs)
        if found is not None:
            return Picked(found, "name")
    if _is_causal(signs.metadata):
        return Picked(PROFILES["Causal Forcing, frame-wise"], "metadata")
    return Picked(PROFILES[layout_of(signs.dim, signs.channels).usual], "layout" if signs.file else "unknown")


def profile_of(file: str | PurePath, lora: str | PurePath = "") -> Profile:
    """The profile of a checkpoint by the names of its file and of a LoRA with it; neither is opened.

    Its `memory` is the best that was measured for such a model, its `sampling` what it was trained with.

    Raises ValueError for a file that cannot be streamed, by its name.
    """
    return pick(signs_of_name(PurePath(file).name, PurePath(lora).name)).profile


def signs_of_name(file: str, lora: str = "") -> Signs:
    """Signs of a file of which the name alone is known, with the sizes that such a file has."""
    words = f"{file} {lora}"
    big = re.search(rf"{_START}14b{_END}", words, re.IGNORECASE) or _name("krea").search(words)
    if _SECOND.search(words) or re.search(rf"{_START}(?:ti2v{_GAP})?5b{_END}", words, re.IGNORECASE):
        return Signs(file, dim=3072, channels=48, lora=lora)
    return Signs(file, dim=5120 if big else 1536, lora=lora)


def refusal(signs: Signs) -> str | None:
    """Why a file of this name cannot be streamed, in a sentence; None where nothing says so.

    A LoRA may teach a model to stream, so beside one, a model that sees whole clips is taken.
    """
    name = signs.file
    kind = next((kind for pattern, kind in _REFUSED if pattern.search(name)), None)
    if kind is not None and _by_name(name, signs) is None:
        return f"{_last(name)} is {kind}: load weights that were trained to stream, such as MemFlow's or LongLive's."
    if signs.lora or _is_causal(signs.metadata) or _by_name(name, signs) is not None:
        return None
    if _BIDIRECTIONAL.search(name) and not _STREAMING_WORD.search(name):
        return (
            f"{_last(name)} is a Wan model that sees a whole clip at once, by its name, and was not trained to stream: "
            f"load streaming weights (MemFlow, LongLive, Self-Forcing, Causal Forcing), or, if these are some under "
            f"another's name, choose their profile."
        )
    return None


def _last(name: str) -> str:
    """A file's own name as a message shows it: short, and on one line."""
    shown = re.split(r"[\\/]", name)[-1]
    plain = "".join(sign if sign.isprintable() else "?" for sign in shown)
    return plain if len(plain) <= MOST_SHOWN else f"{plain[:MOST_SHOWN]}..."


def _by_name(name: str, signs: Signs) -> Profile | None:
    """The profile that a name stands for, unless it is one for other latents than the model's."""
    found = next((profile for pattern, profile in _NAMES if pattern.search(name)), None)
    if found is None:
        return None
    if found in ("LongLive 1", "LongLive 2"):
        found = "LongLive 2" if signs.channels == 48 else "LongLive 1"
    few = _few_steps(name)
    if found == "Causal Forcing, frame-wise" and few:
        found = f"Causal Forcing++, frame-wise, {few}"
    if found == "LongLive 2" and few == "2 steps":
        found = "LongLive 2, 2 steps"
    profile = PROFILES[found]
    return profile if profile.channels == signs.channels else None


def _few_steps(name: str) -> str:
    if _TWO.search(name) or re.search(rf"S2{_END}", name):
        return "2 steps"
    return "1 step" if _ONE.search(name) else ""


def _is_causal(metadata: Mapping[str, str]) -> bool:
    """Whether metadata says `causal_ar`, as ComfyUI's own repack of Causal Forcing does."""
    try:
        config = json.loads(metadata.get("config", "{}"))
        return isinstance(config, dict) and config.get("transformer", {}).get("causal_ar") is True
    except (ValueError, AttributeError, RecursionError):
        return False


def _fitting(profile: Profile, signs: Signs) -> Profile:
    if profile.channels != signs.channels:
        raise ValueError(
            f"the profile {profile.name!r} is for models of {profile.channels} latent channels, but this one has "
            f"{signs.channels}: choose another profile, or {AUTO}."
        )
    return profile
