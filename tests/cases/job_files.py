"""Malformed stories and options for `memflow render`, made from good ones: each has one fault.

python -m tests.cases.job_files FOLDER    writes the files down
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GOOD_TEXT = "length: 4s\n0s: the meadow lies empty\n2s: a robot walks across the meadow"
GOOD_LINE = {"prompts": ["the meadow lies empty", "a robot walks across the meadow"]}
GOOD_SCENES = "the meadow lies empty [3s#] | a robot walks across the meadow [3s]; one | two"


@dataclass(frozen=True)
class Case:
    """One fault.

    file     name and content of a STORY; None: a good one.
    options  of the command line.
    word     stands in the message.
    """

    name: str
    file: tuple[str, bytes] | None = None
    options: tuple[str, ...] = field(default=())
    word: str = ""


def cases() -> list[Case]:
    """All cases, each with a name of its own."""
    made = [*_files(), *_graphs(), *_workflows(), *_job_files(), *_texts(), *_lines(), *_scenes(), *_options()]
    assert len({case.name for case in made}) == len(made)
    return made


def workflow() -> dict[str, Any]:
    """A good workflow, as the page saves it."""
    return json.loads((ROOT / "workflows" / "tiny_story.json").read_text(encoding="utf-8"))


def graph() -> dict[str, Any]:
    """A good graph in the API form."""
    stream = {
        "seed": 1, "width": 64, "height": 64, "length": 57, "fps": 16.0, "filename_prefix": "video/x",
        "format": "mp4 (h264)", "quality": "high", "save_output": True, "steps": "1000", "shift": 5.0,
        "model": ["2", 0], "vae": ["2", 2], "schedule": ["3", 0],
    }  # fmt: skip
    return {
        "2": {"class_type": "MemFlowTinyStory", "inputs": {}},
        "3": {
            "class_type": "MemFlowPromptSchedule",
            "inputs": {"prompts": GOOD_TEXT, "global_prompt": "", "clip": ["2", 1]},
        },
        "5": {"class_type": "MemFlowStreamToVideo", "inputs": stream},
    }


def _json(name: str, value: Any, word: str = "") -> Case:
    return Case(name, (f"{name.replace(' ', '_').replace('/', '_')}.json", json.dumps(value).encode()), word=word)


def _files() -> Iterator[Case]:
    text = json.dumps(workflow())
    yield Case("no such file", ("", b""), word="no such file")
    yield Case("empty", ("empty.txt", b""), word="empty")
    yield Case("blank", ("blank.txt", b" \n\t\n"), word="empty")
    yield Case("a mark alone", ("mark.txt", b"\xef\xbb\xbf"), word="empty")
    yield Case("not UTF-8", ("latin.txt", "0s: caf\xe9".encode("latin-1")), word="UTF-8")
    yield Case("binary", ("binary.json", bytes(range(256))), word="UTF-8")
    yield Case("UTF-16", ("wide.txt", GOOD_TEXT.encode("utf-16")), word="UTF-8")
    for ending in (".mp4", ".webm", ".mkv"):
        yield Case(f"no video {ending}", (f"no{ending}", b"\0" * 2000), word="no video")
    for place in range(1, 20):
        cut = text[: len(text) * place // 20]
        yield Case(f"workflow cut at {place} of 20", (f"cut{place}.json", cut.encode()), word="JSON")
    for value in (1, "text", None, True, [], [1, 2], {}, {"nodes": 3}, {"a": 1}, {"nodes": {}}):
        yield _json(f"JSON of another kind {value!r}", value)
    yield Case("JSON too deep", ("deep.json", b"[" * 100_000), word="JSON")


def _graphs() -> Iterator[Case]:
    """One thing changed in one place of the API form."""

    def case(name: str, change: Callable[[dict[str, Any]], Any], word: str = "") -> Case:
        value = graph()
        change(value)
        return _json(f"graph, {name}", value, word)

    for id in ("2", "3", "5"):
        yield case(f"node {id} of no known type", lambda g, id=id: g[id].update(class_type="NoSuchNode"), "NoSuchNode")
        yield case(f"node {id} of a numeric type", lambda g, id=id: g[id].update(class_type=7), "damaged")
        yield case(f"node {id} without inputs", lambda g, id=id: g[id].pop("inputs"), "damaged")
        yield case(f"node {id} with a list of inputs", lambda g, id=id: g[id].update(inputs=[]), "damaged")
    yield case("no node that writes", lambda g: g.pop("5"), "writes")
    for id, node in graph().items():
        for name, value in node["inputs"].items():
            if name not in ("shift", "quality"):
                yield case(f"{id} lacks {name}", lambda g, i=id, n=name: g[i]["inputs"].pop(n), name)
            if isinstance(value, list):
                for link, word in (
                    (["77", 0], "not there"),
                    ([value[0], 9], "output 9"),
                    ([value[0], -1], "output -1"),
                ):
                    yield case(
                        f"{id} {name} linked to {link}",
                        lambda g, i=id, n=name, v=link: g[i]["inputs"].update({n: v}),
                        word,
                    )
    numbers = {
        "seed": (-1, 2**64, "x", None, {}),
        "width": (0, 9000, "wide"),
        "height": (-16, 8208, []),
        "length": (-1, 10**7, "long", 5.5),
    }
    numbers |= {"fps": (0, 1000, "fast", False), "shift": (0, 101, "s")}
    for name, values in numbers.items():
        for value in values:
            if not isinstance(value, list) or value:
                yield case(f"{name} is {value!r}", lambda g, n=name, v=value: g["5"]["inputs"].update({n: v}), name)
    yield case("prompts is a number", lambda g: g["3"]["inputs"].update(prompts=5), "prompts")
    yield case(
        "no length at all",
        lambda g: (g["5"]["inputs"].update(length=0), g["3"]["inputs"].update(prompts="0s: a")),
        "no end",
    )


def _workflows() -> Iterator[Case]:
    """One thing changed in a workflow as the page saves it."""

    def case(name: str, change: Callable[[dict[str, Any]], Any], word: str = "") -> Case:
        value = workflow()
        change(value)
        return _json(f"workflow, {name}", value, word)

    for place in range(1, 5):
        yield case(f"node {place} without id", lambda w, p=place: w["nodes"][p].pop("id"), "damaged")
        yield case(f"node {place} without type", lambda w, p=place: w["nodes"][p].pop("type"), "damaged")
        yield case(f"node {place} is text", lambda w, p=place: w["nodes"].__setitem__(p, "x"), "damaged")
        yield case(f"node {place} unknown", lambda w, p=place: w["nodes"][p].update(type="Gone"), "Gone")
        yield case(f"node {place} a group", lambda w, p=place: w["nodes"][p].update(type="workflow>Mine"), "group")
    # the sampler's memory and clip may be missing
    needed = [place for place, link in enumerate(workflow()["links"]) if link[3:5] not in ([5, 3], [5, 5])]
    assert len(needed) == 4
    for place in needed:
        yield case(f"link {place} cut short", lambda w, p=place: w["links"].__setitem__(p, [1]), "damaged")
        yield case(f"link {place} gone", lambda w, p=place: w["links"].pop(p), "has no")
        yield case(f"link {place} from nowhere", lambda w, p=place: w["links"][p].__setitem__(1, 99), "damaged")
    yield case("no nodes", lambda w: w.update(nodes=[]), "no node")
    yield case("all muted", lambda w: [node.update(mode=2) for node in w["nodes"]], "no node")
    yield case("all bypassed", lambda w: [node.update(mode=4) for node in w["nodes"]], "no node")
    yield case("sampler muted", lambda w: w["nodes"][4].update(mode=2), "writes")
    yield case("model muted", lambda w: w["nodes"][1].update(mode=2), "has no")
    yield case("a circle of reroutes", _circle, "circle")
    yield case("a subgraph within itself", _endless, "itself")
    yield case("a Get node without its Set node", _lost_get, "Set")


def _circle(w: dict[str, Any]) -> None:
    for id, link in ((91, 92), (92, 91)):
        w["nodes"].append(
            {"id": id, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": link}], "outputs": []}
        )
    w["links"] += [[91, 91, 0, 92, 0, "*"], [92, 92, 0, 91, 0, "*"]]
    w["nodes"][4]["inputs"][0]["link"] = 91


def _endless(w: dict[str, Any]) -> None:
    inner = {"id": 1, "type": "again", "inputs": [], "outputs": []}
    w["definitions"] = {
        "subgraphs": [{"id": "again", "name": "again", "nodes": [inner], "links": [], "inputs": [], "outputs": []}]
    }
    w["nodes"].append({"id": 90, "type": "again", "inputs": [], "outputs": []})


def _lost_get(w: dict[str, Any]) -> None:
    w["nodes"].append(
        {"id": 91, "type": "GetNode", "inputs": [], "outputs": [{"name": "x", "type": "*"}], "widgets_values": ["m"]}
    )
    w["links"].append([91, 91, 0, 5, 0, "MODEL"])
    w["nodes"][4]["inputs"][0]["link"] = 91


def _job_files() -> Iterator[Case]:
    good = {"format": "memflow_job", "version": 1, "prompt": graph(), "workflow": workflow()}
    for name, change in {
        "another format": {"format": "other"}, "a later version": {"version": 2}, "no version": {"version": None},
        "no graph": {"prompt": None}, "an empty graph": {"prompt": {}}, "a graph of text": {"prompt": "x"},
        "a graph of numbers": {"prompt": {"1": 2}},
    }.items():  # fmt: skip
        yield _json(f"job file, {name}", {**copy.deepcopy(good), **change})


def _texts() -> Iterator[Case]:
    bad = [
        "5s: starts late", "0s: a\n0s: b", "0s: a\n5s: b\n3s: c", "0s:", "0s: a\n5x: b", "0s: a\n-5s: b",
        "0s [cutt]: a",
        "0s: a\n4s [seed x]: b", "length: soon\n0s: a", "length: 0s\n0s: a", "length: 5s\nlength: 6s\n0s: a",
        "length: 50%\n0s: a", "pin hero: 1s\npin hero: 2s\n0s: a", "0s: a\n4s [ghost]: b", "pin: later\n0s: a",
        "length: 3s\n9s: b", "0s: a\n0.1s: b\n0.2s: c", "0s: a\npin: 1s", "a | | b", "global: x", "length: 4s",
        "0s: a\n1:70: b", "0s: a\n4s [blend 0]: b", "0s: a\n4s [blend fast]: b", "0s [cut] [soft]: a", "[[1]]",
        '[{"time": "0s"}]', '{"segments": 4}', '{"segments": [], "x": 1}', '{"prompts": []}', '{"0": "a", "x": "b"}',
        "length: 6s\npin late: 5s\n0s: a\n3s [late]: b",
    ]  # fmt: skip
    for number, text in enumerate(bad, 1):
        yield Case(f"schedule {number}", (f"schedule{number}.txt", text.encode()))


def _lines() -> Iterator[Case]:
    """One bad line in a JSONL of scripts."""
    good = json.dumps(GOOD_LINE)
    bad = [
        "{", '{"prompts"', '{"prompts": ["a"]', "[1]", "1", "null", "text", "{}", '{"prompt": "a"}', '{"prompts": []}',
        '{"prompts": "a"}', '{"prompts": [1]}', '{"prompts": [""]}', '{"prompts": ["a", " "]}', '{"prompts": [null]}',
        '{"prompts": ["a", "b"], "switch_frame_indices": [0, 1, 2]}',
        '{"prompts": ["a", "b"], "switch_frame_indices": [-3]}',
        '{"prompts": ["a", "b"], "switch_frame_indices": ["x"]}', '{"prompts": ["a", "b"], "switch_frame_indices": 40}',
        '{"prompts": ["a", "b", "c"], "switch_frame_indices": [40, 40]}',
        '{"prompts": ["a"], "switch_frame_indices": [4.5, 2]}',
        '{"prompts": ["a", "b"], "switch_frame_indices": [1.5]}', '{"prompts": {"a": 1}}', '{"prompts": [["a"]]}',
        '{"prompts": ["a", "b"], "switch_frame_indices": [true]}', '{"prompts": ["\\ud800"]}',
    ]  # fmt: skip
    for number, line in enumerate(bad, 1):
        yield Case(
            f"JSONL {number}",
            (f"scripts{number}.jsonl", f"{good}\n\n{line}\n{good}".encode()),
            word="line 3" if number != 25 else "",
        )


def _scenes() -> Iterator[Case]:
    bad = [
        "a [3s#] | b", "a [3s#] | [3s]", "a [3s#] || b [3s]", "a [0s]", "a [3s] [4s] | b [1s]", "a [3s#] | b [3]",
        "a [3s#] | b [threes]", "[3s]", "a [3s#] | b [99999999s]", "; a [3s]", "a [3s#] |", "| a [3s]",
    ]  # fmt: skip
    for number, line in enumerate(bad, 1):
        word = "line" if number not in (6, 7) else ""
        yield Case(f"scenes {number}", (f"scenes{number}.txt", f"{GOOD_SCENES}\n{line}".encode()), word=word)


def _options() -> Iterator[Case]:
    for text in ("x", "1,", "1,,2", "-1", "1.5", "5-3", "1,1", "1-3,2", str(2**64), "0-99999999", " "):
        yield Case(f"seeds {text!r}", options=("--seeds", text), word="--seeds")
    for text in ("", "length", "=5", "nothing=5", "MemFlowMemory.length=5", "99.length=5", "length=long", "length=-5",
                 "length=99999999", "MemFlowStreamToVideo.seed=x", "fps=0", "width=[1]", "model=5", "prompts=5s: late",
                 "prompts="):  # fmt: skip
        yield Case(f"set {text!r}", options=("--set", text))
    for name in ("--prompt-seconds", "--every", "--silence", "--stuck", "--processes", "--tries"):
        for value in ("0", "-1"):
            yield Case(f"{name} {value}", options=(name, value), word=name)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for made in cases():
        if made.file and made.file[0]:
            (folder / made.file[0]).write_bytes(made.file[1])
    print(f"{len(cases())} cases")
