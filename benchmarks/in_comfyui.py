"""Make video files by the code of MemFlow Stream to Video in this process, for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from memflow_core.config import ModelConfig
from memflow_core.model import WanModel
from tools import command_line
from tools.comfy_host import SetupError
from tools.load_pack import load_pack
from training.vae import LATENTS, VideoAutoencoder, wan_weights

from .sizes import FPS, SIZES

STEPS = "1000, 750, 500, 250"
PROMPTS = ("a robot walks in the meadow", "an empty beach")
WAN_VAE_WIDTH = 96
FRAMES = 12  # video frames of a chunk


@dataclass(frozen=True)
class Timing:
    """Time and frames of one video file, and what ran beside the sampling, as a report tells it."""

    wall_s: float
    cpu_s: float
    frames: int
    overlap: dict[str, Any]


def comfyui_folder() -> Path | None:
    """Return the ComfyUI folder of `tools.command_line`, or None if there is none."""
    try:
        return command_line.comfyui_folder()
    except SetupError:
        return None


@contextmanager
def pack_nodes(comfyui: Path, device: torch.device) -> Iterator[ModuleType]:
    """Load the pack's nodes into this process, with an empty base directory."""
    with TemporaryDirectory() as base:
        yield load_pack(comfyui, Path(base), cpu=device.type == "cpu").nodes


class VideoJob:
    """Model, VAE and request of a video of `chunks` chunks and two prompts, to be made again and again.

    size  `tiny` is the tiny story model; the others have random weights, with the tiny VAE on a CPU-sized picture and
          a random one of Wan 2.1's size for the 1.3B model.
    """

    def __init__(self, nodes: ModuleType, size: str, chunks: int):
        self.nodes, shape = nodes, SIZES[size].shape
        model, clip, self.vae = nodes.loaders.MemFlowTinyStory.execute().result
        script = f"0s: {PROMPTS[0]}\n{6 * chunks / FPS:g}s: {PROMPTS[1]}"
        schedule = nodes.prompts.MemFlowPromptSchedule.execute(clip, script, "").result[0]
        if size != "tiny":
            config, length = SIZES[size].model, SIZES[size].text_length
            model = random_model(nodes, config)
            texts = tuple(torch.randn(1, length, config.text_dim) for _ in schedule.embeddings)
            schedule = nodes.run.request.EncodedPrompts(schedule.prompts, texts)
        if size == "1.3b":
            self.vae = random_vae()
        self.request = nodes.run.request.Request(
            model=model,
            schedule=schedule,
            seed=0,
            width=8 * shape.columns,
            height=8 * shape.rows,
            length=FRAMES * chunks - 3,
            fps=float(FPS),
            steps=STEPS,
            shift=5.0,
        )

    def write_file(self, path: Path, overlap: Any = None) -> Timing:
        """Make one file.

        overlap  what runs beside the sampling; None: what the machine is fit for.
        """
        nodes, plan = self.nodes, self.nodes.run.request.prepare(self.request)
        with nodes.run.session.open_run(self.request, plan, self.vae) as run:
            writer = nodes.run.output.VideoWriter(path, FPS, hardware=True)
            started, cpu = time.perf_counter(), time.process_time()
            _, report = nodes.run.output.write_video(run, writer, vae=self.vae, overlap=overlap, wants_state=False)
            wall_s = time.perf_counter() - started
            cpu_s = time.process_time() - cpu
            return Timing(wall_s=wall_s, cpu_s=cpu_s, frames=writer.frames, overlap=report["overlap"])

    def stages_ms(self, path: Path) -> dict[str, list[float]]:
        """Make one file stage by stage. Returns the wall milliseconds of each chunk in each stage."""
        nodes, plan = self.nodes, self.nodes.run.request.prepare(self.request)
        taken: dict[str, list[float]] = {"generator": [], "decode": [], "encode": []}
        with nodes.run.session.open_run(self.request, plan, self.vae) as run:
            decoder, chunks = nodes.run.output.resumed_decoder(run, self.vae), iter(run)
            with nodes.run.output.VideoWriter(path, FPS, hardware=True) as writer:
                for _ in range(plan.chunks):
                    chunk = _timed(taken["generator"], lambda: next(chunks))
                    latents = nodes.host.to_latent(self.request.model, chunk.latents)
                    frames = _timed(taken["decode"], lambda z=latents: decoder.decode(z))
                    _timed(taken["encode"], lambda f=frames: writer.write(f))
        return taken


def random_model(nodes: ModuleType, config: ModelConfig) -> Any:
    """Make ComfyUI's model of random weights."""
    import comfy.model_management

    torch.manual_seed(0)
    # a GPU draws a billion numbers at once, a CPU in half a minute
    with comfy.model_management.get_torch_device():
        drawn = WanModel(config).state_dict()
    numbers = {name: tensor.cpu() for name, tensor in drawn.items()}
    weights = SimpleNamespace(config=ModelConfig(**asdict(config)), state_dict=numbers)
    return nodes.host.wan_model(weights, "default")


def random_vae(width: int = WAN_VAE_WIDTH) -> Any:
    """Make a VAE of random weights, of Wan 2.1's layout and by default of its size, by ComfyUI's own loader."""
    import comfy.sd

    weights = wan_weights(VideoAutoencoder(width), torch.zeros(LATENTS), torch.ones(LATENTS))
    return comfy.sd.VAE(sd=weights)


def random_light_decoder() -> Any:
    """Make a light decoder of random weights, by ComfyUI's own loader, as of Wan 2.1."""
    import comfy.sd
    from comfy.taesd.taehv import TAEHV

    return comfy.sd.VAE(sd={name: tensor.float() for name, tensor in TAEHV(LATENTS).state_dict().items()})


def _timed(taken: list[float], work: Any) -> Any:
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    taken.append(1000 * (time.perf_counter() - started))
    return result
