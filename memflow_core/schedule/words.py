"""Words and signs that times are written with: units, numbers, clock times, joins of ranges, labels of scenes.

Every reader of times builds its patterns from these pieces, and takes its units from these tables. The pieces are meant
for folded text (see `fold`) and case-insensitive patterns; they hold no groups, and their repetitions are bounded.
web/js/schedule/vocabulary.js holds the same tables.
"""

from __future__ import annotations

import re

# unit of `Time`, how many of it, the words that the text form knows, and those that are read besides
UNIT_WORDS: list[tuple[str, float, str, str]] = [
    (
        "s",
        1,
        "s sec secs second seconds",
        "sek sekunde sekunden seg segs segundo segundos seconde secondes secondo secondi 秒 秒钟 秒鐘 초 "
        "с сек секунд секунда секунды секунде секунду",
    ),
    ("s", 60, "min mins minute minutes", "minuten minuto minutos minuti мин минута минуты минут 分 分钟 分鐘 분"),
    ("s", 0.001, "", "ms msec milliseconds 毫秒"),
    ("s", 3600, "", "h hr hrs hour hours 小时 小時 時間"),
    ("frames", 1, "f frame frames", "fr кадр 帧 幀 フレーム"),
    ("chunks", 1, "c chunk chunks", ""),
    ("latent", 1, "l latent latents", ""),
    ("percent", 1, "% percent", ""),
]
TEXT_UNITS = {word: (unit, scale) for unit, scale, own, _ in UNIT_WORDS for word in own.split()}
UNITS = {word: (unit, scale) for unit, scale, own, more in UNIT_WORDS for word in f"{own} {more}".split()}

# before a time: `from 3s`, `t=3`
TIME_WORDS = "at from between de von ab bei с на time timestamp timecode"
# between the two times of a range, besides signs
TO_WORDS = "to until till through and bis à a по до"
TO_SIGNS = "至 到 から 부터"
# behind a time: `0秒まで`, `00:00 Uhr`
TAIL_WORDS = "まで 까지 時点 时 Uhr"
# before a length, not a start: `for 3s`, `the next 5s`
LASTING_WORDS = (
    "for in within over every during after nach first next last final another other lasts takes ersten nächsten "
    "letzten après pendant durante primeros próximos últimos duration dauer durée length"
)
# before the number of a part of a story
LABEL_WORDS = (
    "scene shot segment clip part prompt beat act step keyframe caption chapter panel take szene teil scène escena "
    "cena plan toma plano сцена кадр 镜头 鏡頭 场景 場景 片段 分镜 提示词 シーン カット 장면"
)
# of those, the ones that may begin a heading or the next part of a line
PART_WORDS = (
    "scene shot segment clip part beat act step chapter panel take szene teil scène escena cena plan toma plano "
    "сцена кадр 镜头 鏡頭 场景 場景 シーン カット 장면"
)


def one_of(words: str) -> str:
    """A pattern of one of several words, the longest that fits."""
    return f"(?:{'|'.join(re.escape(word) for word in sorted(words.split(), key=len, reverse=True))})"


# -- pieces of patterns -----------------------------------------------------------------------------------------------

NUMBER = r"(?:[0-9]{1,13}(?:[.,][0-9]{1,9})?|\.[0-9]{1,9})"
CLOCK = r"[0-9]{1,4}:[0-9]{2}(?::[0-9]{2})?(?:[.,][0-9]{1,6})?(?![0-9])"
# `16:9` is one, too
LOOSE_CLOCK = CLOCK.replace("{2}", "{1,2}")
CJK = "\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"
CYRILLIC = "\u0400-\u04ff"
_LETTERS = "A-Za-z\u00c0-\u024f" + CYRILLIC
CHINESE_DIGITS = "零一二三四五六七八九十"


def unit_pattern(words: str) -> str:
    """A pattern of one of these units; a letter behind makes it another word, but not behind a Chinese one."""
    spelt = " ".join(word for word in words.split() if word < "\u3000")
    signs = " ".join(word for word in words.split() if word >= "\u3000")
    return f"(?:{one_of(spelt)}(?![0-9{_LETTERS}])" + (f"|{one_of(signs)})" if signs else ")")


UNIT = unit_pattern(" ".join(UNITS))
COUNT = rf"{NUMBER}[ \t]?{UNIT}"
TIME = rf"(?:{CLOCK}|{COUNT})"

# `frame 3`, `Sekunde 3`: units that are written before their number, too
NAMED_UNITS = " ".join(word for word in UNITS if len(word) > 2 and word < "\u3000")
NAMED_UNIT = rf"(?:{one_of(NAMED_UNITS)}\.?(?![{_LETTERS}]))"

ARROW = r"(?:-->|<?[-=\u2013\u2014\u2015]{1,2}>|\u2192|\u21d2|\u279c)"
DASH = r"[-\u2013\u2014\u2015~]"
JOIN = (
    rf"(?:[ \t]{{0,3}}(?:{ARROW}|{DASH}{{1,2}}|\.{{2,3}}|\u2026|>|{one_of(TO_SIGNS)}第?)[ \t]{{0,3}}"
    rf"|[ \t]{{1,3}}{one_of(TO_WORDS)}[ \t]{{1,3}})"
)
TAIL = rf"(?:[ \t]?{one_of(TAIL_WORDS)}(?![A-Za-z]))"
LASTING = rf"\b{one_of(LASTING_WORDS)}[ \t:]{{0,3}}$"
LABEL = one_of(LABEL_WORDS)
PART = one_of(PART_WORDS)
PART_NUMBER = rf"#?(?:[0-9]{{1,3}}(?![0-9.A-Za-z%]|:[0-9])|[{CHINESE_DIGITS}]{{1,3}})"
# `Shot 2`, `Kamera 2/3`, `1.`, `#4`: the name of a part of any story
NUMBERED_PART = (
    rf"(?:{PART}[ \t]?{PART_NUMBER}|[^\W\d_]{{1,12}}[ \t_]?[0-9]{{1,3}}(?:/[0-9]{{1,3}})?"
    r"|#?[0-9]{1,3}[.)]|#[0-9]{1,3})"
)
