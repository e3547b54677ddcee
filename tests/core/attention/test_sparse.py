"""Every way of reading a sparse memory against its definition, and that against the paper's words.

The fused ways run on a GPU where there is one, else in Triton's interpreter, where Triton is installed.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
import torch

from memflow_core.attention import AttentionShareMeter, GatherAttention, TritonAttention, topk_attention
from memflow_core.attention.backends import PARTIAL
from memflow_core.model import sdpa
from tests.core.attention.plain_attention import attention_with_memory
from tests.parity.case import WAYS
from tests.parity.replay import find_cases, run_case

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
# the interpreter multiplies bfloat16 as if its bits were integers
DTYPES = [torch.float32, torch.float16, *([torch.bfloat16] if CUDA else [])]
# attention with log-sum-exp comes in half precision alone on a GPU
HALF = torch.float16 if CUDA else torch.float32
CLOSE = TOLERANCE[HALF] if CUDA else 2e-6


def window_attention(q, k, v):
    """Attention with log-sum-exp, in torch's fused kernels."""
    if q.device.type == "cuda":
        return PARTIAL["flash"](q, k, v)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)


READERS = {"gather": lambda: GatherAttention(sdpa)}
if find_spec("triton"):
    READERS |= {"fused": TritonAttention, "split": lambda: TritonAttention(window=window_attention)}


def dtype_of(reader: str) -> torch.dtype:
    """What a reader is tried in where the precision does not matter."""
    return HALF if reader == "split" else torch.float32


def stretch(seed: int, dtype=torch.float32, tokens=6, head_dim=64, batch=None):
    """A layer's q, a stretch of cached frames, the frames that each head reads, and how many are memory."""
    random, generator = Random(seed), torch.Generator(DEVICE).manual_seed(seed)
    batch = batch or random.choice((1, 2))
    heads, memory, window, length = (
        random.randint(1, 2),
        random.randint(1, 6),
        random.randint(0, 9),
        random.randint(1, 70),
    )
    draw = {"generator": generator, "device": DEVICE}
    q = torch.randn(batch, heads, length, head_dim, **draw).to(dtype)
    # one layer's slots in a cache with two layers, and slots before and behind the stretch
    slots = torch.randn(2, 2, batch, heads, memory + window + 3, tokens, head_dim, **draw).to(dtype)
    keys, values = slots[:, 1, :, :, 2 : 2 + memory + window]
    order = torch.rand(batch, heads, memory, **draw).argsort(dim=-1)
    return q, keys, values, order[..., : random.randint(1, memory)].sort(dim=-1).values, memory


def test_the_definition_is_the_papers():
    q, keys, values, _, memory = stretch(3, tokens=7, head_dim=12)
    means = keys[:, :, :memory].mean(dim=3)
    chosen = torch.einsum("bhd,bhnd->bhn", q.mean(dim=2), means).topk(min(2, memory), dim=-1).indices
    ours = topk_attention(q, keys, values, chosen, memory)
    for item in range(q.shape[0]):
        for head in range(q.shape[1]):
            frames = list(zip(keys[item, head], values[item, head], strict=True))
            naive = attention_with_memory(q[item, head], frames[:memory], frames[memory:], chosen.shape[-1])
            assert torch.allclose(ours[item, head].double(), naive, atol=2e-6)


def test_the_definition_goes_on_from_what_is_done():
    q, keys, values, chosen, memory = stretch(4, HALF, tokens=7, head_dim=16 if CUDA else 12)
    done = window_attention(q, keys[:, :, memory:].flatten(2, 3), values[:, :, memory:].flatten(2, 3))
    ours = topk_attention(q, keys[:, :, :memory], values[:, :, :memory], chosen, memory, done)
    assert torch.allclose(ours, topk_attention(q, keys, values, chosen, memory), atol=CLOSE)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("seed", "head_dim", "tokens"),
    [(0, 64, 24), (1, 64, 97), (2, 64, 120), (3, 64, 128), (4, 128, 97), (5, 128, 120), (6, 16, 1)],
)
def test_a_reader_reads_what_is_defined(name, seed, head_dim, tokens):
    dtype = HALF if name == "split" and CUDA else DTYPES[seed % len(DTYPES)]
    q, keys, values, chosen, memory = stretch(seed, dtype, tokens, head_dim)
    ours, expected = READERS[name]()(q, keys, values, chosen, memory), topk_attention(q, keys, values, chosen, memory)
    assert ours.dtype == expected.dtype and ours.shape == expected.shape
    assert torch.allclose(ours.float(), expected.float(), atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", READERS)
def test_a_reader_serves_a_stream_that_grows(name):
    """One reader, as the window fills, slots change and another layer is read."""
    reader = READERS[name]()
    for seed in (5, 21, 22, 23):
        q, keys, values, chosen, memory = stretch(seed, dtype_of(name), batch=2)
        expected = topk_attention(q, keys, values, chosen, memory)
        assert torch.allclose(reader(q, keys, values, chosen, memory), expected, atol=TOLERANCE[dtype_of(name)])


@pytest.mark.parametrize("name", READERS)
def test_keys_may_be_rotated_copies(name):
    """With relative positions keys are a tensor of their own, values are still a view of the cache."""
    q, keys, values, chosen, memory = stretch(9, dtype_of(name))
    ours = READERS[name]()(q, keys.contiguous(), values, chosen, memory)
    expected = topk_attention(q, keys, values, chosen, memory)
    assert torch.allclose(ours, expected, atol=TOLERANCE[dtype_of(name)])


@pytest.mark.parametrize("name", [name for name in READERS if name == "fused"])
def test_frames_that_do_not_stand_side_by_side_are_refused(name):
    q, keys, values, chosen, memory = stretch(9)
    with pytest.raises(ValueError, match="keys have strides .*, but each frame's 6 x 64 numbers must stand in one pie"):
        READERS[name]()(q, keys.mT.contiguous().mT, values, chosen, memory)


@pytest.mark.slow
@pytest.mark.parametrize("positions", ["absolute", "relative"] if find_spec("triton") and not CUDA else [])
def test_a_stream_is_the_same_by_every_reader(positions, backbone, make_stream, play, prompt):
    made = {}
    for backbone.reader in ("gather", "fused"):
        stream = make_stream(top_k=2, record_every=1, bank_frames=2, steps=(1000,), positions=positions)
        stream.meter = AttentionShareMeter()
        chunks = play(stream, 6, {0: (prompt(0),), 4: (prompt(1),)})
        shares = [[r["bank"], r["window"]] for r in stream.trace.records if r["event"] == "share"]
        made[backbone.reader] = torch.stack([chunk.latents for chunk in chunks]), torch.tensor(shares)
    for ours, expected in zip(made["fused"], made["gather"], strict=True):
        assert torch.allclose(ours, expected, atol=1e-4)


RECORDED = ("inter_local9_sink2_b4r1_sma", "unitsma_block8_step1", "unitsma_recache27")


@pytest.mark.slow
@pytest.mark.parametrize("recording", RECORDED if find_spec("triton") and not CUDA else ())
def test_a_recording_is_met_by_the_fused_reader(recording):
    case = next(case for case in find_cases(GOLDEN) if case.path.stem == recording)
    check = run_case(replace(case, way=WAYS["fused"]))
    assert check.passed, (check.wrong, check.worst)
