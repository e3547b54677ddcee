"""Words around a schedule that a chat program or a person wrote, such as `Here is your schedule:`."""

from __future__ import annotations

import re

from .words import CHINESE_DIGITS, PART

_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|great|got it|here(?:'s|\u2019s| is| are)|below|this is|title"
    r"|prompts?|schedule|timeline|storyboard|video prompts?|好的|当然|以下|下面|这是|标题)\b",
    re.IGNORECASE,
)
# before a time that is not 0 only what can be no prompt
_TITLE = re.compile(
    r"(?:title|\u6807\u9898|titre|titel|t\u00edtulo)[ \t]?[:\uff1a]"
    r"|(?:sure|certainly|of course|absolutely|okay|ok|great|got it|\u597d\u7684)[!,.:]"
    r"|here(?:'s|\u2019s| is| are| you go)\b"
    r"|an? [0-9]{1,4}[ -](?:s|sec|second|minute)s?\b[^.]{0,30}\b(?:film|video|clip|movie|story)\b[^.]{0,20}$",
    re.IGNORECASE,
)
# what answers end with; the first ones are no words of a prompt even right below one
_FAREWELL = re.compile(
    r"(?:(?:let me know|i hope|feel free|would you like|do you want|want me to|i can also|sag bescheid)\b"
    r"|viel spa\u00df|soll ich\b|m\u00f6chtest du\b|n['\u2019]h\u00e9sitez|souhaitez-vous|voulez-vous|\u00bfquieres"
    r"|quieres que|quer que|gostaria que|хотите|\u3054\u5e0c\u671b|\u9700\u8981\u6211|total (?:run|length|dur|time)"
    r"|(?:note|tip|hinweis|tipp|nota|remarque|заметка)\b[*_]{0,2} ?:)",
    re.IGNORECASE,
)
_FAREWELL_APART = re.compile(
    r"(?:hope |enjoy|this (?:prompt|sequence|schedule)|viel spa|if you(?:'d|\u2019d| would| want| need)|tell me"
    r"|good luck|happy |\u5982\u679c|\u5e0c\u671b|\u8bf7\u544a\u8bc9)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"[^\W\d]{3,20}[ \t]?:[ \t]")


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


def is_title(line: str) -> bool:
    """Whether a line before a time names the whole or speaks to the reader: `Title: Foxes`, `Sure!`."""
    return bool(_TITLE.match(line.strip("#*_~` \t")))


def is_farewell(line: str, apart: bool) -> bool:
    """Whether a line, folded, speaks to the reader of an answer. apart: whether an empty line stands before it."""
    bare = line.lstrip("#*_~` \t")
    return bool(_FAREWELL.match(bare) or (apart and _FAREWELL_APART.match(bare)))


def is_named(line: str) -> bool:
    """Whether a line, folded, begins with a name of what it is about: `Style: watercolour`."""
    return bool(_NAMED.match(line.lstrip("-#*_ \t").replace("*", "")))


def is_rule(line: str) -> bool:
    """Whether a line is nothing but a rule or a fence: `---`, `***`, three backticks."""
    return len(line) >= 3 and ((line[0] in "-=*_~" and not line.strip(line[0])) or line.startswith("```"))
