"""Tooltips, help pages and translations of the nodes are complete, and agree with the schemas."""

from __future__ import annotations

import json
import re

import pytest

from tests.docs import help_pages as pages
from tools import locale_words
from tools.pin_schemas import COMMAND, PINNED
from tools.schemas import inputs_of, outputs_of

NODES = list(json.loads(PINNED.read_text()))
LANGUAGES = ["en", "zh"]
PICTURE = re.compile(r"!\[[^\]]+\]\(([\w.]+\.png)\)")
MOST_BYTES = 60_000
# a seed has no better value than another, and an example is no recommendation
NO_DEFAULT = {"seed", "prompts"}


@pytest.fixture(scope="module")
def words(infos) -> dict[str, dict]:
    """Names and tooltips of the nodes by language, in the form of the locale files."""
    return {"en": locale_words.english(infos), "zh": locale_words.read("zh")}


@pytest.mark.parametrize("node", NODES)
def test_every_node_says_what_it_is_and_can_be_found(infos, node):
    info = infos[node]
    assert len(info["description"]) >= 60 and info["description"].endswith(".")
    assert len(set(info["search_aliases"])) >= 4
    assert info["display_name"].startswith("MemFlow ") and info["category"] == "MemFlow"


@pytest.mark.parametrize("node", NODES)
def test_every_input_and_output_has_a_tooltip_of_substance(infos, node):
    tips = [(name, raw.get("tooltip") or "") for name, _, raw in inputs_of(infos[node])]
    tips += [(name, tip or "") for name, _, tip in outputs_of(infos[node])]
    assert [name for name, tip in tips if len(tip) < 40 or not tip.endswith(".")] == []
    assert len({tip for _, tip in tips}) == len(tips)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_tooltips_agree_with_the_schema(infos, words, node, language):
    texts = words[language][node].get("inputs", {})
    for name, pin, _ in inputs_of(infos[node]):
        tip = texts[name.replace(".", "_")]["tooltip"]
        assert pages.wrong_limits(tip, pin, language) == [], name
        if "default" in pin and name not in NO_DEFAULT:
            assert pages.marks_default(tip, pin, language), f"{name}: {tip}"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_help_page_lists_inputs_and_outputs_as_the_node_shows_them(infos, words, node, language):
    text = pages.page_of(node, language).read_text(encoding="utf-8")
    head_in, head_out, _ = pages.HEADS[language]
    texts = words[language][node]
    pins = {texts["inputs"][name.replace(".", "_")]["name"]: pin for name, pin, _ in inputs_of(infos[node])}
    rows = pages.table(text, head_in)
    assert [row[0] for row in rows] == list(pins)
    for name, default, meaning in rows:
        assert default == pages.default_text(pins[name], language), name
        assert pages.wrong_limits(meaning, pins[name], language) == [], name
        assert meaning
        if pins[name]["type"] == "COMFY_DYNAMICCOMBO_V3":
            assert [row[0] for row in pages.table(text, pages.CHOICES[language])] == pins[name]["options"]
    assert [row[0] for row in pages.table(text, head_out)] == [out["name"] for out in texts["outputs"].values()]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("node", NODES)
def test_the_help_page_has_a_picture_and_quotes_real_messages(node, language):
    text = pages.page_of(node, language).read_text(encoding="utf-8")
    assert text.startswith("# ")
    pictures = PICTURE.findall(text)
    assert pictures
    for name in pictures:
        file = pages.DOCS / name
        assert file.is_file() and file.stat().st_size <= MOST_BYTES, name
    rows = pages.table(text, pages.HEADS[language][2])
    quotes = [quote for row in rows for quote in re.findall(r"`([^`]+)`", row[0])]
    known = pages.messages()
    assert quotes and [quote for quote in quotes if not pages.is_quoted_from(quote, known)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_latent_frames_are_never_left_unexplained(words, language):
    frame, meaning = pages.OF_A_LATENT_FRAME[language]
    texts = locale_words.flat(words[language])
    texts |= {node: pages.page_of(node, language).read_text(encoding="utf-8") for node in NODES}
    assert [at for at, text in texts.items() if re.search(frame, text, re.I) and not re.search(meaning, text)] == []


def test_the_english_locale_is_what_the_schemas_say(words):
    wrong = f"run `{COMMAND}`, and read the other languages again"
    assert (locale_words.LOCALES / "en" / "nodeDefs.json").read_text() == locale_words.text_of(words["en"]), wrong


def test_chinese_translates_every_text_and_no_other(words):
    english, chinese = (locale_words.flat(words[language]) for language in LANGUAGES)
    assert sorted(chinese) == sorted(english)
    han = re.compile(r"[\u4e00-\u9fff]")
    same = [at for at, text in chinese.items() if not han.search(text) and not at.endswith(".name")]
    assert same == []


def test_chinese_has_the_numbers_and_the_choices_of_the_english(infos, words):
    """Every number, placeholder and name of a choice in a text stands in its translation too."""
    english, chinese = (locale_words.flat(words[language]) for language in LANGUAGES)
    different = {}
    for at, text in english.items():
        old, new = _facts(text), _facts(chinese[at])
        if not at.endswith(".name") and old != new:
            different[at] = {"missing": sorted(old - new), "added": sorted(new - old)}
    assert different == {}
    for node in NODES:
        for name, pin, _ in inputs_of(infos[node]):
            at = f"{node}.inputs.{name.replace('.', '_')}.tooltip"
            options = pin.get("options") if isinstance(pin.get("options"), list) else []
            named = [choice for choice in options if re.search(rf"\b{re.escape(choice)}:", english[at])]
            assert [choice for choice in named if choice not in chinese[at]] == [], at


def _facts(text: str) -> set[str]:
    return set(re.findall(r"%[^%\s]+%|\[[^\]]+\]|\d+(?:\.\d+)?|memflow_\w+|\.\w{2,}\b", text))


def test_what_the_front_end_formats_holds_no_signs_of_its_own(words):
    """vue-i18n reads | as a choice of plurals, and { } and @ as its own, in all texts but tooltips."""
    for language in LANGUAGES:
        texts = locale_words.flat(words[language]) | locale_words.flat(locale_words.read(language, "main"))
        assert [at for at, text in texts.items() if not at.endswith(".tooltip") and set(text) & set("|{}@")] == []
    assert (
        locale_words.flat(locale_words.read("en", "main")).keys()
        == locale_words.flat(locale_words.read("zh", "main")).keys()
    )
