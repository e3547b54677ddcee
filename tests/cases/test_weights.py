"""Weight files under faults: claims, bombs, flipped bits; and honest files that look odd are read."""

from __future__ import annotations

import io
import json
import pickletools
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import torch

from memflow_core.model import WanModel
from memflow_core.weights import load_generator, read_checkpoint, read_generator
from memflow_core.weights.archive import members_of
from memflow_core.weights.claims import ClaimError, read_claims
from tools.malformed.states import SMALL
from tools.malformed.weights import weights

ROOT = Path(__file__).resolve().parents[2]
MOST_MB, MOST_CPU_S, HANGS_S = 100, 5, 200
# what a hostile file is, and what is said of it
SAID = {
    "a trillion numbers": "its part '0' is 64 bytes instead of 4000000000000 bytes",
    "a trillion rows of one": "is not a Wan model",
    "past its part": "reads past the 16 numbers",
    "before its part": "a tensor is described wrongly",
    "a stride below zero": "a tensor is described wrongly",
    "one over the other": "is not a Wan model",
    "the same a thousand times": "is not a Wan model",
    "sixty thousand tensors": "more than any weight file does",
    "nested dicts": "nested more than",
    "lists without end": "more than any weight file does",
    "a place out of range": "a place that is out of range",
    "a number of a megabyte": "a number of more than 128 bits",
    "code that is eval": "eval would have to be run",
    "a zip bomb": "is compressed",
    "a compressed archive": "is compressed",
    "an archive in an archive": "damaged",
    "an endless number of parts": "more than 100000 parts",
    "no storages": "is not there instead of",
    "old with a trillion numbers": "claims 4000000 MB of numbers",
    "old and resized": "reads past the 4 numbers",
    "many tensors in a header": "lists 150000 tensors",
    "a header of many blanks": "has a header of 20 MB",
    "a shape of a trillion": "damaged",
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> dict[str, Path]:
    return {case.name: case.value for case in weights(tmp_path_factory.mktemp("hostile"), Random(5))}


@pytest.fixture(scope="module")
def small() -> dict[str, torch.Tensor]:
    return {name: torch.randn_like(tensor) for name, tensor in WanModel(SMALL).state_dict().items()}


@pytest.mark.slow
def test_a_hostile_file_is_named_in_little_time_and_memory(hostile):
    command = [sys.executable, "-m", "tests.cases.read_malformed", "weights", *(str(hostile[name]) for name in SAID)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS_S, check=True)
    for name, line in zip(SAID, done.stdout.splitlines(), strict=True):
        row = json.loads(line)
        assert row["kind"] == "refused" and row["said"].startswith(hostile[name].name), (name, row)
        assert SAID[name] in row["said"], (name, row)
        assert row["mb"] <= MOST_MB and row["cpu_s"] <= MOST_CPU_S, (name, row)


def test_time_grows_with_what_is_listed_and_ends_soon():
    """Opcodes looked at, not seconds: a pickle of ten times the length costs no more than the bound."""
    looked = []
    genops = pickletools.genops

    def counted(file):
        for operation in genops(file):
            looked.append(1)
            yield operation

    for length in (10**5, 10**7):
        looked.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pickletools, "genops", counted)
            with suppress(ClaimError):
                read_claims(io.BytesIO(b"\x80\x02" + b"]" * length + b"."))
        assert len(looked) <= 600_002
    assert len(looked) > 10**5


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("old", [False, True])
def test_a_flipped_bit_in_an_archive_is_noticed_or_changes_nothing(share, old, small, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(small, path, _use_new_zipfile_serialization=not old)
    whole = bytearray(path.read_bytes())
    whole[int(share * len(whole))] ^= 4
    path.write_bytes(whole)
    try:
        found = read_checkpoint(path).tensors
    except ValueError as error:
        assert path.name in str(error) and "\n" not in str(error)
        return
    if not old:
        assert all(torch.equal(found[name], tensor) for name, tensor in small.items())


def test_a_flipped_bit_in_the_weights_is_named(small, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(small, path)
    whole = bytearray(path.read_bytes())
    bits = small["blocks.1.ffn.0.weight"].numpy().tobytes()
    whole[whole.index(bits) + 5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"weights\.pt is damaged: the checksum of '.*/data/\d+' does not fit"):
        read_generator(path, num_heads=2)


def repeated(small: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"head.head.weight": torch.ones(1, 1).expand(64, 32)}


def overlapping(small: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    numbers = torch.randn(33 * 32)
    pair = {"blocks.0.self_attn.q.weight": numbers[:-32], "blocks.0.self_attn.k.weight": numbers[32:]}
    return {name: tensor.view(32, 32) for name, tensor in pair.items()}


def within_itself(small: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"head.head.weight": torch.randn(95).as_strided((64, 32), (1, 1))}


def one_and_the_same(small: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    shared: dict[tuple, torch.Tensor] = {}
    return {name: shared.setdefault(tuple(tensor.shape), tensor) for name, tensor in small.items()}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (repeated, r"head\.head\.weight \[64, 32\] is fewer numbers, repeated"),
        (within_itself, r"head\.head\.weight \[64, 32\] is fewer numbers, repeated"),
        (
            overlapping,
            r"blocks\.0\.self_attn\.q\.weight and blocks\.0\.self_attn\.k\.weight share some of their numbers",
        ),
        (one_and_the_same, "most of its tensors are one and the same"),
    ],
)
def test_weights_that_are_fewer_numbers_than_they_claim_are_named(odd, said, old, small, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({**small, **odd(small)}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ValueError, match=rf"^weights\.pt is no plain weight file: {said}\.$"):
        read_generator(path, num_heads=2)


# -- honest files that look odd ---------------------------------------------------------------------------------------


def same(path: Path, expected: dict[str, torch.Tensor]) -> bool:
    found = read_generator(path, num_heads=2).state_dict
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("old", [False, True])
def test_weights_laid_out_in_other_ways_are_read(old, small, tmp_path):
    path = tmp_path / "weights.pt"
    name = "blocks.0.ffn.0.weight"
    joined = torch.stack([small["blocks.0.self_attn.q.weight"], small["blocks.0.self_attn.k.weight"]])
    odd = {
        **small,
        name: small[name].t().contiguous().t(),
        "blocks.0.self_attn.q.weight": joined[0],
        "blocks.0.self_attn.k.weight": joined[1],
        "head.head.bias": torch.nn.Parameter(small["head.head.bias"]),
    }
    torch.save(
        {"generator": odd, "step": 7, "args": {"lr": 1e-4, "names": ["a", None]}},
        path,
        _use_new_zipfile_serialization=not old,
    )
    assert same(path, small)


def test_one_weight_under_two_names_of_a_checkpoint_is_read(small, tmp_path):
    torch.save({"generator": small, "generator_ema": small, "critic": small}, tmp_path / "weights.pt")
    assert same(tmp_path / "weights.pt", small)


def test_a_file_without_checksums_is_read(small, tmp_path):
    path = tmp_path / "weights.pt"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(small, path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert {member.CRC for member in members_of(path).values()} == {0}
    assert same(path, small)


def test_a_training_checkpoint_of_thousands_of_tensors_is_read(small, tmp_path):
    optimizer = {"state": {n: {"step": torch.tensor(1.0), "exp_avg": torch.ones(1)} for n in range(3000)}}
    torch.save({"generator": small, "optimizer": optimizer}, tmp_path / "weights.pt")
    assert same(tmp_path / "weights.pt", small)


def test_a_large_comment_and_members_of_other_tools_do_no_harm(small, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(small, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK" + b"x" * 60_000
    assert same(path, small)
    assert load_generator(path, num_heads=2).layers == 2
