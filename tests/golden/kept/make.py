"""Made the kept files: states, reports, schedules and workflows as people had them on the day of commit b79fe35.

    OMP_NUM_THREADS=1 .venv/bin/python tests/golden/kept/make.py [core] [nodes] [workflows]

was run once, on a CPU, with the code of that commit. The files are NOT to be made anew by later code: they stand for
what people have on their disks, and later code is held to them. Where a test of them fails, the code is wrong, or it
needs a converter. So this program refuses to replace a file, and it need not run with the code of today.

core/       a small model, and streams on it: `CASE.exact.safetensors` and `CASE.compact.safetensors` are states,
            `CASE.CONTENT.after.safetensors` the latents of the chunks that followed, and in its header what was told.
nodes/      what the nodes gave on the bundled tiny model: state files, reports, and played schedules.
workflows/  the files of `workflows/`, what the server is asked for by them, and what those on the tiny model made.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
KEPT = Path(__file__).resolve().parent
ROOT = KEPT.parents[2]
sys.path.append(str(ROOT))

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig  # noqa: E402
from memflow_core.model import Backbone, WanModel  # noqa: E402
from memflow_core.render import failure  # noqa: E402
from memflow_core.state import StreamState, capture, resume  # noqa: E402
from memflow_core.stream import Stream  # noqa: E402
from tools.comfy_host import Layout  # noqa: E402
from tools.comfy_server import Server, output_files  # noqa: E402
from tools.load_pack import load_pack, node_classes  # noqa: E402

# -- core -------------------------------------------------------------------------------------------------------------

SMALL = {"dim": 32, "num_heads": 2, "num_layers": 2, "ffn_dim": 48, "text_dim": 8, "freq_dim": 16}
SMALLER = {"sink_frames": 3, "window_frames": 6}  # a memory that keeps files small
CASES = {
    "story": {"retrieval": "prompt", "record_every": 1, "bank_frames": 4},
    "waiting": {"retrieval": "prompt", "record_every": 1, "bank_frames": 4},
    "reference": {"retrieval": "reference", "top_k": 3},
    "attention": {"retrieval": "attention", "record_every": 1, "bank_frames": 3},
    "fp8": {"retrieval": "prompt", "cache": "fp8", "record_every": 1, "top_k": 3, "positions": "relative"},
}


def keep(path: str) -> Path:
    """Where a new file goes."""
    file = KEPT / path
    if file.exists():
        sys.exit(f"{path} is kept already, and is not to be made anew.")
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def keep_json(path: str, value: object) -> None:
    keep(path).write_text(json.dumps(value, indent=1) + "\n")


def small_model() -> Backbone:
    """Weights large enough that text, memory and position all show in the output."""
    tree, generator = WanModel(ModelConfig(**SMALL)), torch.Generator().manual_seed(11)
    for name, weight in tree.named_parameters():
        if "norm" not in name:
            weight.data = torch.randn(weight.shape, generator=generator) * (0.3 if weight.ndim > 1 else 0.1)
    return Backbone(tree.requires_grad_(False))


def embedding(number: int) -> torch.Tensor:
    text = torch.randn(1, 6, SMALL["text_dim"], generator=torch.Generator().manual_seed(100 + number))
    text[:, 4:] = 0
    return text


def tell(case: str, backbone: Backbone) -> Stream:
    """The stream whose state is kept."""
    memory = MemoryConfig(**SMALLER | CASES[case])
    stream = Stream(backbone, LatentShape(2, 4), memory, SamplingConfig(steps=(1000, 500)), 5, frames=100)
    if case in ("story", "waiting"):
        for frame, name in ((7, "hero"), (13, "villain"), (10, None), (100, "later")):
            stream.pin(frame, name)
    stream.set_prompt(embedding(0))
    make(stream, 4)
    if case in ("story", "waiting"):
        make(stream, 4)
        stream.set_prompt(embedding(1), "blend", blend_chunks=4, blend_path="spherical", recall=["hero"])
        make(stream, 2)
    else:
        stream.set_prompt(embedding(1), "soft" if case == "fp8" else "recache")
        make(stream, 5)
    if case == "waiting":
        stream.set_prompt(embedding(2), "cut", 77, recall=["villain", "hero"])
    return stream


def make(stream: Stream, chunks: int) -> list:
    return [next(stream) for _ in range(chunks)]


def go_on(stream: Stream) -> list:
    """Two chunks more, and a third under another prompt."""
    chunks = make(stream, 2)
    stream.set_prompt(embedding(3), "recache")
    return chunks + make(stream, 1)


def keep_core() -> None:
    backbone = small_model()
    save_file(backbone.tree.state_dict(), keep("core/model.safetensors"), {"config": json.dumps(SMALL)})
    for case in CASES:
        stream = tell(case, backbone)
        state = capture(stream)
        whole = go_on(stream)
        for kept in (state, state.compact()):
            name = f"core/{case}.{kept.content}"
            kept.save(keep(f"{name}.safetensors"))
            resumed = resume(StreamState.load(KEPT / f"{name}.safetensors"), backbone)
            keep_what_followed(f"{name}.after.safetensors", kept, resumed, whole)


def keep_what_followed(path: str, state: StreamState, stream: Stream, whole: list) -> None:
    chunks = go_on(stream)
    told = [{"forwards": [one.kind for one in chunk.forwards], "trace": chunk.trace} for chunk in chunks]
    said = {"chunks": state.chunks, "pins": state.pins, "places": state.pinned_places, "rebuilds": state.rebuilds}
    latents = torch.cat([chunk.latents for chunk in chunks], dim=2)
    whole_latents = torch.cat([chunk.latents for chunk in whole], dim=2)
    if state.content == "exact":
        assert torch.equal(latents, whole_latents)
    print(path, "differs from the stream that never stopped by", float((latents - whole_latents).abs().max()))
    header = {"said": json.dumps(said), "chunks": json.dumps(told)}
    save_file({"latents": latents, "text": embedding(3)}, keep(path), header)


# -- nodes ------------------------------------------------------------------------------------------------------------

START = "pin hero: 0.8s\npin: 1.3s\n0s: a robot walks in the meadow\n1.4s [blend 3]: an empty beach"
TALE = f"{START}\n2.7s [cut] [seed 11] [hero]: the robot returns to the meadow\n4.3s [soft]: a cat walks into the city"
CUSTOM = {"preset": "Custom", "retrieval": "prompt", "bank_size": 2, "record_interval": 1, "top_k": 0, "sink_size": 1}
CUSTOM |= {"window_size": 3, "positions": "auto", "global_sink": True}
# what the nodes are given, by the names of their inputs
INPUTS = {
    "start": {"prompts": START, "global_prompt": ""},
    "tale": {"prompts": TALE, "global_prompt": ""},
    "memory": {"preset": CUSTOM, "cache": "model"},
    # the smallest pictures there are, since a state holds what the decoder needs of the last ones
    "story": {"seed": 7, "width": 16, "height": 16, "fps": 16.0, "steps": "1000, 500", "shift": 5.0},
    "larger": {"seed": 7, "width": 32, "height": 32, "fps": 16.0, "steps": "1000, 500", "shift": 5.0},
    "video": {"filename_prefix": "kept", "format": "mp4 (h264)", "quality": "high", "save_output": True},
    "start_length": 45,
    "more_length": 36,
    "tale_length": 93,
}


def keep_nodes() -> None:
    with tempfile.TemporaryDirectory() as base:
        nodes = node_classes(load_pack(Layout(ROOT).comfyui.resolve(), Path(base), cpu=True))

        def run(name: str, **inputs):
            return nodes[name].PREPARE_CLASS_CLONE(None).execute(**inputs).result

        model, clip, vae = run("MemFlowTinyStory")
        (memory,) = run("MemFlowMemory", **INPUTS["memory"])
        start, tale = (run("MemFlowPromptSchedule", clip=clip, **INPUTS[name])[0] for name in ("start", "tale"))
        keep_json("nodes/inputs.json", INPUTS)
        keep_states(run, Path(base), {"model": model, "memory": memory, **INPUTS["story"]}, vae, start, tale)
        keep_tale(run, {"model": model, "memory": memory, **INPUTS["larger"]}, clip, tale)


def keep_states(run, base: Path, inputs: dict, vae, start, tale) -> None:
    """States after the start of a tale, with the decoder's carry, and how they went on as latents and as video."""
    films = inputs | {"vae": vae, **INPUTS["video"]}
    _, state, report, _ = run("MemFlowStreamToVideo", schedule=start, length=INPUTS["start_length"], **films)
    keep_json("nodes/video_report_keys.json", sorted(json.loads(report)))
    made, infos = {}, {}
    for content in ("exact", "compact"):
        (name,) = run("MemFlowSaveState", state=state, filename_prefix="kept", content=content)
        kept = keep(f"nodes/state_{content}.safetensors")
        shutil.copy(base / "output" / name.removesuffix(" [output]"), kept)
        loaded, infos[content] = run("MemFlowLoadState", file=name)
        more = {"schedule": tale, "length": INPUTS["more_length"], "state": loaded}
        made[f"{content}.latents"] = run("MemFlowSampler", **inputs, **more)[0]["samples"]
        video = run("MemFlowStreamToVideo", **films, **more)[0]
        made[f"{content}.frames"] = (video.get_components().images * 255).round().to(torch.uint8)
    save_file(made, keep("nodes/states_after.safetensors"))
    keep_json("nodes/state_infos.json", infos)


