"""Who may import whom, and what the repository must not name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE_MAY = set(sys.stdlib_module_names) | {"torch", "einops", "safetensors", "numpy", "av"}
TRITON_KERNELS = "_triton.py"  # files that end so are loaded only where Triton is installed
BESIDE_A_COMFYUI = {  # files of memflow_core/render that take what stands beside ComfyUI
    "ray_workers.py": {"ray"},  # an optional extra, imported when a cluster is asked for
    "server.py": {"aiohttp"},  # what ComfyUI's own server is made of
}
# what ComfyUI itself requires
NODES_MAY = CORE_MAY | {"comfy_api", "PIL"}
HOST_ONLY = {
    "aiohttp",
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfyui_version",
    "folder_paths",
    "latent_preview",
    "node_helpers",
    "nodes",
    "server",
}
# written so that this file does not match itself
MACHINE = re.compile(
    r"/wor[k]/|/roo[t]/|/hom[e]/\w|/Use[r]s/\w|/opt/py[p]i|py[p]i\.org|python[h]osted\.org|download\.pytorch\.or[g]"
)


def imports(file: Path) -> Iterator[tuple[int, str, int]]:
    """(level, dotted module, line) of every import in `file`; level 0 is absolute."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", node.lineno


def not_allowed(package: str, allowed) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    return [
        f"{file.relative_to(ROOT)}:{line} imports {'.' * level}{module}"
        for file in files
        for level, module, line in imports(file)
        if not allowed(file, level, module)
    ]


def test_the_core_imports_only_itself_and_what_it_is_allowed():
    def allowed(file: Path, level: int, module: str) -> bool:
        depth = len(file.relative_to(ROOT / "memflow_core").parts)
        may = CORE_MAY | {"triton"} if file.name.endswith(TRITON_KERNELS) else CORE_MAY
        if file.parent.name == "render":
            may = may | BESIDE_A_COMFYUI.get(file.name, set())
        return level <= depth if level else module.split(".")[0] in may

    assert not_allowed("memflow_core", allowed) == []


def test_only_the_host_package_imports_the_insides_of_comfyui():
    def allowed(file: Path, level: int, module: str) -> bool:
        top = module.split(".")[0]
        if level or "host" in file.relative_to(ROOT).parts:
            return level > 0 or top in NODES_MAY | HOST_ONLY
        return top in NODES_MAY and (top != "comfy_api" or module == "comfy_api.latest")

    assert not_allowed("nodes", allowed) == []


def test_the_core_loads_with_neither_comfyui_nor_triton_in_reach():
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in sorted((ROOT / "memflow_core").rglob("*.py"))
        if file.name not in ("__init__.py", "__main__.py") and not file.name.endswith(TRITON_KERNELS)
    ]
    program = (
        "import importlib, sys\n"
        "for name in ('comfy', 'comfy_api', 'folder_paths', 'server', 'nodes', 'triton'): sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_requirements_never_name_torch():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if re.match(r"\s*torch", line)] == []


def test_nothing_in_the_repository_names_a_machine():
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    found = []
    for file in (ROOT / name for name in names if name):
        data = file.read_bytes() if file.is_file() else b""
        if b"\0" in data[:8192]:
            continue
        lines = data.decode(errors="replace").splitlines()
        found += [f"{file.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if MACHINE.search(line)]
    assert found == []
