"""Put the numbers of a plan into messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...memflow_core.estimate import GB, Footprint
from ...memflow_core.schedule import Note
from .messages import Message, message

TINY_SIZE = (64, 64)  # that the tiny story model was trained on
MOST_SWITCHES = 6  # that are listed one by one


def plan_json(
    footprint: Footprint,
    model: Message | None = None,
    told: Sequence[Message] = (),
    first: Sequence[Message] = (),
    *,
    computes: str = "",
    on_cpu: bool = False,
) -> dict[str, Any]:
    """Return summary and lines for the page, fit for JSON: in English, and as messages for any language.

    model     name of the model that stands for the one to come; None where it is the very model.
    told      what else is to be said of the run, at the end of the lines; `first`, at their beginning.
    computes  the precision, such as float32; "" where it is not known.
    on_cpu    whether it computes there, so that its VRAM is RAM.
    """
    summary = plan_summary(footprint, computes, on_cpu)
    lines = [*first, *plan_lines(footprint, model)]
    if on_cpu:
        lines.append(message("This machine computes on its CPU, in {0}: what is called VRAM is RAM.", computes))
    lines += told
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


def tiny_size_messages(width: int, height: int) -> list[Message]:
    """What there is to say of a size in pixels that the tiny story model is to draw: nothing for its own."""
    if (width, height) == TINY_SIZE:
        return []
    return [
        message("The tiny story model draws {2} x {3} pixels; at {0} x {1} it makes noise.", width, height, *TINY_SIZE)
    ]


def plan_summary(footprint: Footprint, computes: str = "", on_cpu: bool = False) -> Message:
    """Put length and peak memory into one short line. computes, on_cpu: see `plan_json`."""
    room = in_gb(footprint.device_bytes)
    if on_cpu:
        needs = message("about {0} of RAM ({1} on the CPU)", room, computes)
    else:
        needs = message("about {0} of VRAM ({1})", room, computes) if computes else message("about {0} of VRAM", room)
    if footprint.open_end:
        return message("open end, {0}", needs)
    return message("{0} s, {1}", f"{footprint.estimate.seconds:.2f}", needs)


def plan_lines(footprint: Footprint, model: Message | None = None) -> list[Message]:
    """Put length, prompt changes, VRAM and RAM into a line each. A GB is 2^30 bytes. model: see `plan_json`."""
    lines = [_length(footprint), _changes(footprint), _vram(footprint, model), _ram(footprint)]
    if footprint.estimate.archived:
        lines.append(_archive(footprint))
    if asked := footprint.estimate.questions:
        lines.append(message("To choose from the archive by attention: {0}, which make no picture.", _passes(asked)))
    if footprint.estimate.control_blocks:
        lines.append(_control(footprint))
    if footprint.estimate.remade_seconds:
        lines.append(_remade(footprint))
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


def _control(footprint: Footprint) -> Message:
    estimate = footprint.estimate
    vram = in_gb(estimate.control_bytes)
    if footprint.open_end:
        return message(
            "Control: {0} more blocks in each pass that is steered, and {1} of the VRAM.", estimate.control_blocks, vram
        )
    return message(
        "Control: {0} of {1} s are steered: {2} of {3} denoising passes go through {4} more blocks, and its weights, "
        "encoders and work take {5} of the VRAM.",
        *_shares(estimate.steered_seconds, estimate.seconds),
        estimate.steered,
        estimate.denoise,
        estimate.control_blocks,
        vram,
    )


def _remade(footprint: Footprint) -> Message:
    estimate = footprint.estimate
    if footprint.open_end:
        return message("Made from pictures, as far as there are any.")
    shares = _shares(estimate.remade_seconds, estimate.seconds)
    if estimate.control_blocks:
        # the line before has the encoders
        return message("Made from pictures: {0} of {1} s, which leaves out {2}.", *shares, _passes(estimate.left_out))
    return message(
        "Made from pictures: {0} of {1} s, which leaves out {2}; their encoder takes {3} of the VRAM.",
        *shares,
        _passes(estimate.left_out),
        in_gb(estimate.control_bytes),
    )


def _shares(part: float, whole: float) -> tuple[str, str]:
    return f"{part:.2f}", f"{whole:.2f}"


def _archive(footprint: Footprint) -> Message:
    estimate = footprint.estimate
    size = in_gb(estimate.archive_bytes)
    if estimate.archived_keys:
        return _archive_of_keys(footprint, size)
    if footprint.open_end:
        return message("Archive: at most {0} moments, {1} of RAM, and as much in each state.", estimate.archived, size)
    return message(
        "Archive: {0} moments at the end, {1} of RAM, and as much in each state; at most {2} to read moments again.",
        estimate.archived,
        size,
        _passes(estimate.moments),
    )


def _archive_of_keys(footprint: Footprint, size: str) -> Message:
    estimate = footprint.estimate
    if estimate.archived_keys == estimate.archived:
        if footprint.open_end:
            return message("Archive: at most {0} moments with their keys, {1} of RAM.", estimate.archived, size)
        return message("Archive: {0} moments at the end with their keys, {1} of RAM.", estimate.archived, size)
    return message(
        "Archive: at most {0} moments, {1} of RAM; archive_gb has room for the keys of {2}, and others are read anew: "
        "at most {3}.",
        estimate.archived,
        size,
        estimate.archived_keys,
        _passes(estimate.moments),
    )


def _chunks(number: int) -> Message:
    return message("1 chunk") if number == 1 else message("{0} chunks", number)


def _passes(number: int) -> Message:
    return message("1 pass") if number == 1 else message("{0} passes", number)
