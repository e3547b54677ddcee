"""What a prompt holds that a video model without negatives cannot take: `--neg ...`, and expressions in backticks."""

from __future__ import annotations

import re

NEGATIVE, EXPRESSION = "negative", "expression"

_FLAG = re.compile(r"(?:^|(?<=\s))--(?:neg|negative|no)(?![\w-])", re.IGNORECASE)
# `(robot:`0.5*sin(t)`)` weighs a word over time; a word in backticks is a word
_EXPRESSION = re.compile(r":?`([^`\n]*)`")
_MATHS = re.compile(r"[0-9+*/()=<>^%]|\bmax_f\b|\b[a-z]+_[a-z0-9]+\b|^\s*-?[tx]\s*$")
_NEGATIVE_LINE = re.compile(
    r"(?:negative(?:[ _-]?prompts?)?(?:[ \t](?:\([^()\n]{1,30}\)|for [^:\n]{1,30}))?|avoid|(?:do not|don't) include"
    r"|neg(?:[ _-]?prompts?)?|n_prompt"
    r"|prompt n[ée]gatif|(?:negativer|negatives) prompt|prompt negativo"
    r"|负面提示词?|反向提示词?|负向提示词?|負面提示詞?|反向提示詞)[ \t]{0,3}(?:[:=]|$)"
    r"|--(?:neg|negative|no)(?![\w-])",
    re.IGNORECASE,
)
# `fox. Negative: bad.`; a negative image is a word
_WITHIN = re.compile(
    r"(?:[|.;,\u3002\uff0c\uff1b][ \t]{0,3}"
    r"|[ \t]?[(\[][ \t]?)[*_]{0,3}(?:negative(?:[ _-]?prompts?)?|avoid|do not include)[*_]{0,3}[ \t]{0,3}[:\uff1a]",
    re.IGNORECASE,
)
# the line of settings that image programs write below prompts
_SETTINGS_LINE = re.compile(r"Steps: [0-9]{1,5}, [A-Z]")


def without_leftovers(prompt: str) -> tuple[str, list[str]]:
    """A prompt without what the model cannot take, and the kinds of what was left out, NEGATIVE and EXPRESSION."""
    kinds = []
    flag = _FLAG.search(prompt)
    if flag:
        prompt = prompt[: flag.start()].rstrip(" \t,")
        kinds.append(NEGATIVE)
    within = _WITHIN.search(prompt)
    if within:
        stop = within[0][0] in ".\u3002"
        prompt = prompt[: within.start() + stop].rstrip(" \t,")
        kinds.append(NEGATIVE)
    if "`" in prompt:
        bare = _EXPRESSION.sub(_replaced, prompt)
        if bare != prompt:
            prompt = " ".join(bare.split())
            kinds.append(EXPRESSION)
    return prompt, kinds


def _replaced(found: re.Match[str]) -> str:
    return "" if _MATHS.search(found[1]) else found[0]


def is_negative_line(folded: str) -> bool:
    """Whether a line, folded, is a negative prompt, or the settings that follow one in files of image programs."""
    bare = folded.lstrip('-+*#_~`>\u2022 \t"').replace("*", "").replace("_", " ")
    return bool(_NEGATIVE_LINE.match(folded) or _NEGATIVE_LINE.match(bare.rstrip()) or _SETTINGS_LINE.match(folded))
