"""The check of ComfyUI's names: it passes for this ComfyUI, and finds each kind of change in another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.check_host_names import MEMBERS, check
from tools.host_names import PACKAGES, Found, Sources

# (file, text, what a newer version has in its place, what is said)
CHANGES = [
    ("comfy/model_management.py", "def load_models_gpu(", "def load_models(", "load_models_gpu does not exist"),
    ("comfy/sd.py", "def load_lora_for_models(", "def _load_lora_for_models(", "load_lora_for_models does not exist"),
    ("comfy/sd.py", "class VAE:", "class Decoder:", "comfy.sd.VAE does not exist"),
    ("comfy/sd.py", "def vae_output_dtype(", "def output_dtype(", "VAE.vae_output_dtype does not exist"),
    ("comfy/model_base.py", "def process_latent_in(", "def latent_in(", "BaseModel.process_latent_in does not exist"),
    ("comfy/model_patcher.py", "def loaded_size(", "def size_loaded(", "ModelPatcher.loaded_size does not exist"),
    ("server.py", "def send_progress_text(", "def send_text(", "instance.send_progress_text does not exist"),
    ("server.py", "self.routes = ", "self.all_routes = ", "PromptServer.instance.routes does not exist"),
    ("folder_paths.py", "def get_save_image_path(", "def save_path(", "get_save_image_path does not exist"),
    ("latent_preview.py", "class Latent2RGBPreviewer(", "class RGB(", "Latent2RGBPreviewer does not exist"),
    ("comfy_execution/utils.py", "def get_executing_context(", "def context(", "get_executing_context does not exist"),
    ("comfy_api/latest/_io.py", "class Clip(", "class TextEncoder(", "io.Clip does not exist"),
    ("comfy_api/latest/_io.py", "    dynprompt = ", "    graph = ", "io.Hidden.dynprompt does not exist"),
    ("comfy_api/latest/_ui.py", "class PreviewVideo(", "class Video(", "ui.PreviewVideo does not exist"),
    ("comfy/cli_args.py", "args = parser", "arguments = parser", "cli_args.args does not exist"),
    ("comfy/model_management.py", "load_models_gpu(models, memory_required", "load_models_gpu(models, bytes_needed",
     "load_models_gpu takes no argument memory_required"),
    ("comfy/utils.py", "def common_upscale(samples, width, height, upscale_method, crop)",
     "def common_upscale(samples, width, height)", "common_upscale takes no 5 arguments"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sources(comfy_path, tmp_path_factory) -> Path:
    """A copy of ComfyUI's Python sources."""
    copy = tmp_path_factory.mktemp("newer")
    for package in PACKAGES:
        folder, file = comfy_path / package, comfy_path / f"{package}.py"
        if folder.is_dir():
            shutil.copytree(folder, copy / package, ignore=lambda at, names: [n for n in names if _skipped(at, n)])
        if file.is_file():
            shutil.copy(file, copy)
    return copy


def _skipped(folder: str, name: str) -> bool:
    return not (Path(folder, name).is_dir() or name.endswith(".py")) or name == "__pycache__"


def test_every_name_is_there(comfy_path):
    count, problems = check(comfy_path)
    assert problems == [] and count > 150


def test_a_module_has_the_names_that_python_gives_it_and_no_others(tmp_path):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "__init__.py").write_text("")
    found = Sources(tmp_path)
    assert found.find(("comfy", "__name__")) and found.find(("comfy", "__file__"))
    assert found.find(("comfy", "__version__")) is None


@pytest.mark.parametrize("change", CHANGES, ids=[words for *_, words in CHANGES])
def test_a_change_is_found_and_named(sources, change):
    name, old, new, words = change
    file = sources / name
    before = file.read_text(encoding="utf-8")
    assert old in before
    file.write_text(before.replace(old, new), encoding="utf-8")
    try:
        problems = check(sources)[1]
    finally:
        file.write_text(before, encoding="utf-8")
    assert any(words in line for line in problems), problems


def test_a_module_that_moved_is_found(sources):
    (sources / "comfy" / "taesd" / "taehv.py").rename(sources / "comfy" / "taehv.py")
    try:
        assert any("comfy.taesd.taehv does not exist" in line for line in check(sources)[1])
    finally:
        (sources / "comfy" / "taehv.py").rename(sources / "comfy" / "taesd" / "taehv.py")


def test_what_became_a_method_is_gone_though_its_name_still_stands_in_the_file(tmp_path):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "__init__.py").touch()
    (tmp_path / "comfy" / "sd.py").write_text("class A:\n    def _load(self): ...\n    def load(self): ...\n")
    found = Sources(tmp_path)
    assert found.find(["comfy", "sd", "load"]) is None
    assert isinstance(found.find(["comfy", "sd", "A", "load"]), Found)


def test_the_members_are_those_of_the_objects(pack, comfy_path):
    """Classes that are listed by name are those that ComfyUI really makes."""
    import importlib

    for owner, names in MEMBERS.items():
        module, _, name = owner.rpartition(".")
        while True:
            try:
                home = importlib.import_module(module)
                break
            except ImportError:
                module, _, outer = module.rpartition(".")
                name = f"{outer}.{name}"
        for part in name.split("."):
            home = getattr(home, part)
        assert isinstance(home, type) and names.split()
