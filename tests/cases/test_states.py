"""State files under faults: from strangers, with flipped bits, on a full disk, and when the power goes."""

from __future__ import annotations

import copy
import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.state import StreamState, capture, resume
from memflow_core.state import stream_state as stream_state_file
from memflow_core.state.records import TraceBounds, check_trace, read_records
from memflow_core.state.validate import check_state
from memflow_core.stream import Stream
from tools.malformed import small_backbone

BOUNDS = TraceBounds(chunk=4, layers=2, batch=1, slots=3)


def sentence(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message and "\0" not in message and len(message) < 500, message
    return message


# -- small pictures in the header --------------------------------------------------------------------------------------

URL = "data:image/jpeg;base64,/9j/4AAQ"
PICTURES = {
    "no JSON": "{",
    "a list": json.dumps([URL]),
    "a picture of another kind": json.dumps({"0": "data:image/svg+xml;base64,AAAA"}),
    "a script": json.dumps({"0": f'{URL}" onerror="alert(1)'}),
    "a number": json.dumps({"0": 5}),
    "a moment of text": json.dumps({"x": URL}),
    "too far a moment": json.dumps({str(10**12): URL}),
    "a huge picture": json.dumps({"0": URL + "A" * 2**16}),
    "too many": json.dumps({str(number): URL for number in range(1000)}),
    "too much": json.dumps({str(number): URL + "A" * 30_000 for number in range(120)}),
    "nested": "[" * 5000 + "]" * 5000,
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_from_strangers_are_refused_in_a_sentence(name, saved, tmp_path):
    path = tmp_path / "story.safetensors"
    saved[1].save(path)
    with_header(path, pictures=PICTURES[name])
    with pytest.raises(ValueError, match="cannot be continued: its ") as caught:
        StreamState.load(path)
    sentence(caught.value)


def with_header(path: Path, **entries: str) -> None:
    """Write entries into a file's header."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] |= entries
    written = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + content[8 + length :])


def test_pictures_are_carried_as_far_as_there_is_room_and_decide_nothing(saved, tmp_path):
    path, plain = tmp_path / "story.safetensors", tmp_path / "plain.safetensors"
    many = {-2: URL, **dict.fromkeys(range(200), URL + "A" * 20000)}
    StreamState(saved[1].tensors, saved[1].meta, many | {500: "data:text/html,x", 501: URL + "A" * 2**17}).save(path)
    saved[1].save(plain)
    found, without = StreamState.load(path), StreamState.load(plain)
    assert found.pictures[-2] == URL and len(found.pictures) == 50 and without.pictures == {}
    assert found.pictures.items() <= many.items() and found.meta == without.meta
    assert found.compact().pictures == found.pictures


# -- flipped bits -----------------------------------------------------------------------------------------------------


def parts_of(content: bytes) -> dict[str, range]:
    """Where the parts of a file lie."""
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length]
    meta = header.index(b'"meta":')
    return {
        "length": range(8),
        "header": range(8, 8 + length),
        "meta": range(8 + meta, 8 + meta + 600),
        "digest": range(8 + header.index(b'"digest"'), 8 + header.index(b'"digest"') + 76),
        "numbers": range(8 + length, len(content)),
    }


@pytest.mark.parametrize("part", ["length", "header", "meta", "digest", "numbers"])
def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(part, saved, tmp_path):
    path = tmp_path / "story.safetensors"
    saved[1].save(path)
    whole, expected = path.read_bytes(), StreamState.load(path)
    places = parts_of(whole)[part]
    noticed = 0
    tried = places[:: max(1, len(places) // 150)]
    for place in tried:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            found = StreamState.load(path)
        except ValueError as error:
            sentence(error)
            noticed += 1
            continue
        assert found.meta == expected.meta and found.tensors.keys() == expected.tensors.keys()
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.tensors.items())
    # the name of the digest itself may be changed, as if the file were of before
    assert noticed >= 0.9 * len(tried)


def test_a_file_of_before_without_a_digest_is_read_and_code_of_before_reads_todays(saved, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    saved[0].save(tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert header.keys() == {"format", "meta", "digest"}
    # what earlier code reads: the same JSON with the same checksum, and nothing more in it
    meta = json.loads(header["meta"])
    assert meta["version"] == 2 and meta.pop("checksum") == stream_state_file.checksum(tensors)
    assert meta == json.loads(json.dumps(saved[0].meta))
    save_file(tensors, tmp_path / "old.safetensors", {"format": header["format"], "meta": header["meta"]})
    assert StreamState.load(tmp_path / "old.safetensors").meta == StreamState.load(tmp_path / "new.safetensors").meta


# -- files from strangers ---------------------------------------------------------------------------------------------


def paths_in(value: Any, above: tuple = ()) -> list[tuple]:
    """Every place in JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inner for path in [(*above, key), *paths_in(item, (*above, key))]]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["a\0b", "reference", "none", "9" * 400]),
    st.recursive(
        st.integers(-3, 20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=8,
    ),
)
BACKBONE = small_backbone()
SETTINGS = (
    {"retrieval": "prompt", "sink_frames": 3},
    {"retrieval": "attention", "sink_frames": 0, "cache": "fp8"},
    {"retrieval": "reference", "sink_frames": 1, "global_sink": False, "record": "latest"},
    {"retrieval": "none", "sink_frames": 4, "positions": "relative"},
)