def keep_tale(run, inputs: dict, clip, tale) -> None:
    """A run's report and what Memory View drew of it, and what was played."""
    latent, _, report, played = run("MemFlowSampler", schedule=tale, length=INPUTS["tale_length"], **inputs)
    keep("nodes/report.json").write_text(report)
    keep("nodes/played.txt").write_text(played)
    (again,) = run("MemFlowPromptSchedule", clip=clip, prompts=played, global_prompt="")
    assert torch.equal(
        run("MemFlowSampler", schedule=again, length=INPUTS["tale_length"], **inputs)[0]["samples"], latent["samples"]
    )
    save_file({"latents": latent["samples"].contiguous()}, keep("nodes/tale.safetensors"))
    from PIL import Image

    for rows in ("chunks", "prompts"):
        sheet, told = run("MemFlowMemoryView", report=report, rows=rows)
        picture = Image.fromarray((sheet[0] * 255).round().to(torch.uint8).numpy())
        picture.quantize(64).save(keep(f"nodes/sheet_{rows}.png"), optimize=True)
    keep_json("nodes/view.json", json.loads(told))


# -- workflows --------------------------------------------------------------------------------------------------------

ON_TINY = {"tiny_story": 4.0, "node_by_node": 4.0, "picture_to_story": 4.0, "continue_and_branch": 2.0, "live_story": 2}


