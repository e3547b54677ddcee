"""Write one character for many: full-width digits, colons and brackets, curly quotes, odd spaces.

Only what is read as syntax is folded. The words of a prompt are taken from the text as it was written, so every folded
character knows its place there.
"""

from __future__ import annotations

from dataclasses import dataclass

# as much of a line as a time with its marks, label and options may take; longer heads are prompts
HEAD = 200

INVISIBLE = frozenset(
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff\u202a\u202b\u202c\u202d\u202e"
)
_SAME = {
    " ": "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    '"': "\u201c\u201d\u201e\u201f\u301d\u301e",
    "'": "\u2018\u2019\u201a\u201b",
    ":": "\u2236\ufe55\ufe13\ua789",
    ",": "\ufe50",
    "-": "\u2010\u2011\u2012\u2212\ufe63",
    "[": "\u3010\u3014\u3016",
    "]": "\u3011\u3015\u3017",
    "<": "\u300a\u3008",
    ">": "\u300b\u3009",
    "~": "\u301c\u223c",
}
_TABLE = {odd: plain for plain, odds in _SAME.items() for odd in odds}
# the block of full-width ASCII
_TABLE.update({chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)})


@dataclass(frozen=True)
class Folded:
    """The folded start of a line, and the place in the line of each of its characters, and of what follows them."""

    text: str
    places: range | list[int]

    def place(self, at: int) -> int:
        """Where in the line the folded character `at` stands."""
        return self.places[at]


def fold(line: str, most: int = HEAD) -> Folded:
    """Fold the first `most` characters of a line."""
    head = line[:most]
    if head.isascii():
        return Folded(head, range(len(head) + 1))
    kept = [at for at, character in enumerate(head) if character not in INVISIBLE]
    return Folded("".join(_TABLE.get(head[at], head[at]) for at in kept), [*kept, len(head)])


def unwrap_curly(prompt: str) -> str | None:
    """The text between curly quotes that stand around a whole prompt, and nowhere in it; None for any other."""
    if len(prompt) < 2 or prompt[0] not in "\u201c\u201d\u201e" or prompt[-1] not in "\u201c\u201d":
        return None
    inner = prompt[1:-1]
    return None if any(quote in inner for quote in "\u201c\u201d\u201e") else inner
