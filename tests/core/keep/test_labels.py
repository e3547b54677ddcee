"""Labels: a name says what a part is known by, a file tells it to people, and only whole ones count."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from memflow_core.keep import LabelName, LabelText, Library
from memflow_core.keep.labels import label_of

NAME = LabelName("a" * 32, 4, "b" * 32, "c" * 32, "d" * 32)
PICTURE = "data:image/jpeg;base64,AAAA"
TEXT = LabelText(
    end=7, segment=4, prompt="a cat\nsits", seed=2**63, start_s=2.8125, end_s=5.0, made_s=1.5, pictures=(PICTURE,)
)


@pytest.fixture
def library(tmp_path):
    told = []
    found = Library(tmp_path / "moments", 10**6, told.append)
    found.told = told
    return found


def test_a_label_comes_back_as_it_was_written(library):
    assert library.labels() == [] and library.keep_label(NAME, TEXT)
    assert library.labels() == [NAME] == [label_of(NAME.file)]
    assert library.label(NAME) == TEXT and library.told == []
    assert library.keep_label(NAME, replace(TEXT, seed=1)) and library.label(NAME).seed == 1


def test_a_budget_of_nothing_keeps_no_label(tmp_path):
    library = Library(tmp_path / "moments", 0)
    assert not library.keep_label(NAME, TEXT) and not (tmp_path / "moments").exists()


def changed(**values) -> bytes:
    content = {
        "end": 7,
        "segment": 4,
        "prompt": "a",
        "seed": 1,
        "start_s": 0,
        "end_s": 1.5,
        "made_s": 2,
        "pictures": [],
    }
    return json.dumps(content | values).encode()


DAMAGED = {
    "nothing": b"",
    "half": changed()[:-9],
    "no object": b"[]",
    "less": b'{"end": 7}',
    "a number for a prompt": changed(prompt=5),
    "a seed below nothing": changed(seed=-1),
    "a truth for a seed": changed(seed=True),
    "a text for a time": changed(start_s="0"),
    "another address": changed(pictures=["https://example.com/picture.jpg"]),
    "no text for a picture": changed(pictures=[5]),
    "nested": b"[" * 100_000,
    "large": changed(prompt="a" * 5_000_000),
}


def test_what_is_whole_is_read(library):
    library.keep_label(NAME, TEXT)
    (library.folder / NAME.file).write_bytes(changed())
    assert library.label(NAME).end == 7


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_label_is_skipped_with_one_sentence(library, kind):
    library.keep_label(NAME, TEXT)
    (library.folder / NAME.file).write_bytes(DAMAGED[kind])
    assert library.label(NAME) is None and len(library.told) == 1 and "skipped" in library.told[0]


@pytest.mark.parametrize("name", [NAME.file[:-1], f"x{NAME.file}", NAME.file.replace("_4_", "_-4_"), "label.json"])
def test_other_names_are_no_labels(library, name):
    library.keep_label(NAME, TEXT)
    (library.folder / NAME.file).rename(library.folder / name)
    assert label_of(name) is None and library.labels() == [] and library.files() == []


def test_a_label_goes_with_its_part_and_gives_way_like_one(library):
    library.keep_latents(NAME.digest, 4, 7, torch.zeros(1, 4, 3, 2, 2))
    library.keep_label(NAME, TEXT)
    other = replace(NAME, digest="e" * 32)
    library.keep_label(other, TEXT)
    assert library.remove_all([NAME.digest]) > 0
    assert library.labels() == [other]
    assert library.remove_all() > 0 and not library.folder.exists()
