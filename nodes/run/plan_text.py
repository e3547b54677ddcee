"""Put the numbers of a plan into messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...memflow_core.estimate import GB, Footprint
from ...memflow_core.schedule import Note
from .messages import Message, message

MOST_SWITCHES = 6  # that are listed one by one


def plan_json(footprint: Footprint, model: Message | None = None, told: Sequence[Message] = ()) -> dict[str, Any]:
    """Return summary and lines for the page, fit for JSON: in English, and as messages for any language.

    model  name of the model that stands for the one to come; None where it is the very model.
    told   what else is to be said of the run, at the end of the lines.
    """
    summary = plan_summary(footprint)
    lines = [*plan_lines(footprint, model), *told]
    return {
        "summary": str(summary),
        "lines": [str(line) for line in lines],
        "said": [line.to_json() for line in (summary, *lines)],
    }


def note_messages(notes: Sequence[Note]) -> list[Message]:
    """A schedule's notes as lines of a plan."""
    return [message("The schedule: {0}.", note_message(note)) for note in notes]


def note_message(told: Note) -> Message:
    """A schedule's note as a message."""
    return message(told.text, *told.values)


def plan_summary(footprint: Footprint) -> Message:
    """Put length, passes and peak VRAM into one short line."""
    vram = in_gb(footprint.device_bytes)
    if footprint.open_end:
        return message("open end, about {0} of VRAM", vram)
    seconds = f"{footprint.estimate.seconds:.2f}"
    return message("{0} s, {1}, about {2} of VRAM", seconds, _passes(footprint.passes), vram)


def plan_lines(footprint: Footprint, model: Message | None = None) -> list[Message]:
    """Put length, prompt changes, VRAM and RAM into a line each. A GB is 2^30 bytes. model: see `plan_json`."""
    lines = [_length(footprint), _changes(footprint), _vram(footprint, model), _ram(footprint)]
    if footprint.estimate.archived:
        lines.append(_archive(footprint))
    if footprint.decode is not None and footprint.decode.light:
        lines.append(message("Shown by a light decoder (lighttaew2_1): softer pictures."))
    return lines


def in_gb(size: int) -> str:
    """Write a number of bytes for people; a GB is 2^30 bytes."""
    return f"{size / 2**20:.0f} MB" if size < GB / 10 else f"{size / GB:.1f} GB"


def _length(footprint: Footprint) -> Message:
    if footprint.open_end:
        return message("Goes on until you press Finish now.")
    estimate = footprint.estimate
    return message(
        "{0} s: {1} video frames in {2}, {3} through the model.",
        f"{estimate.seconds:.2f}",
        estimate.video_frames,
        _chunks(estimate.chunks),
        _passes(footprint.passes),
    )


def _changes(footprint: Footprint) -> Message:
    switches = footprint.estimate.switches
    if not switches:
        return message("One prompt all the way.")
    listed = ", ".join(f"{switch.start_s:.2f} s ({switch.kind})" for switch in switches[:MOST_SWITCHES])
    if (more := len(switches) - MOST_SWITCHES) > 0:
        return message("Prompts change at {0}; {1} more after that.", listed, more)
    return message("Prompts change at {0}.", listed)


def _vram(footprint: Footprint, model: Message | None) -> Message:
    estimate, decode = footprint.estimate, footprint.decode
    memory = estimate.cache_bytes + estimate.candidate_bytes
    vae = 0 if decode is None or decode.apart else decode.weights + decode.carry
    work = footprint.device_bytes - footprint.weights - vae - memory
    values = (
        in_gb(footprint.device_bytes),
        model or message("the model"),
        in_gb(footprint.weights),
        message("{0} in FP8", in_gb(memory)) if estimate.cache == "fp8" else in_gb(memory),
        in_gb(work),
    )
    if decode is None:
        return message("VRAM at the peak: about {0} ({1} {2}, memory {3}, work {4}).", *values)
    if decode.apart:
        there = in_gb(decode.device_bytes)
        return message(
            "VRAM at the peak: about {0} ({1} {2}, memory {3}, work {4}); the VAE takes {5} of another device.",
            *values,
            there,
        )
    return message("VRAM at the peak: about {0} ({1} {2}, the VAE {5}, memory {3}, work {4}).", *values, in_gb(vae))


def _ram(footprint: Footprint) -> Message:
    pins = footprint.estimate.pin_bytes
    pictures = in_gb(footprint.picture_bytes)
    values = (
        in_gb(footprint.ram_bytes),
        in_gb(footprint.ram_bytes - footprint.picture_bytes - pins),
        message("all pictures {0}", pictures) if footprint.decode is None else message("pictures {0}", pictures),
    )
    if not pins:
        return message("RAM beside the models' files: about {0} (the state {1}, {2}).", *values)
    return message(
        "RAM beside the models' files: about {0} (the state {1}, named pins {3}, {2}).", *values, in_gb(pins)
    )


def _archive(footprint: Footprint) -> Message:
    estimate = footprint.estimate
    size = in_gb(estimate.archive_bytes)
    if footprint.open_end:
        return message("Archive: at most {0} moments, {1} of RAM, and as much in each state.", estimate.archived, size)
    return message(
        "Archive: {0} moments at the end, {1} of RAM, and as much in each state; at most {2} to read moments again.",
        estimate.archived,
        size,
        _passes(estimate.moments),
    )


def _chunks(number: int) -> Message:
    return message("1 chunk") if number == 1 else message("{0} chunks", number)


def _passes(number: int) -> Message:
    return message("1 pass") if number == 1 else message("{0} passes", number)
