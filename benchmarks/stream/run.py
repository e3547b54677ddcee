"""How fast does a stream go, and how fast could it? Random weights in the true shapes.

    python -m benchmarks.stream [--device cpu|cuda] [--size tiny|medium|1.3b] [--json FILE]
    python -m benchmarks.stream --compare [--variants NAME ...]
    python -m benchmarks.stream --size 1.3b --count

Alone, it measures the stream as it is used, with a bank and prompt changes: text, generator, each chunk's time over the
length, peak memory, how much of the roofline is reached; and, where there is a ComfyUI, decoding, encoding, and the
whole run from the first pass to decoded frames on disk. With --compare it makes the same video in several variants in
one process, chunk by chunk in turn: without memory, with sink, bank and SMA, in another precision, compiled, and
plainly, as the published program does it (`benchmarks/stream/baseline.py`).

On a CPU, times are CPU time with one thread, which other processes hardly change; on a GPU, device time. A chunk
counts as steady when the window is full and no prompt begins there. The umt5-xxl text encoder of the 1.3B model is
not measured: "text" is what the generator does with its output.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from memflow_core.attention import ReadShape, attention_backends, fastest_attention, time_ms
from memflow_core.config import MemoryConfig
from memflow_core.model import AttentionBackend

from ..in_comfyui import VideoJob, comfyui_folder, pack_nodes
from ..machine import Peaks, conditions, measured_peaks, peak_bytes, spread
from ..sizes import FPS, SIZES, Size
from .dispatch import dispatch_table
from .kinds import table as kinds_table
from .share import share_in_products_and_attention
from .table import table
from .variants import BASELINE, DEFAULT, SAME_AS_BASELINE, VARIANTS, Weights
from .work import Work, chunk_work, frames_read

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def steady_chunks(size: Size, memory: MemoryConfig) -> list[int]:
    """Return the chunks that are made with a full window and without a prompt switch."""
    filled = -(-(memory.sink_frames + memory.window_frames) // 3)
    return [chunk for chunk in range(filled, size.chunks) if chunk not in size.switches]


@torch.inference_mode()
def time_in_turn(weights: Weights, names: Sequence[str]) -> dict[str, list[float]]:
    """Time each chunk of each variant, in milliseconds. Which variant comes first changes from chunk to chunk."""
    streams = {name: weights.stream(VARIANTS[name]) for name in names}
    chunk_ms: dict[str, list[float]] = {name: [] for name in names}
    for chunk, prompt in weights.turns():
        for place in range(len(names)):
            name = names[(chunk + place) % len(names)]
            if prompt is not None:
                streams[name].set_prompt(prompt)
            chunk_ms[name].append(time_ms(weights.device, streams[name].__next__))
    return chunk_ms


def compare(weights: Weights, names: Sequence[str], repeats: int, peaks: Peaks) -> dict[str, object]:
    """Measure the steady chunks of each variant, and the ratio to the baseline where both are there."""
    steady_ms, ratios = defaultdict(list), []
    for _ in range(repeats):
        chunk_ms = time_in_turn(weights, names)
        for name in names:
            steady_ms[name] += [chunk_ms[name][chunk] for chunk in steady_chunks(weights.size, VARIANTS[name].memory)]
        if BASELINE in names and SAME_AS_BASELINE in names:
            steady = steady_chunks(weights.size, VARIANTS[BASELINE].memory)
            ratios += [chunk_ms[SAME_AS_BASELINE][chunk] / chunk_ms[BASELINE][chunk] for chunk in steady]
    result: dict[str, object] = {
        "variants": {name: variant_result(weights, name, steady_ms[name], peaks) for name in names},
    }
    if ratios:
        result |= {"ratio_to_baseline": spread(ratios)["median"], "ratio_spread": spread(ratios)}
    if weights.device.type == "cpu":
        result["share_in_products_and_attention"] = measure_share(weights, SAME_AS_BASELINE)
    return result


def count_table(size: Size, dtype: torch.dtype) -> str:
    """Return a Markdown table of the operations and bytes of a chunk, with a row for each kind of memory."""
    lines = ["| | TFLOP a chunk | GB moved | latent frames read |", "| --- | --- | --- | --- |"]
    for name, variant in VARIANTS.items():
        if not (variant.plain or variant.dtype or variant.compiled):
            work = work_of(size, variant.memory, dtype)
            read = frames_read(variant.memory)
            lines.append(f"| {name} | {work.flops / 1e12:.4g} | {work.bytes / 1e9:.4g} | {read} |")
    return "\n".join(lines)


def work_of(size: Size, memory: MemoryConfig, dtype: torch.dtype) -> Work:
    """Count the work of a chunk of this size."""
    return chunk_work(size.model, size.shape, memory=memory, text_length=size.text_length, dtype_bytes=dtype.itemsize)


def variant_result(weights: Weights, name: str, chunk_ms: Sequence[float], peaks: Peaks) -> dict[str, object]:
    """Return the numbers of one variant. The floor is that of the run's own dtype."""
    dtype = VARIANTS[name].dtype or weights.dtype
    work = work_of(weights.size, VARIANTS[name].memory, dtype)
    result = {"chunk_ms": spread(chunk_ms), "dtype": str(dtype), "flops": work.flops, "bytes": work.bytes}
    median = result["chunk_ms"]["median"]
    result["frames_per_second"] = 1000 * 12 / median
    if dtype == weights.dtype:
        result["floor_ms"] = peaks.floor_ms(work.flops, work.bytes)
        result["share_of_roofline"] = result["floor_ms"] / median
    return result


