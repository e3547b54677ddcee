"""Check what a state file says of its archive."""

from __future__ import annotations

from typing import Any

from .values import is_whole, lists_of, need

MAX_FRAME = 10**9


def check_archive(meta: dict[str, Any], *, end: int, batch: int, places: int) -> list[int]:
    """The latent frames in an archive, in its order. Raises ValueError with what is wrong, as the end of a sentence.

    end     one past the newest latent frame.
    batch   of the stream.
    places  in its bank.
    """
    entries = lists_of(meta["archive"], 2, "its archive is described wrongly")
    for frame, prompt in entries:
        need(is_whole(frame, 0, end - 1), f"frame {frame!r} is in its archive")
        need(is_whole(prompt, 0, meta["prompts"] - 1), f"a frame was made under prompt {prompt!r}")
    frames = [frame for frame, _ in entries]
    need(len(set(frames)) == len(frames), "a frame stands twice in its archive")
    banned = meta["banned"]
    proper = isinstance(banned, list) and all(is_whole(frame, 0, end - 1) for frame in banned)
    need(proper and set(banned) <= set(frames), "it bans frames that are not in its archive")
    need(isinstance(meta["choice_due"], bool), "choice_due is neither true nor false")
    _check_chosen(meta["chosen"], set(frames), batch, places)
    return frames


def check_made(meta: dict[str, Any], frames: list[int]) -> int:
    """How many frames of an archive of keys have theirs in the state. Raises ValueError as `check_archive` does.

    frames  of the archive.
    """
    made = meta["archived_keys"]
    proper = isinstance(made, list) and all(is_whole(frame, 0, MAX_FRAME) for frame in made)
    need(proper and set(made) <= set(frames), "it has keys of frames that are not in its archive")
    need(len(set(made)) == len(made), "keys of a frame stand twice in its archive")
    known = set(frames)
    asked = lists_of(meta["archive_asked"], 2, "what was asked of its archive is described wrongly")
    need(len({str(frame) for frame, _ in asked}) == len(asked), "what was asked of its archive stands twice")
    for frame, times in asked:
        need(is_whole(frame, 0, MAX_FRAME) and frame in known, f"frame {frame!r} was asked for, but is not there")
        need(is_whole(times, 1, MAX_FRAME), f"frame {frame!r} was asked for {times!r} times")
    return len(made)


def _check_chosen(chosen: object, frames: set[int], batch: int, places: int) -> None:
    """What the current prompt asked for: a row of archived frames for each batch item, all of one length."""
    wrong = "what was chosen from its archive is described wrongly"
    rows = chosen if isinstance(chosen, list) else []
    need(len(rows) == batch and all(isinstance(row, list) for row in rows), wrong)
    need(len({len(row) for row in rows}) == 1, wrong)
    need(len(rows[0]) <= places, "more was chosen from its archive than the bank can hold")
    for row in rows:
        whole = all(isinstance(frame, int) and not isinstance(frame, bool) for frame in row)
        need(whole and set(row) <= frames, "it chose frames that are not in its archive")
        need(len(set(row)) == len(row), "it chose a frame twice")
