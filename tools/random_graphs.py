"""Put random nodes of ComfyUI between loader and sampler, and see whether any of them is ignored in silence.

    python -m tools.random_graphs [--graphs N] [--seed S] [--comfyui PATH] [--json FILE]

Each graph is the tiny story model and a prompt, one to three of ComfyUI's own nodes that take and give a MODEL or a
CONDITIONING, with random values in their widgets, and MemFlow Sampler. Node by node it is seen what became of it:

refused   the sampler, or MemFlow Prompt Segment, says that it cannot be.
told      the report says one thing more than it says without the node.
honoured  the picture is another one than without the node.
nothing   the picture is the same, and ComfyUI's own sampler makes the same with and without the node too: it asks for
          nothing, on this model with these values.
silent    the picture is the same and nothing is said, though ComfyUI's own sampler makes another one. There must be
          none.

A node that fails by itself on this model (many are made for others) is drawn again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

PROMPT, OTHER_PROMPT = "a robot walks in the meadow", "an empty beach"
SIZE, FRAMES = 64, 9
LINKS = ("MODEL", "CONDITIONING")
SILENT = "silent"
LORA = "random_graphs_lora.safetensors"
# what a random number may be at most: pictures stay small
MOST = {"width": SIZE, "height": SIZE, "length": FRAMES, "batch_size": 1, "x": 0, "y": 0}
# they train or save, ask for a person, or take a minute (tests of the sampler have torch.compile)
LEFT_OUT = ("Train", "Save", "CheckpointLoader", "Preview", "TorchCompile")
MERGES = "ModelMerge"


@dataclass(frozen=True)
class Step:
    """A node of a graph.

    link    MODEL or CONDITIONING.
    values  of its widgets, by name.
    """

    node: str
    link: str
    values: dict[str, Any]


class Bench:
    """A ComfyUI in this process, with the pack, its tiny model, and all of ComfyUI's nodes.

    pack  as `load_pack.load_pack` returns it.
    """

    def __init__(self, pack: Any, folder: Path):
        import folder_paths

        # ComfyUI's own, which wins over the pack's folder of that name
        stock: Any = import_module("nodes")
        self.nodes = pack.nodes
        self.model, self.clip, self.vae = pack.nodes.loaders.MemFlowTinyStory.execute().result
        (folder / "loras").mkdir(parents=True, exist_ok=True)
        folder_paths.add_model_folder_path("loras", str(folder / "loras"))
        _write_lora(self.model, folder / "loras" / LORA)
        asyncio.run(stock.init_builtin_extra_nodes())
        mappings = {name: kind for name, kind in stock.NODE_CLASS_MAPPINGS.items() if not name.startswith("MemFlow")}
        self.classes = mappings
        self.of_link = {link: sorted(_nodes_of(mappings, link)) for link in LINKS}

    def encode(self, prompt: str) -> list:
        """A CONDITIONING of the tiny text encoder."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(prompt))

    def draw(self, rng: random.Random) -> Step:
        """A node with random values in its widgets, whose other inputs can be given."""
        while True:
            link = rng.choice(LINKS)
            name = rng.choice(self.of_link[link])
            if name.startswith(MERGES) and rng.random() < 0.9:
                # one for each model family, all by the same code
                continue
            kinds = self._inputs(name)
            try:
                values = {key: _value(key, kind, rng) for key, kind in kinds.items() if _is_widget(kind)}
            except LookupError:
                continue
            if all(_is_widget(kind) or self._links(0)[kind[0]] is not None for kind in kinds.values()):
                return Step(name, link, values)

    def apply(self, step: Step, value: Any, seed: int) -> Any:
        """What a node gives for a MODEL or CONDITIONING. Raises whatever it raises."""
        node = self.classes[step.node]
        links = self._links(seed)
        arguments = dict(step.values)
        taken = False
        for key, kind in self._inputs(step.node).items():
            if not _is_widget(kind):
                mine = kind[0] == step.link and not taken
                arguments[key] = value if mine else links[kind[0]]
                taken = taken or mine
        function = getattr(node() if isinstance(node, type) else node, node.FUNCTION)
        result = function(**arguments)
        outputs = getattr(result, "result", result)
        return outputs[list(node.RETURN_TYPES).index(step.link)]

    def stream(self, model: Any, conditioning: list) -> tuple[Any, list[str]]:
        """Latents [1, 16, 3, 8, 8] of one chunk by MemFlow Sampler, and what its report tells."""
        schedule = self.nodes.prompts.MemFlowPromptSegment.execute(conditioning, 0.0, "seconds", "recache").result[0]
        latent, _, report, _ = self.nodes.sampler.MemFlowSampler.execute(
            model=model, schedule=schedule, seed=7, width=SIZE, height=SIZE, length=FRAMES, fps=16.0,
            steps="1000, 500", shift=5.0, memory=None, state=None,
        ).result  # fmt: skip
        return latent["samples"], json.loads(report).get("told", [])

    def stock(self, model: Any, conditioning: list) -> Any:
        """Latents of the same size by ComfyUI's own sampler, under a negative prompt; None where it fails."""
        import comfy.sample
        import torch

        empty = torch.zeros(1, 16, 3, SIZE // 8, SIZE // 8)
        noise = torch.randn(empty.shape, generator=torch.Generator().manual_seed(1))
        negative = self.encode(OTHER_PROMPT)
        try:
            return comfy.sample.sample(
                model, noise, 4, 3.0, "euler", "simple", conditioning, negative, empty, disable_pbar=True, seed=3
            )
        except Exception:  # any node may raise anything in a sampler that it was not made for
            return None

    def _inputs(self, name: str) -> dict[str, tuple]:
        """Required inputs of a node, and those optional ones that can be given."""
        listed = self.classes[name].INPUT_TYPES()
        optional = {key: kind for key, kind in listed.get("optional", {}).items() if _is_plain(kind)}
        return {**listed.get("required", {}), **optional}

    def _links(self, seed: int) -> dict[str, Any]:
        """A value for each kind of link that can be given."""
        import torch

        random_numbers = torch.Generator().manual_seed(seed)
        links: dict[str, Any] = _Links(
            MODEL=self.model,
            CONDITIONING=self.encode(OTHER_PROMPT),
            CLIP=self.clip,
            VAE=self.vae,
            IMAGE=torch.rand(FRAMES, SIZE, SIZE, 3, generator=random_numbers),
            MASK=torch.rand(1, SIZE, SIZE, generator=random_numbers),
            LATENT={"samples": torch.randn(1, 16, 3, SIZE // 8, SIZE // 8, generator=random_numbers)},
            TIMESTEPS_RANGE=(0.2, 0.8),
            HOOKS=_hooks(self.model),
        )
        return links


class _Links(dict):
    def __missing__(self, kind: str) -> None:
        return None


def play(bench: Bench, rng: random.Random) -> Iterator[tuple[Step, str, str]]:
    """Draw a graph, and yield each of its nodes with what became of it and a sentence: what was said, or ""."""
    import torch

    at: dict[str, Any] = {"MODEL": bench.model, "CONDITIONING": bench.encode(PROMPT)}
    latents, told = bench.stream(at["MODEL"], at["CONDITIONING"])
    stock = bench.stock(at["MODEL"], at["CONDITIONING"])
    for _ in range(rng.randint(1, 3)):
        step, seed, after = _drawn(bench, rng, at)
        try:
            new_latents, new_told = bench.stream(after["MODEL"], after["CONDITIONING"])
        except ValueError as error:
            yield step, "refused", str(error)
            return
        new_stock = bench.stock(after["MODEL"], after["CONDITIONING"])
        if said := [sentence for sentence in new_told if sentence not in told]:
            yield step, "told", said[0]
        elif not torch.equal(latents, new_latents):
            yield step, "honoured", ""
        elif new_stock is None or stock is None or torch.equal(stock, new_stock):
            yield step, "nothing", ""
        elif said := _told_alone(bench, step, seed):
            # an earlier node set the same option, and it was told of that already
            yield step, "told", said
        else:
            yield step, SILENT, ""
        at, latents, told, stock = after, new_latents, new_told, new_stock


def _told_alone(bench: Bench, step: Step, seed: int) -> str:
    """What is told of a node that stands alone between loader and sampler."""
    at = {"MODEL": bench.model, "CONDITIONING": bench.encode(PROMPT)}
    at[step.link] = bench.apply(step, at[step.link], seed)
    return next(iter(bench.stream(at["MODEL"], at["CONDITIONING"])[1]), "")


def _drawn(bench: Bench, rng: random.Random, at: dict[str, Any]) -> tuple[Step, int, dict[str, Any]]:
    """A node that does not fail by itself, and the links behind it."""
    while True:
        step, seed = bench.draw(rng), rng.randrange(1000)
        try:
            return step, seed, {**at, step.link: bench.apply(step, at[step.link], seed)}
        except Exception as error:  # made for another model, or for other values
            logging.debug("%s fails: %s", step.node, error)


def _nodes_of(classes: dict[str, Any], link: str) -> Iterator[str]:
    for name, kind in classes.items():
        inputs = kind.INPUT_TYPES().get("required", {})
        takes = any(value[0] == link for value in inputs.values())
        if takes and link in kind.RETURN_TYPES and not any(word in name for word in LEFT_OUT):
            yield name


def _is_widget(kind: tuple) -> bool:
    return isinstance(kind[0], list) or kind[0] in ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO")


def _is_plain(kind: tuple) -> bool:
    return _is_widget(kind) or kind[0] in ("HOOKS", "TIMESTEPS_RANGE", "MASK", "IMAGE")


def _value(name: str, kind: tuple, rng: random.Random) -> Any:
    """A random value of a widget. Raises LookupError where there is none to choose."""
    options = kind[1] if len(kind) > 1 else {}
    if isinstance(kind[0], list) or kind[0] == "COMBO":
        return rng.choice(kind[0] if isinstance(kind[0], list) else options["options"])
    if kind[0] == "BOOLEAN":
        return rng.random() < 0.5
    if kind[0] == "STRING":
        return options.get("default") or rng.choice(("0", "0, 1", "blocks.0"))
    if name in MOST:
        return min(MOST[name], options.get("max", SIZE))
    low, high = max(options.get("min", 0), -100), min(options.get("max", 1), 100)
    if rng.random() < 0.3:
        return options.get("default", low)
    return rng.randint(int(low), int(high)) if kind[0] == "INT" else round(rng.uniform(low, high), 2)


def _hooks(model: Any) -> Any:
    import comfy.hooks

    return comfy.hooks.create_hook_lora(_lora(model), 1.0, 0.0)


def _lora(model: Any) -> dict[str, Any]:
    """A LoRA of rank 2 for the matrices of the model's blocks."""
    import torch

    rng = torch.Generator().manual_seed(5)
    made = {}
    for name, weight in model.model.state_dict().items():
        if name.startswith("diffusion_model.blocks.") and name.endswith(".weight") and weight.ndim == 2:
            rows, columns = weight.shape
            made[f"{name[:-7]}.lora_A.weight"] = torch.randn(2, columns, generator=rng) / 8
            made[f"{name[:-7]}.lora_B.weight"] = torch.randn(rows, 2, generator=rng) / 8
    return made


def _write_lora(model: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(_lora(model), path)


def report_on(bench: Bench, graphs: int, seed: int) -> list[list[dict[str, Any]]]:
    """Play graphs of a seed: for each its nodes, with values, verdict and sentence, fit for JSON."""
    rows = []
    for number in range(graphs):
        # each graph has a seed of its own, so that the first ones are the same however many there are
        played = play(bench, random.Random(seed * 1_000_003 + number))
        rows.append(
            [{"node": s.node, "values": s.values, "verdict": verdict, "said": said} for s, verdict, said in played]
        )
    return rows


def main() -> None:
    from .command_line import comfyui_folder
    from .load_pack import load_pack

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--graphs", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--comfyui", type=Path, default=None)
    options.add_argument("--json", type=Path, default=None)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack = load_pack(chosen.comfyui or comfyui_folder(), Path(folder), cpu=True)
        rows = report_on(Bench(pack, Path(folder) / "models"), chosen.graphs, chosen.seed)
    if chosen.json is not None:
        lines = ",\n".join(json.dumps(row) for row in rows)
        chosen.json.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    verdicts = Counter(node["verdict"] for row in rows for node in row)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    for row in rows:
        for node in row:
            if node["verdict"] == SILENT:
                print(f"{SILENT}: {node['node']} {node['values']}")
    sys.exit(1 if verdicts[SILENT] else 0)


if __name__ == "__main__":
    main()