def measure_share(weights: Weights, name: str) -> float:
    """Measure `share_in_products_and_attention` of a stream once its memory is full."""
    stream = weights.stream(VARIANTS[name])
    stream.set_prompt(weights.prompts[0])
    for _ in range(steady_chunks(weights.size, VARIANTS[name].memory)[0]):
        next(stream)
    return share_in_products_and_attention(stream.__next__)


@torch.inference_mode()
def measure_alone(weights: Weights, name: str, peaks: Peaks) -> dict[str, object]:
    """Measure one variant by itself, from its start to its end."""
    started = time.perf_counter()
    stream = weights.stream(VARIANTS[name])
    text_ms, chunk_ms = [], []
    first_s = None
    for _, prompt in weights.turns():
        if prompt is not None:
            stream.set_prompt(prompt)
            if not VARIANTS[name].plain:
                text_ms.append(time_ms(weights.device, lambda: stream.backbone.embed_text(stream.waiting.text)))
        chunk_ms.append(time_ms(weights.device, stream.__next__))
        first_s = first_s or time.perf_counter() - started
    steady = steady_chunks(weights.size, VARIANTS[name].memory)
    part = max(1, len(steady) // 4)
    early, late = (spread([chunk_ms[chunk] for chunk in at])["median"] for at in (steady[:part], steady[-part:]))
    switches = [chunk_ms[chunk] for chunk in weights.size.switches[1:]]
    result = variant_result(weights, name, [chunk_ms[chunk] for chunk in steady], peaks)
    usual = result["chunk_ms"]["median"]
    return result | {
        "text_ms_a_prompt": spread(text_ms)["median"] if text_ms else None,
        "switch_ms": spread([taken - usual for taken in switches])["median"] if switches else None,
        "cold_start_s": first_s,
        "late_over_early": late / early,
        "peak_bytes": peak_bytes(weights.device),
        "chunks": len(chunk_ms),
        "video_s": (12 * len(chunk_ms) - 3) / FPS,
    }


def measure_to_disk(device: torch.device, size: str, chunks: int) -> dict[str, object] | None:
    """Measure a video made by the pack's own nodes, stage by stage and as a whole, in wall time.

    Returns None where there is no ComfyUI.
    """
    comfyui = comfyui_folder()
    if comfyui is None:
        return None
    with pack_nodes(comfyui, device) as nodes, TemporaryDirectory() as folder:
        job = VideoJob(nodes, size, chunks)
        stages = job.stages_ms(Path(folder) / "stages.mp4")
        whole = job.write_file(Path(folder) / "whole.mp4")
    result: dict[str, object] = {"chunks": chunks, "frames": whole.frames, "wall_s": whole.wall_s}
    result["stage_ms"] = {name: spread(taken[1:])["median"] for name, taken in stages.items()}
    return result | {"frames_per_second": whole.frames / whole.wall_s}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stream", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if gpu else "cpu")
    parser.add_argument("--size", choices=SIZES, help="of model and picture (1.3b on a GPU, medium on a CPU)")
    parser.add_argument("--dtype", choices=DTYPES, help="of weights and activations (bfloat16 on a GPU, else float32)")
    parser.add_argument("--attention", metavar="NAME", help="backend: torch, cudnn, flash, flash 3, sage (the fastest)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--latent-frames", type=int, metavar="N", help="length; a latent frame is 4 video frames")
    parser.add_argument("--disk-chunks", type=int, metavar="N", help="chunks that go to disk (all)")
    parser.add_argument("--compare", action="store_true", help="measure several ways to make the same video")
    parser.add_argument("--count", action="store_true", help="only count what a chunk takes; runs nothing")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--repeats", type=int, default=3, help="of the whole comparison (3)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, prompts and noise (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers there")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not gpu:
        parser.error("--device is cuda, but torch finds no CUDA device: choose cpu.")
    if arguments.variants and not arguments.compare:
        parser.error("--variants are compared: add --compare.")
    if arguments.disk_chunks is not None and arguments.disk_chunks < 3:
        parser.error(f"--disk-chunks is {arguments.disk_chunks}, but a story of two prompts needs at least 3.")
    return arguments


def attention_of(arguments: argparse.Namespace, size: Size, dtype: torch.dtype) -> tuple[str, AttentionBackend]:
    """Return the name of the chosen attention backend, and the backend; where none was chosen, the fastest."""
    device, memory, shape, chunk = torch.device(arguments.device), MemoryConfig(), size.shape, 3
    backends = attention_backends(device, dtype)
    if arguments.attention is not None:
        if arguments.attention not in backends:
            names = ", ".join(backends)
            raise SystemExit(f"--attention is {arguments.attention!r}, but here it must be one of {names}.")
        return arguments.attention, backends[arguments.attention]
    held = memory.sink_frames + memory.bank_slots
    read = ReadShape(
        batch=shape.batch,
        heads=size.model.num_heads,
        head_dim=size.model.head_dim,
        queries=chunk * shape.tokens,
        tokens=shape.tokens,
        memory=held,
        window=memory.window_frames,
        top_k=held,
    )
    fastest = fastest_attention(device, dtype, read)
    return fastest, backends[fastest]


def size_of(arguments: argparse.Namespace) -> Size:
    """Return the chosen size and length. Exits where the length has no steady chunks."""
    size = SIZES[arguments.size or ("1.3b" if arguments.device == "cuda" else "medium")]
    frames = size.latent_frames if arguments.latent_frames is None else arguments.latent_frames
    least = 3 * (size.prompts + 6)
    if frames < least:
        raise SystemExit(f"--latent-frames is {frames}, but must be at least {least} to have steady chunks.")
    return size.with_length(frames)


def main() -> None:
    arguments = parse_arguments()
    if arguments.count:
        print(count_table(size_of(arguments), DTYPES[arguments.dtype or "bfloat16"]))
        print(f"\n{dispatch_table(size_of(arguments))}")
        print(f"\nOther models as they were trained, in bfloat16, and under control:\n\n{kinds_table()}")
        return
    torch.set_num_threads(arguments.threads)
    device, size = torch.device(arguments.device), size_of(arguments)
    dtype = DTYPES[arguments.dtype or ("bfloat16" if device.type == "cuda" else "float32")]
    attention, backend = attention_of(arguments, size, dtype)
    weights = Weights(size, device, dtype, arguments.seed, backend)
    peaks = measured_peaks(device, dtype)
    run = {"dtype": str(dtype), "attention": f"attention by {attention}", "repeats": arguments.repeats}
    result: dict[str, object] = {
        "conditions": conditions(device) | run,
        "size": {
            "name": next(name for name, known in SIZES.items() if known.model == size.model),
            "dim": size.model.dim,
            "heads": size.model.num_heads,
            "layers": size.model.num_layers,
            "ffn": size.model.ffn_dim,
            "tokens_a_latent_frame": size.shape.tokens,
            "text_tokens": size.text_length,
            "latent_frames": size.latent_frames,
            "prompts": size.prompts,
        },
        "peaks": {"flops_per_second": peaks.flops, "bytes_per_second": peaks.bandwidth},
    }
    if arguments.compare:
        result |= compare(weights, arguments.variants or list(VARIANTS), arguments.repeats, peaks)
    else:
        result |= {"variants": {DEFAULT: measure_alone(weights, DEFAULT, peaks)}}
        del weights
        result["on_disk"] = measure_to_disk(device, result["size"]["name"], arguments.disk_chunks or size.chunks)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
