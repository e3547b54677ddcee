"""Names of pins: what Python takes, the page takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from memflow_core.schedule import Pin, ScheduleError, Time
from memflow_core.schedule.schedule import is_pin_name
from tests.web.test_logic import NODE

HERE = Path(__file__).parent
NAMES = json.loads((HERE / "pin_names.json").read_text(encoding="utf-8"))
OPTIONS = HERE.parents[1] / "web" / "js" / "schedule" / "options.js"
# every character by itself, and behind a letter; surrogates are half characters
ALL = f"""
const {{ isPinName }} = await import({json.dumps(OPTIONS.as_uri())});
const marks = [];
for (let code = 0; code < 0x110000; code++) {{
  if (code >= 0xd800 && code < 0xe000) continue;
  const one = String.fromCodePoint(code);
  marks.push(isPinName(one) ? "2" : isPinName("a" + one) ? "1" : "0");
}}
console.log(marks.join(""));
"""


@pytest.mark.parametrize("name", NAMES["good"])
def test_a_good_name_is_taken(name):
    assert Pin(Time(0, "s"), name).name == name


@pytest.mark.parametrize("name", NAMES["bad"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ScheduleError, match="a pin's name is"):
        Pin(Time(0, "s"), name)


def test_every_character_means_the_same_to_the_page():
    command = [NODE, "--input-type=module", "-e", ALL]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    ours = "".join("2" if is_pin_name(one) else "1" if is_pin_name("a" + one) else "0" for one in characters)
    assert len(theirs) == len(ours)
    differ = [hex(ord(one)) for one, their, our in zip(characters, theirs, ours, strict=True) if their != our]
    assert differ == []


def test_a_name_of_before_is_a_name_today():
    """Names were a letter, then letters and digits, as Python's own version of Unicode had them."""
    lost = [one for one in map(chr, range(0x110000)) if (one.isalpha() or one == "_") and not is_pin_name(one)]
    assert lost == []
