"""Published model files, as ComfyUI's missing-model dialog reads them from workflows, and their loader nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..workflow_graph import Node
from .parts import LOADER_COLUMN

MEMFLOW = "https://huggingface.co/KlingTeam/MemFlow/resolve/main"
REPACKAGED_22 = "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files"
REPACKAGED = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"


@dataclass(frozen=True)
class ModelFile:
    """File to download into a folder of ComfyUI's models.

    sha256    as its publisher shows it; None where it is not known.
    saved_as  its name there, where that which it is published under is not one of its own; "" for the published one.
    """

    url: str
    directory: str
    size: str
    sha256: str | None = None
    saved_as: str = ""
    chinese_size: str | None = None  # where the size is said in words

    @property
    def published_as(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def name(self) -> str:
        return self.saved_as or self.published_as

    def entry(self) -> dict[str, str]:
        """Return the file's entry in a node's `properties.models`."""
        known = {"hash": self.sha256, "hash_type": "SHA256"} if self.sha256 else {}
        return {"name": self.name, "url": self.url, "directory": self.directory} | known


# the loader knows the names that these are published under, too: nodes/host/models.py
GENERATOR = ModelFile(f"{MEMFLOW}/base.pt", "diffusion_models", "≈ 5.7 GB", saved_as="memflow_base.pt")
LORA = ModelFile(
    f"{MEMFLOW}/lora.pt",
    "loras",
    "2.8 GB",
    "114cace42a4bd47aff594906e049750b47ea23268b1cf76eb381860663bda865",
    saved_as="memflow_lora.pt",
)
TEXT_ENCODER = ModelFile(
    f"{REPACKAGED}/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "text_encoders",
    "6.7 GB",
    "c3355d30191f1f066b26d93fba017ae9809dce6c627dda5f6a66eaa651204f68",
)
VAE = ModelFile(
    f"{REPACKAGED}/vae/wan_2.1_vae.safetensors",
    "vae",
    "0.25 GB",
    "2fc39d31359a4b0a64f55876d8ff7fa8d780956ae2cb13463b0223e15148976b",
)
FILES = (GENERATOR, LORA, TEXT_ENCODER, VAE)
CAUSAL_FORCING = ModelFile(
    "https://huggingface.co/zhuhz22/Causal-Forcing/resolve/main/causal-forcing%2B%2B/framewise-2step.pt",
    "diffusion_models",
    "see its page",
    saved_as="causal_forcing_framewise-2step.pt",
    chinese_size="见其页面",
)
LONGLIVE_2 = ModelFile(
    "https://huggingface.co/Efficient-Large-Model/LongLive-2.0-5B/resolve/main/model_bf16.pt",
    "diffusion_models",
    "≈ 10 GB",
    saved_as="longlive2_5b_bf16.pt",
)
VAE_22 = ModelFile(f"{REPACKAGED_22}/vae/wan2.2_vae.safetensors", "vae", "1.4 GB")


def model_table(files: Sequence[ModelFile] = FILES, *, chinese: bool = False) -> str:
    """Return a table of files for a note, in Markdown, and the names that some are published under."""
    sizes = [file.chinese_size or file.size if chinese else file.size for file in files]
    # narrow enough for a note of 400 px in either renderer
    rows = [
        f"| [{file.name}]({file.url}) | {file.directory} | {size} |" for file, size in zip(files, sizes, strict=True)
    ]
    head = "| 文件 | 在 models 中 | 大小 |" if chinese else "| file | in models | size |"
    table = "\n".join((head, "| --- | --- | --- |", *rows))
    published = [file.published_as for file in files if file.saved_as]
    if not published:
        return table
    many = len(published) > 1
    if chinese:
        return f"{table}\n\n浏览器会把{'前两个' if many else '第一个'}存为 {' 和 '.join(published)}：这样也能用。"
    names = " and ".join(published)
    return f"{table}\n\nA browser saves {'the first two' if many else 'the first'} as {names}: that works too."


def loaders(
    at: tuple[int, int],
    clip_at: tuple[int, int],
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    generator: ModelFile = GENERATOR,
    lora: ModelFile | None = LORA,
    vae: ModelFile = VAE,
) -> tuple[Node, Node, Node]:
    """Return nodes that load a model, its text encoder, and its VAE below the model.

    more  further values of the first.
    """
    left, top = at
    model = Node(
        "MemFlowLoadModel",
        (left, top),
        (LOADER_COLUMN, 200),
        {"model_name": generator.name, "lora_name": "none" if lora is None else lora.name, **more},
        models=tuple(file.entry() for file in (generator, lora) if file is not None),
    )
    clip = Node(
        "CLIPLoader",
        clip_at,
        (LOADER_COLUMN, 100),
        {"clip_name": TEXT_ENCODER.name, "type": "wan"},
        models=(TEXT_ENCODER.entry(),),
    )
    decoder = Node("VAELoader", (left, top + 250), (LOADER_COLUMN, 60), {"vae_name": vae.name}, models=(vae.entry(),))
    return model, clip, decoder