def keep_workflows() -> None:
    with tempfile.TemporaryDirectory() as base, Server(Layout(ROOT).comfyui.resolve(), Path(base)) as server:
        for file in sorted((ROOT / "workflows").glob("*.json")):
            shutil.copy(file, keep(f"workflows/{file.name}"))
            prompt = server.convert(json.loads(file.read_text()))
            keep_json(f"workflows/{file.stem}.api.json", prompt)
            if file.stem in ON_TINY:
                keep_played(server, file.stem, prompt)


def keep_played(server: Server, name: str, prompt: dict) -> None:
    """Play a workflow in little; keep what was changed for that, and small pictures of its videos."""
    changes = {id: little(node["inputs"], ON_TINY[name]) for id, node in prompt.items() if "steps" in node["inputs"]}
    for id, inputs in changes.items():
        prompt[id]["inputs"] |= inputs
    run = server.run(prompt)
    assert failure(run.history) is None, failure(run.history)
    videos = {}
    for file in output_files(run.history, ".mp4"):
        videos[file["filename"].rpartition("_0")[0]] = small_frames(server.path_of(file))
    save_file(videos, keep(f"workflows/{name}.frames.safetensors"), {"changes": json.dumps(changes)})


def little(inputs: dict, fps: float) -> dict:
    """Inputs for one step and fewer frames a second, so that all of the story is told."""
    length = min(round(inputs["length"] * fps / inputs["fps"]), 141) or 33
    return {"width": 64, "height": 64, "steps": "1000", "fps": fps, "length": length}


def small_frames(path: Path) -> torch.Tensor:
    """Frames of a video at 8 x 8 pixels, [F, 8, 8, 3] uint8."""
    import av

    with av.open(path) as file:
        frames = torch.stack([torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)])
    small = torch.nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 8)
    return small.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous()


PARTS = {"core": keep_core, "nodes": keep_nodes, "workflows": keep_workflows}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
