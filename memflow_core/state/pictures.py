"""Small pictures of remembered moments, which a state's file carries along for whoever shows the story.

They stand in the file's header beside what the state is: a JSON object of data URLs, by the number of the chunk whose
first frame they show, or by the number below zero of a picture that was given to be remembered. No number of the story
depends on them. Files without them, and programs that do not know them, are as before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .read_json import parse_json

PICTURES = "pictures"  # in the header
MOST_PICTURES = 128
MOST_URL = 32_768  # characters of one: a JPEG of 128 x 96 takes a tenth
MOST_CHARACTERS = 1_000_000  # of all
_URL = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+={0,2}")
_NUMBER = re.compile(r"-?[0-9]{1,9}")


def header_of(pictures: Mapping[int, str]) -> dict[str, str]:
    """The header entry of pictures, by falling order of worth: as many as there is room for; empty for none."""
    chosen: dict[str, str] = {}
    room = MOST_CHARACTERS
    for number, url in pictures.items():
        if len(chosen) < MOST_PICTURES and len(url) <= min(room, MOST_URL) and _URL.fullmatch(url):
            chosen[str(number)] = url
            room -= len(url)
    return {PICTURES: json.dumps(chosen)} if chosen else {}


def pictures_in(header: Mapping[str, str]) -> dict[int, str]:
    """The pictures of a header; empty where it has none. Raises ValueError, as the end of a sentence, for others."""
    text = header.get(PICTURES)
    if text is None:
        return {}
    if len(text) > 2 * MOST_CHARACTERS:
        raise ValueError(f"its small pictures take {len(text)} characters, but {2 * MOST_CHARACTERS} are the most")
    try:
        read = parse_json(text)
    except ValueError as error:
        raise ValueError("its small pictures are no JSON") from error
    if not isinstance(read, dict) or len(read) > MOST_PICTURES:
        raise ValueError(f"its small pictures are no object of at most {MOST_PICTURES} entries")
    for number, url in read.items():
        if not _NUMBER.fullmatch(number) or not isinstance(url, str) or len(url) > MOST_URL or not _URL.fullmatch(url):
            raise ValueError(f"its small picture {number[:20]!r} is no JPEG of at most {MOST_URL} characters")
    return {int(number): url for number, url in read.items()}
