"""Words around a schedule that a chat program or a person wrote, such as `Here is your schedule:`."""

from __future__ import annotations

import re

from .words import CHINESE_DIGITS, PART

_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|great|got it|here(?:'s|\u2019s| is| are)|below|this is|title"
    r"|prompts?|schedule|timeline|storyboard|video prompts?|好的|当然|以下|下面|这是|标题)\b",
    re.IGNORECASE,
)
_FAREWELL = re.compile(
    r"(?:let me know|hope |i hope|feel free|enjoy|would you like|do you want|want me to"
    r"|total (?:run|length|dur|time)|(?:note|tip|hinweis|tipp)\b[*_]{0,2}:|i can also|this (?:prompt|sequence"
    r"|schedule)|viel spa"
    r"|sag bescheid|n['\u2019]h\u00e9sitez|\u00bfquieres|\u3054\u5e0c\u671b|if you(?:'d|\u2019d| would| want"
    r"| need)|tell me|good luck|happy |如果|希望|请告诉)",
    re.IGNORECASE,
)


_NUMBER = rf"(?:[0-9]{{1,3}}|[{CHINESE_DIGITS}]{{1,3}}|[ivx]{{1,4}}|one|two|three|four|five|six)"
_PART = re.compile(rf"[^\w]{{0,9}}{PART}[ \t]?#?{_NUMBER}\b[^.!?]{{0,60}}$", re.IGNORECASE)
_WHOLE = re.compile(r"([*_]{1,3})[^*_]{1,80}\1:?$|\[[^\[\]]{1,60}\]:?$|[^.!?,;\u3002\uff0c]{1,60}[:\uff1a][*_]{0,3}$")


def is_heading(line: str) -> bool:
    """Whether a line names a part of a story: `Scene 2`, `**The snow**`, `[Climax]`, `CUT TO:`."""
    return bool(_PART.match(line) or _WHOLE.match(line))


def is_preamble(line: str) -> bool:
    """Whether a line before the first prompt introduces a schedule: it ends with a colon, or starts as answers do."""
    bare = line.strip("#*_~` \t")
    return not bare or bare[-1] in ":\uff1a" or bool(_PREAMBLE.match(bare)) or is_rule(line) or line.startswith("##")


def is_farewell(line: str) -> bool:
    """Whether a line, folded, speaks to the reader of an answer, behind the last prompt."""
    return bool(_FAREWELL.match(line.lstrip("#*_~` \t")))


def is_rule(line: str) -> bool:
    """Whether a line is nothing but a rule or a fence: `---`, `***`, three backticks."""
    return len(line) >= 3 and ((line[0] in "-=*_~" and not line.strip(line[0])) or line.startswith("```"))
