"""Errors that the page shows, and notes of the workflow files: each has a Chinese twin."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from memflow_core.schedule import ScheduleError
from tests.cases.test_schedules import REFUSED, read
from tests.web.test_logic import NODE
from tools import make_workflows, sentences
from tools.comfy_host import ROOT
from tools.stories import STORIES

SAY = (ROOT / "web/js/i18n/say.js").as_uri()
IN_CHINESE = f"""
    const {{ setLanguage, sayError }} = await import({json.dumps(SAY)});
    let asked = "";
    for await (const part of process.stdin) asked += part;
    setLanguage("zh");
    console.log(JSON.stringify(JSON.parse(asked).map(sayError)));
"""
# what a user or a file has written stands in quotes or brackets, and so does what is to be written
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|“[^”]*”""")
ENGLISH = re.compile(r"[A-Za-z]{2,} [A-Za-z]+ [A-Za-z]{2,}")
CHINESE = re.compile("[\u4e00-\u9fff]")


def in_chinese(english: list[str]) -> list[str]:
    program = [NODE, "--input-type=module", "-e", IN_CHINESE]
    done = subprocess.run(program, input=json.dumps(english), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_every_sentence_has_a_chinese_twin():
    english = {text for texts in sentences.all_sentences().values() for text in texts} | set(sentences.VALUES)
    chinese = sentences.chinese_keys()
    assert len(english) > 250
    assert sorted(english - set(chinese)) == [], "python -m tools.sentences lists them"
    assert sorted(set(chinese) - english) == []
    assert len(set(chinese)) == len(chinese)


RESOLVED = ["knows none", "has no bank"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise ScheduleError(f"line {a}: {b} is none.")', ["line {0}: {1} is none."]),
        ('require(ok, f"{a} is: " + ("add one." if b else f"take {c}."))', ["{0} is: add one.", "{0} is: take {1}."]),
        ('def f():\n    return f"the pin {a}"\nraise ValueError(f"{f()} is late.")', ["{0} is late.", "the pin {0}"]),
        ('why = "knows none" if a else "has no bank"\nraise ValueError(f"it {why}.")', RESOLVED),
        ('raise ValueError("null")\nlog("a text of no error.")', []),
    ],
)  # fmt: skip
def test_sentences_of_python_are_found(source, found):
    assert sentences.of_python(source) == found


def test_refused_schedules_are_told_in_chinese():
    told = set()
    for _, case in REFUSED:
        with pytest.raises(ScheduleError) as error:
            read(case)
        told.add(str(error.value))
    english = sorted(told)
    assert len(english) > 200
    for sentence, chinese in zip(english, in_chinese(english), strict=True):
        assert CHINESE.search(chinese) and not ENGLISH.search(QUOTED.sub("", chinese)), f"{sentence}\n{chinese}"


def test_notes_have_a_chinese_twin_that_says_as_much():
    assert make_workflows.CHINESE_NOTES.read_text(encoding="utf-8") == make_workflows.chinese_notes()
    notes = {note.text: note for story in STORIES for note in story.notes}
    for path in make_workflows.FOLDER.glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            assert node["type"] != "MarkdownNote" or node["widgets_values"][0] in notes, path.name
    for note in notes.values():
        assert CHINESE.search(note.chinese)
        # the same files and addresses, and the same words of widgets and of schedules
        for part in (r"\]\(([^)]*)\)", r"`([^`]*)`"):
            assert sorted(re.findall(part, note.chinese)) == sorted(re.findall(part, note.text)), note.text[:40]
        assert note.chinese.count("\n- ") == note.text.count("\n- ")
