"""How much a schedule may hold, so that reading one takes a moment, whatever is in it."""

from __future__ import annotations

from .errors import ScheduleError

MOST_CHARACTERS = 1_000_000
MOST_LINES = 20_000
MOST_SEGMENTS = 2_000


def check_text_size(text: str) -> None:
    """Raise ScheduleError for a text of too many characters or lines."""
    for name, count, most in (
        ("characters", len(text), MOST_CHARACTERS),
        ("lines", text.count("\n") + text.count("\r") + 1, MOST_LINES),
    ):
        if count > most:
            raise ScheduleError(f"the schedule has {count:,} {name}, but may have {most:,}: make it shorter.")


def check_count(name: str, count: int) -> None:
    """Raise ScheduleError for more than MOST_SEGMENTS prompts or pins. name: what they are called."""
    if count > MOST_SEGMENTS:
        raise ScheduleError(
            f"the schedule has {count:,} {name}, but may have {MOST_SEGMENTS:,}: split the story, and go on from a "
            f"saved state."
        )
