"""Children that stream the tiny model to films and states until they are killed: python -m ... FOLDER SEED KILLS.

Imports once and forks, so that a kill costs a second. Each child writes to a folder of its own, short films one after
the other and a state after each, so that a kill meets every moment of them. Prints a line of JSON for each kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.state import capture
from memflow_core.stream import Stream
from memflow_core.video import VideoWriter
from memflow_core.weights import load_tiny_generator, load_tiny_text_encoder

FRAMES_PER_CHUNK, CHUNKS_PER_FILM, LONGEST_S = 12, 3, 1.5


def stream_films(folder: Path, pipe: int) -> None:
    """Stream for ever. Says `chunk` and `state` when they are in their files."""
    generator, encoder = load_tiny_generator(), load_tiny_text_encoder()
    stream = Stream(
        generator,
        LatentShape(8, 8),
        memory=MemoryConfig(record_every=1),
        sampling=SamplingConfig(steps=(1000,)),
        seed=7,
    )
    stream.set_prompt(encoder.encode("a robot walks in the meadow"))
    for film in range(10**6):
        with VideoWriter(folder / f"film_{film:03}.mp4", 16) as writer:
            for _ in range(CHUNKS_PER_FILM):
                latents = next(stream).latents
                pictures = latents[0, :3].sigmoid().permute(1, 2, 3, 0).repeat_interleave(4, dim=0)
                writer.write(pictures.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2))
                os.write(pipe, f"chunk {film} {writer.frames}\n".encode())
        name = f"state_{film:03}.safetensors"
        capture(stream).save(folder / name)
        os.write(pipe, f"state {name}\n".encode())


def kill_one(folder: Path, after_s: float) -> list[str]:
    """Fork a child, kill it some time after its first chunk, and return what it had said."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            stream_films(folder, write)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as said:
        first = said.readline()
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            raise RuntimeError("the child ended by itself")
        return [first, *said.read().splitlines()]


def main() -> None:
    folder, seed, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    moments = random.Random(seed)
    for number in range(kills):
        place = folder / str(number)
        place.mkdir()
        said = kill_one(place, moments.uniform(0, LONGEST_S))
        left = sorted(file.name for file in place.iterdir())
        print(json.dumps({"folder": str(place), "said": [line.split() for line in said], "left": left}), flush=True)


if __name__ == "__main__":
    main()