@settings(max_examples=250)
@given(data=st.data())
def test_json_from_strangers_is_refused_in_one_sentence_or_goes_on(data, saved):
    state = saved[data.draw(st.integers(0, len(saved) - 1))]
    meta = json.loads(json.dumps(state.meta))
    for _ in range(data.draw(st.integers(1, 2))):
        paths = paths_in(meta)
        *above, last = paths[data.draw(st.integers(0, len(paths) - 1))]
        place = meta
        for key in above:
            place = place[key]
        if data.draw(st.booleans()):
            place[last] = data.draw(VALUES)
        else:
            del place[last]
    try:
        check_state(state.tensors, meta)
    except ValueError as error:
        assert str(error)
        return
    stream = resume(StreamState(state.tensors, meta), BACKBONE)
    assert bool(torch.isfinite(next(stream).latents).all())


def test_every_value_can_be_missing_or_of_any_kind(saved):
    """The same, without chance: each place of each state, with each kind of value."""
    refused = 0
    for state in saved[:2]:
        whole = json.loads(json.dumps(state.meta))
        for *above, last in paths_in(whole):
            for value in (KeyError, None, "x", -1, 2**64, 0.5, True, [], {}, [[]], [None, None, None]):
                meta = copy.deepcopy(whole)
                place = meta
                for key in above:
                    place = place[key]
                if value is KeyError:
                    del place[last]
                else:
                    place[last] = value
                try:
                    check_state(state.tensors, meta)
                except ValueError as error:
                    assert str(error) != ""
                    refused += 1
    assert refused > 1000


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings["retrieval"])
def test_what_a_stream_saves_is_never_refused(settings):
    memory = MemoryConfig(record_every=1, window_frames=6, **settings)
    sampling = SamplingConfig(steps=(1000,))
    stream = Stream(BACKBONE, LatentShape(4, 6), memory=memory, sampling=sampling, seed=1, frames=100)
    for chunk, switch in enumerate(
        ("recache", "", "soft", "", "recache", "cut", "", "recache", "cut", "blend", "", "")
    ):
        if switch:
            stream.set_prompt(torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(chunk)), switch)
        next(stream)
        state = capture(stream)
        for content in (state, state.compact()):
            check_state(content.tensors, json.loads(json.dumps(content.meta)))


TRACES = {
    "no list": b'{"event": "record"}',
    "no JSON": b"[{]",
    "cut off": b'[{"event": "record", "chunk": 0, "frame": 0}',
    "more behind it": b'[{"event": "record", "chunk": 0, "frame": 0}] x',
    "no records": b"[[], 5]",
    "no event": b'[{"chunk": 0}]',
    "an event of numbers": b'[{"event": 5, "chunk": 0}]',
    "no chunk": b'[{"event": "record", "frame": 0}]',
    "a chunk to come": b'[{"event": "record", "chunk": 9, "frame": 0}]',
    "a chunk of text": b'[{"event": "record", "chunk": "0", "frame": 0}]',
    "no frame": b'[{"event": "record", "chunk": 0}]',
    "a frame of text": b'[{"event": "pin", "chunk": 0, "frame": "x", "name": null}]',
    "no policy": b'[{"event": "retrieve", "chunk": 0, "candidate": 0, "first_layer": 0, "before": [], "scores": null}]',
    "a share without a window": b'[{"event": "share", "chunk": 0, "sink": 0, "bank": 0}]',
    "a share of NaN": b'[{"event": "share", "chunk": 0, "sink": NaN, "bank": 0, "window": 1}]',
    "an even share of two": b'[{"event": "share", "chunk": 0, "sink": 0, "bank": 0, "window": 1, "even": [0, 1]}]',
    "nested": b"[" * 5000 + b"]" * 5000,
    "Latin": '[{"event": "recall", "chunk": 0, "names": ["\u00e9"], "frames": []}]'.encode("latin-1"),
    "a record without end": b'[{"event": "record", "chunk": 0, "frame": 0, "x": "' + b"x" * 2**21 + b'"}]',
}


