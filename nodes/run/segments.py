"""Chain segments, node by node, with the words that their embeddings were made from."""

from __future__ import annotations

from dataclasses import replace

from ...memflow_core.schedule import PromptSchedule, Segment
from .. import host
from .request import EncodedPrompts


def segment_prompt(words: host.Words, number: int) -> str:
    """The prompt of a segment as reports, the page and what was played have it.

    Where its words cannot be known, it says so instead: then what was played does not play again as it was.
    """
    if words.text is not None and words.text.strip():
        return words.text
    if words.text is not None:
        return f"segment {number} (an empty prompt)"
    return f"segment {number} (words not known{f', they come from {words.source}' if words.source else ''})"


def add_segment(before: EncodedPrompts | None, segment: Segment, spoken: host.Spoken) -> EncodedPrompts:
    """Append a segment, with what its conditioning brings, to those before it.

    Nothing is put before the words of a segment. A global prompt of those before becomes part of theirs, so that what
    was played makes the same embeddings again.
    """
    if before is None:
        return EncodedPrompts.of(PromptSchedule((segment,)), (spoken,))
    prompts = before.prompts
    earlier = prompts.segments
    if prompts.global_prompt:
        earlier = [replace(one, prompt=prompts.full_prompt(one.prompt)) for one in earlier]
    joined = replace(prompts, segments=(*earlier, segment), global_prompt="")
    return before.with_segments(joined, (spoken,))
