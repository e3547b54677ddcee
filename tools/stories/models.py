"""Published model files, as ComfyUI's missing-model dialog reads them from workflows, and their loader nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..workflow_graph import Node

MEMFLOW = "https://huggingface.co/KlingTeam/MemFlow/resolve/main"
REPACKAGED = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"


@dataclass(frozen=True)
class ModelFile:
    """File to download into a folder of ComfyUI's models.

    sha256  as its publisher shows it; None where it is not known.
    """

    url: str
    directory: str
    size: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def entry(self) -> dict[str, str]:
        """Return the file's entry in a node's `properties.models`."""
        known = {"hash": self.sha256, "hash_type": "SHA256"} if self.sha256 else {}
        return {"name": self.name, "url": self.url, "directory": self.directory} | known


GENERATOR = ModelFile(f"{MEMFLOW}/base.pt", "diffusion_models", "about 5.7 GB")
LORA = ModelFile(
    f"{MEMFLOW}/lora.pt", "loras", "2.8 GB", "114cace42a4bd47aff594906e049750b47ea23268b1cf76eb381860663bda865"
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


def model_table() -> str:
    """Return a table of the files for a note, in Markdown."""
    rows = [f"| [{file.name}]({file.url}) | `models/{file.directory}` | {file.size} |" for file in FILES]
    return "\n".join(("| file | folder | size |", "| --- | --- | --- |", *rows))


def loaders(at: tuple[int, int], more: Mapping[str, str] = MappingProxyType({})) -> tuple[Node, Node, Node]:
    """Return nodes that load MemFlow's model, its text encoder and its VAE, one below the other.

    more  further values of the first.
    """
    left, top = at
    model = Node(
        "MemFlowLoadModel",
        (left, top),
        (400, 200),
        {"model_name": GENERATOR.name, "lora_name": LORA.name, **more},
        models=(GENERATOR.entry(), LORA.entry()),
    )
    clip = Node(
        "CLIPLoader",
        (left, top + 250),
        (400, 110),
        {"clip_name": TEXT_ENCODER.name, "type": "wan"},
        models=(TEXT_ENCODER.entry(),),
    )
    vae = Node("VAELoader", (left, top + 410), (400, 60), {"vae_name": VAE.name}, models=(VAE.entry(),))
    return model, clip, vae
