"""What is published: the registry's own check passes, and the archive holds what users need and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.comfy_host import ROOT

COMFY = Path(sys.executable).with_name("comfy")
FOR_USERS = {"__init__.py", "locales", "memflow_core", "nodes", "web", "workflows"}
ABOUT = {
    "docs",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements.txt",
    ".comfyignore",
    ".gitignore",
}


def git(*command: str, cwd: Path) -> str:
    return subprocess.run(["git", *command], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """The files of this checkout, those that are new included, as a repository of their own."""
    copy = tmp_path_factory.mktemp("package")
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0"):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    git("init", "--quiet", cwd=copy)
    git("add", "--all", cwd=copy)
    return copy


@pytest.fixture(scope="module")
def comfy_node(checkout, tmp_path_factory):
    """Call it with a subcommand of `comfy node`, for what it prints."""
    # comfy-cli keeps its settings in the home directory, which may not be writable
    env = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home")), "COMFY_CLI_NO_REMOTE_REFRESH": "1"}

    def run(*command: str) -> str:
        call = [str(COMFY), "--skip-prompt", "--no-enable-telemetry", "node", *command]
        done = subprocess.run(call, cwd=checkout, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_the_registry_accepts_the_pack_without_a_warning(comfy_node):
    printed = comfy_node("validate")
    assert "All validation checks passed" in printed
    assert "warn" not in printed.lower() and "error" not in printed.lower(), printed


def test_the_archive_holds_what_users_need_and_nothing_else(comfy_node, checkout):
    comfy_node("pack")
    with zipfile.ZipFile(checkout / "node.zip") as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == FOR_USERS | ABOUT
    for needed in (
        "locales/en/nodeDefs.json",
        "locales/zh/nodeDefs.json",
        "memflow_core/assets/tiny_story_generator.safetensors",
        "web/docs/MemFlowMemory.md",
        "web/docs/MemFlowMemory/zh.md",
        "web/docs/MemFlowMemory.png",
        "workflows/tiny_story.json",
    ):
        assert needed in names
    assert [name for name in names if "/__pycache__/" in name] == []
