"""Helpers of the tests about pins: what bank, sink and window hold, and schedules with pins."""

import torch

from memflow_core.play import EncodedSchedule
from memflow_core.schedule import ChunkGrid, Plan, Time, read_schedule
from memflow_core.stream import Stream

POLICIES = ["prompt", "similarity", "attention", "fifo"]


def banks(stream: Stream) -> list[set[int]]:
    """Latent frames in the bank of each layer and batch item. Fails if one stands there twice."""
    held = [item for layer in stream.memory.bank.listed_frames().tolist() for item in layer]
    assert all(len(set(frames)) == len(frames) for frames in held)
    return [set(frames) for frames in held]


def standing(stream: Stream) -> set[int]:
    """Latent frames in sink and window."""
    at = stream.cache.layout
    return set(range(at.origin, at.origin + at.sink)) | set(range(at.window_start, at.end))


def keys_in_bank(stream: Stream, frame: int) -> torch.Tensor:
    """[layers, B, heads, tokens, head_dim] of a frame that stands in every layer's bank."""
    return stream.memory.bank.gather_frame(frame).k


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


def run(stream: Stream, chunks: int) -> list:
    return [next(stream) for _ in range(chunks)]


def events(stream: Stream, *kinds: str) -> list[dict]:
    return [record for record in stream.trace.records if record["event"] in kinds]


def placed(text: str, chunks: int) -> Plan:
    return read_schedule(text).place(ChunkGrid(), Time(chunks, "chunks"))


def encoded(text: str, chunks: int, texts: list[torch.Tensor]) -> EncodedSchedule:
    return EncodedSchedule(read_schedule(text), placed(text, chunks), texts)