@pytest.mark.parametrize("name", TRACES)
def test_a_malformed_trace_is_refused_before_a_model_is_loaded(name, saved):
    trace = torch.frombuffer(bytearray(TRACES[name]), dtype=torch.uint8)
    with pytest.raises(ValueError, match="trace|JSON") as caught:
        check_state({**saved[0].tensors, "trace": trace}, saved[0].meta)
    sentence(caught.value)


def retrieval(**changes: Any) -> bytes:
    record = {"event": "retrieve", "chunk": 1, "policy": "prompt", "candidate": 3, "first_layer": 0}
    record |= {"before": [[[0]], [[0]]], "scores": [[[0.5]], [[0.5]]], "after": [[[0, 3]], [[0, 3]]]}
    return json.dumps([{**record, **changes}]).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"first_layer": 1},
        {"first_layer": -1},
        {"after": [[[0] * 4]] * 2},
        {"after": [[[0]]]},
        {"after": [[[0], [0]]] * 2},
        {"scores": [[[0.5, 0.1, 0.2]], [[0.5]]]},
        {"scores": [[[0.5]]]},
        {"scores": [[["x"]], [["x"]]]},
        {"before": None},
    ],
)
def test_a_retrieval_holds_no_more_than_the_bank(changes):
    check_trace(retrieval(), BOUNDS)
    check_trace(retrieval(scores=None), BOUNDS)
    check_trace(retrieval(scores=[[[0.5, 0.1]], [[0.5, 0.2]]]), BOUNDS)
    with pytest.raises(ValueError, match="record 0 of its trace"):
        check_trace(retrieval(**changes), BOUNDS)


@pytest.mark.parametrize(
    "content", [b"[]", b" [ ] ", b"[1,2]", b'[ {"a": "\xc3\xa9,]"} , 3 ]', b'["' + b"x" * 10**5 + b'"]']
)
def test_records_are_read_as_json_is(content):
    assert list(read_records(content)) == json.loads(content)


def test_events_of_later_versions_are_left_alone():
    check_trace(b'[{"event": "dream", "chunk": 1, "more": {"x": []}}]', BOUNDS)


PADDED = {
    "one of 2**20 rows": lambda texts: [2**20, *texts[1:]],
    "one of 2**40 rows": lambda texts: [2**40, *texts[1:]],
    "less than it has": lambda texts: [1, *texts[1:]],
    "more than there are": lambda texts: [*texts, 6],
    "a row of text": lambda texts: ["6", *texts[1:]],
}


@pytest.mark.parametrize("name", PADDED)
def test_prompts_claim_no_more_than_the_file_is_worth(name, saved):
    state = saved[1]
    with pytest.raises(ValueError, match="prompt|lacks 'text"):
        check_state(state.tensors, {**state.meta, "texts": PADDED[name](state.meta["texts"])})
    # an encoder pads to 512 rows, or to twice that where prompts are joined
    check_state(state.tensors, {**state.meta, "texts": [length + 600 for length in state.meta["texts"]]})


def test_a_number_that_is_none_is_refused_among_keys_and_values(saved):
    for state in saved[::2]:
        for name in ("k", "v"):
            tensors = {**state.tensors, name: state.tensors[name].clone()}
            tensors[name].view(torch.uint8).flatten()[:4] = 0xFF
            with pytest.raises(ValueError, match=f"'{name}' holds NaN"):
                check_state(tensors, state.meta)


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_a_state_is_on_the_disk_before_it_has_its_name(saved, tmp_path, calls):
    saved[0].save(tmp_path / "story.safetensors")
    assert calls == ["sync file", "name story.safetensors", "sync folder"]
    assert [file.name for file in tmp_path.iterdir()] == ["story.safetensors"]
    assert (tmp_path / "story.safetensors").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("step", ["write", "sync", "name"])
def test_a_full_disk_leaves_no_half_state_and_says_so(number, step, saved, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(number, os.strerror(number))

    target = {"write": (stream_state_file, "write_safetensors"), "sync": (os, "fsync"), "name": (os, "replace")}
    monkeypatch.setattr(*target[step], full)
    with pytest.raises(
        OSError, match=rf"^story\.safetensors could not be saved: {os.strerror(number)}; nothing"
    ) as caught:
        saved[0].save(tmp_path / "story.safetensors")
    assert sentence(caught.value).endswith("nothing was written.") and caught.value.errno == number
    assert list(tmp_path.iterdir()) == []


def test_a_state_replaces_no_file_unless_it_is_asked_to(saved, tmp_path):
    path = Path(tmp_path / "story.safetensors")
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"^story\.safetensors has appeared in the meantime: save again\.$"):
        saved[0].save(path, replace=False)
    assert path.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1
    saved[0].save(path)
    assert StreamState.load(path).meta == json.loads(json.dumps(saved[0].meta))
