"""Words around a schedule that a chat program or a person wrote, such as `Here is your schedule:`."""

from __future__ import annotations

import re

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
