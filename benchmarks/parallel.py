"""What would one stream gain from several GPUs? A prediction on paper: bytes of the all-to-all against compute.

    python -m benchmarks.parallel [--size tiny|medium|1.3b] [--processes 1 2 4]

Nothing here is measured. Operations and bytes are counted as `benchmarks.stream --count` counts them, with those of
`memflow_core.parallel` beside them; rates are taken from published measurements of one H100 (SXM), see `H100`. A chunk
is one of a full window and bank, without a prompt change. `tests/benchmarks/test_parallel.py` holds the bytes to what a
process really sends.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memflow_core.config import MemoryConfig, SamplingConfig
from memflow_core.parallel import Group, shares_of

from .sizes import SIZES, Size
from .stream import chunk_work, frames_read

DTYPE_BYTES = 2  # bfloat16


@dataclass(frozen=True)
class Machine:
    """Rates of one GPU, and of the way to others.

    products, attention  operations a second in large matrix products and in an attention kernel of full waves.
    memory               bytes a second that an elementwise kernel moves.
    multiprocessors      that tiles of attention are spread over.
    links                bytes a second that a GPU sends in an all-to-all, by name of the link.
    exchange_s           of one all-to-all, however small.
    launch_s             of one kernel, on the CPU that launches it.
    """

    products: float
    attention: float
    memory: float
    multiprocessors: int
    links: dict[str, float]
    exchange_s: float
    launch_s: float


H100 = Machine(
    products=600e12,  # of 989 dense: cuBLAS at these sizes
    attention=582e12,  # cuDNN, Triton's benchmark suite
    memory=2.6e12,  # of 3.35
    multiprocessors=132,
    links={"NVLink": 300e9, "PCIe 5": 40e9},  # of 450 and 64
    exchange_s=20e-6,
    launch_s=20e-6,
)

QUERY_TILE = 128
ELEMENTWISE_BYTES = 139e9  # a chunk of the 1.3B model, counted by running it on the meta device
LAUNCHES = 4885  # the same way
IDLE_S = 12e-3  # at a chunk's end: the trace is fetched, the next noise drawn


@dataclass(frozen=True)
class Traffic:
    """What the busiest process sends to others in a chunk.

    bytes      sent.
    exchanges  all-to-alls.
    """

    bytes: int
    exchanges: int


def traffic_of(
    size: Size, processes: int, dtype_bytes: int = DTYPE_BYTES, sampling: SamplingConfig | None = None
) -> Traffic:
    """Count what the process sends that sends most: queries, keys, values and results of every layer, and patches."""
    sampling = sampling or SamplingConfig()
    if processes == 1:
        return Traffic(0, 0)
    model, frames = size.model, sampling.chunk_frames * size.shape.batch
    steps, most = len(sampling.steps), 0
    layers = steps * model.num_layers + model.num_layers - 1  # that attend
    heads = [_length(share) for share in shares_of(model.num_heads, processes)]
    tokens = [_length(share) for share in shares_of(size.shape.tokens, processes, larger_last=True)]
    for own_heads, own_tokens in zip(heads, tokens, strict=True):
        there = frames * own_tokens * (model.num_heads - own_heads)
        back = frames * (size.shape.tokens - own_tokens) * own_heads
        # the context pass ends with the last layer's keys and values
        numbers = model.head_dim * (layers * (3 * there + back) + 2 * there)
        numbers += steps * frames * own_tokens * 4 * model.out_channels * (processes - 1)
        most = max(most, numbers * dtype_bytes)
    return Traffic(most, 2 * layers + 1 + steps)


@dataclass(frozen=True)
class Prediction:
    """Seconds of a chunk on so many GPUs.

    gpu       work of a GPU's own, with what is packed and unpacked for the exchange.
    sent      the exchange itself.
    launched  the CPU's part, which runs beside both.
    """

    gpu: float
    sent: float
    launched: float

    @property
    def seconds(self) -> float:
        return max(self.gpu + self.sent, self.launched) + IDLE_S


def predict(
    size: Size, processes: int, link: str, machine: Machine = H100, memory: MemoryConfig | None = None
) -> Prediction:
    """Predict a chunk. What is elementwise, and launches, are those of the 1.3B model: other sizes are lower bounds."""
    memory = memory or MemoryConfig()
    work = chunk_work(size.model, size.shape, memory=memory, text_length=size.text_length, dtype_bytes=DTYPE_BYTES)
    attention = _attention_flops(size, memory)
    heads = _length(shares_of(size.model.num_heads, processes)[0])
    tiles = size.shape.batch * heads * -(-3 * size.shape.tokens // QUERY_TILE)
    waves = -(-tiles // machine.multiprocessors)
    filled = tiles / (waves * machine.multiprocessors)
    own_attention = attention * heads / size.model.num_heads / (machine.attention * filled)
    traffic = traffic_of(size, processes)
    # sent and received: read and written when packed, and again when unpacked
    packed = 2 * 4 * traffic.bytes * processes / max(1, processes - 1) if processes > 1 else 0
    gpu = own_attention + (work.flops - attention) / processes / machine.products
    gpu += (ELEMENTWISE_BYTES / processes + packed) / machine.memory
    sent = traffic.bytes / machine.links[link] + traffic.exchanges * machine.exchange_s
    launches = LAUNCHES + traffic.exchanges * (processes + 4)
    return Prediction(gpu, sent, launches * machine.launch_s)


def _attention_flops(size: Size, memory: MemoryConfig) -> float:
    """Operations of self-attention in a chunk."""
    sampling = SamplingConfig()
    rows = size.shape.batch * sampling.chunk_frames * size.shape.tokens
    passes = len(sampling.steps) * size.model.num_layers + size.model.num_layers - 1
    return 4.0 * rows * frames_read(memory) * size.shape.tokens * size.model.dim * passes


def _length(share: slice) -> int:
    return share.stop - share.start


class CountingGroup(Group):
    """A group whose other processes are not there: counts what this one sends, and gives it zeros."""

    def __init__(self, rank: int, size: int):
        self.rank = rank
        self.size = size
        self.device = torch.device("cpu")
        self.bytes = 0
        self.exchanges = 0

    def exchange(self, parts: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        self.exchanges += 1
        self.bytes += sum(part.numel() * part.itemsize for rank, part in enumerate(parts) if rank != self.rank)
        received = [parts[0].new_zeros(tuple(shape)) for shape in shapes]
        received[self.rank].copy_(parts[self.rank])
        return received


def table(size: Size, counts: Sequence[int]) -> str:
    """Return a Markdown table with a row for each number of processes."""
    head = (
        "| GPUs | cache of each | sent by each | own work | exchange | launches (CPU) | a chunk | frames/s | of one |"
    )
    lines = [head, "| --- " * 9 + "|"]
    one = predict(size, 1, next(iter(H100.links))).seconds
    cache = _cache_bytes(size)
    for processes in counts:
        for link in H100.links if processes > 1 else list(H100.links)[:1]:
            found, traffic = predict(size, processes, link), traffic_of(size, processes)
            heads = _length(shares_of(size.model.num_heads, processes)[0])
            name = f"{processes}, {link}" if processes > 1 else "1"
            lines.append(
                f"| {name} | {cache * heads / size.model.num_heads / 2**30:.2f} GB | {traffic.bytes / 1e9:.2f} GB "
                f"| {1000 * found.gpu:.0f} ms | {1000 * found.sent:.0f} ms | {1000 * found.launched:.0f} ms "
                f"| {1000 * found.seconds:.0f} ms | {12 / found.seconds:.0f} | {one / found.seconds:.2f}x |"
            )
    return "\n".join(lines)


def _cache_bytes(size: Size) -> int:
    memory = MemoryConfig()
    slots = memory.sink_frames + memory.bank_slots + memory.window_frames
    return 2 * size.model.num_layers * slots * size.shape.batch * size.shape.tokens * size.model.dim * DTYPE_BYTES


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parallel", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="1.3b", help="of model and picture (1.3b)")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1, 2, 3, 4, 6], help="GPUs of a stream (1 2 3 4 6)"
    )
    arguments = parser.parse_args()
    if min(arguments.processes) < 1:
        parser.error(f"--processes is {min(arguments.processes)}, but must be at least 1.")
    print(table(SIZES[arguments.size], arguments.processes))


if __name__ == "__main__":
    main()
