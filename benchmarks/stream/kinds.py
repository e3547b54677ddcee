"""Count what a chunk takes of each size of model that can be streamed, by its profile; nothing runs.

python -m benchmarks.stream.kinds
"""

from __future__ import annotations

from memflow_core.config import LatentShape, ModelConfig
from memflow_core.estimate import GB, ControlWork, Decode, Footprint, estimate
from memflow_core.model import ModelSize, control_weights_of, weights_of
from memflow_core.profiles import PROFILES, Profile, dim_of
from memflow_core.schedule import ChunkGrid, Time, read_schedule

from .work import Work, chunk_work, control_work

MODELS = {
    1536: ModelConfig(dim=1536, num_heads=12, num_layers=30, ffn_dim=8960, text_dim=4096),
    3072: ModelConfig(
        dim=3072, num_heads=24, num_layers=30, ffn_dim=14336, text_dim=4096, in_channels=48, out_channels=48
    ),
    5120: ModelConfig(dim=5120, num_heads=40, num_layers=40, ffn_dim=13824, text_dim=4096),
}
VAE_BYTES = {16: 2 * 126_892_531, 48: 2 * 704_688_668}
CONTROL_BLOCKS = {1536: 15, 5120: 8}  # of the published VACE weights, by width
SHOWN = ("MemFlow", "Causal Forcing++, frame-wise, 2 steps", "LongLive 2", "Krea Realtime 14B")
BF16, TEXT_LENGTH = 2, 512


def shape_of(profile: Profile) -> LatentShape:
    """Return the latent size of the picture that a profile was trained with."""
    return LatentShape.of_picture(profile.width, profile.height, profile.pixels)


def work_of(profile: Profile, control: bool = False) -> Work:
    """Count a chunk when memory and window are full, in bfloat16; a refresh reads what the chunk sees beside itself.

    control  whether a control steers it.
    """
    model, shape, sampling = MODELS[dim_of(profile)], shape_of(profile), profile.sampling
    common = {"text_length": TEXT_LENGTH, "dtype_bytes": BF16}
    work = chunk_work(model, shape, memory=profile.memory, sampling=sampling, **common)
    if control:
        work += control_work(model, shape, blocks=CONTROL_BLOCKS[model.dim], sampling=sampling, **common)
    if not sampling.refresh:
        return work
    seen = profile.frames_read - sampling.chunk_frames
    return work + chunk_work(model, shape, memory=profile.memory, sampling=sampling, passes=0, made=seen, **common)


def footprint_of(profile: Profile, control: bool = False) -> Footprint:
    """Estimate a story of a minute, streamed to a file. control: whether one steers all of it."""
    size, shape = ModelSize.of(MODELS[dim_of(profile)], BF16), shape_of(profile)
    plan = read_schedule("0s: a").place(ChunkGrid(profile.sampling.chunk_frames, profile.fps), Time(60, "s"))
    steered = None
    if control:
        blocks = CONTROL_BLOCKS[size.dim]
        steered = ControlWork([(0, None)], blocks, BF16 * control_weights_of(size, blocks), BF16)
    estimated = estimate(size, shape, memory=profile.memory, plan=plan, sampling=profile.sampling, control=steered)
    return Footprint(
        estimated, shape, BF16 * weights_of(size), Decode.of(shape, VAE_BYTES[profile.channels], BF16, beside=True)
    )


def table() -> str:
    """Return a Markdown table, a row for each profile."""
    lines = ["| profile | picture, fps | TFLOP a chunk | TFLOP a second of video | GB moved a chunk | VRAM, GB |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, control in (*((name, False) for name in SHOWN), (SHOWN[0], True), (SHOWN[-1], True)):
        profile = PROFILES[name]
        work, peak = work_of(profile, control), footprint_of(profile, control).device_bytes / GB
        second = profile.fps / ChunkGrid(profile.sampling.chunk_frames, profile.fps).chunk_px
        picture = f"{profile.width} x {profile.height}, {profile.fps:g}"
        counted = f"{work.flops / 1e12:.4g} | {second * work.flops / 1e12:.4g} | {work.bytes / 1e9:.4g} | {peak:.1f}"
        lines.append(f"| {name}{' under control' * control} | {picture} | {counted} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
