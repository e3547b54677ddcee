"""The set-up and demo commands: their messages when something is in the way, and what they leave alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memflow_core.render import failure
from tools import comfy_host
from tools.comfy_host import ROOT, SetupError, comfyui_version, setup, setup_core
from tools.comfy_server import ServerError, output_files, require_free_port

HOST = ROOT / "tools" / "comfy_host.py"


def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "COMFYUI_PATH"}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**clean, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def fake_comfyui(folder: Path, version: str = "0.30.0") -> Path:
    (folder / "comfy").mkdir(parents=True)
    (folder / "main.py").write_text("")
    (folder / "comfyui_version.py").write_text(f'__version__ = "{version}"\n')
    (folder / "requirements.txt").write_text("einops\n")
    return folder


def test_a_folder_that_is_no_comfyui_is_named(tmp_path):
    assert_one_sentence(run(HOST, "--dest", tmp_path, COMFYUI_PATH=str(tmp_path)), str(tmp_path), "not a ComfyUI")


def test_an_old_comfyui_is_told_its_version_and_the_one_needed(tmp_path):
    old = fake_comfyui(tmp_path / "old", "0.3.64")
    assert_one_sentence(run(HOST, "--dest", tmp_path, "--comfyui", old), "0.3.64", "0.30")


@pytest.mark.parametrize("version, accepted", [("0.29.9", False), ("0.30.0", True), ("0.31.2", True), ("1.0.0", True)])
def test_comfyui_is_accepted_from_0_30_on(tmp_path, version, accepted):
    folder = fake_comfyui(tmp_path / "ComfyUI", version)
    if accepted:
        assert comfyui_version(folder) == version
    else:
        with pytest.raises(SetupError, match=version):
            comfyui_version(folder)


def test_an_old_python_is_told_its_version_and_the_one_needed(tmp_path):
    pretend = (
        "import runpy, sys; sys.version_info = (3, 9, 18); sys.version = '3.9.18 (main)'; "
        f"runpy.run_path({str(HOST)!r}, run_name='__main__')"
    )
    assert_one_sentence(run("-c", pretend), "3.10", "3.9.18", "PYTHON=")


def test_without_network_the_failing_step_and_the_log_are_named(tmp_path):
    done = run(
        HOST,
        "--dest",
        tmp_path,
        GIT_ALLOW_PROTOCOL="file",
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_FIND_LINKS="",
        PIP_RETRIES="1",
    )
    assert_one_sentence(done, "fetching ComfyUI", "no connection", str(tmp_path / ".host" / "setup.log"))
    assert (tmp_path / ".host" / "setup.log").is_file()


def test_a_python_without_venv_is_told_what_to_install(tmp_path):
    (tmp_path / "venv.py").write_text("raise ModuleNotFoundError('No module named venv')\n")
    done = run(HOST, "--dest", tmp_path, PYTHONPATH=str(tmp_path))
    assert_one_sentence(done, sys.executable, "python3-venv")


def test_set_up_runs_once_and_again_only_when_a_requirement_changed(tmp_path, monkeypatch):
    comfyui = fake_comfyui(tmp_path / "ComfyUI")
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("pytest\n")
    installed = []
    monkeypatch.setattr(comfy_host, "install", lambda *args: installed.append(args))

    first = setup(tmp_path / "dest", comfyui, [wanted])
    assert setup(tmp_path / "dest", comfyui, [wanted]) == first
    assert len(installed) == 1
    assert Path(first["python"]).exists()
    wanted.write_text("pytest\nruff\n")
    setup(tmp_path / "dest", comfyui, [wanted])
    assert len(installed) == 2


def test_what_needs_no_comfyui_is_set_up_once_and_fetches_none(tmp_path, monkeypatch):
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("pytest\n")
    installed = []
    monkeypatch.setattr(comfy_host, "pip", lambda at, what, *args: installed.append(args))

    setup_core(tmp_path / "dest", [wanted])
    setup_core(tmp_path / "dest", [wanted])
    assert installed == [("install", comfy_host.TORCH[0], "-r", wanted)]
    assert (tmp_path / "dest" / ".venv" / "bin" / "python").exists()
    assert not (tmp_path / "dest" / ".host" / "ComfyUI").exists()
    wanted.write_text("pytest\nruff\n")
    setup_core(tmp_path / "dest", [wanted])
    assert len(installed) == 2


def test_it_completes_the_environment_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(comfy_host, "install", lambda *args: None)
    monkeypatch.setattr(comfy_host, "pip", lambda *args: None)
    made = setup(tmp_path / "dest", fake_comfyui(tmp_path / "ComfyUI"), [])
    kept = tmp_path / "dest" / ".venv" / "kept"
    kept.write_text("")
    setup_core(tmp_path / "dest", [])
    assert kept.is_file()
    monkeypatch.setattr(comfy_host, "install", lambda *args: pytest.fail("it was set up"))
    assert setup(tmp_path / "dest", tmp_path / "ComfyUI", []) == made


def test_an_interrupted_set_up_is_taken_up_again(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    comfyui = fake_comfyui(tmp_path / "ComfyUI")
    installed = []
    monkeypatch.setattr(comfy_host, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        setup(tmp_path / "dest", comfyui, [])
    monkeypatch.setattr(comfy_host, "install", lambda *args: installed.append(args))
    setup(tmp_path / "dest", comfyui, [])
    assert len(installed) == 1


def test_a_named_comfyui_is_left_as_it_was_and_the_pack_is_linked_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(comfy_host, "install", lambda *args: None)
    comfyui = fake_comfyui(tmp_path / "ComfyUI")
    before = sorted(comfyui.rglob("*"))
    made = setup(tmp_path / "dest", comfyui, [])
    assert sorted(comfyui.rglob("*")) == before
    assert made["comfyui"] == str(comfyui)
    assert (Path(made["base"]) / "custom_nodes" / "memflow").resolve() == ROOT


def test_the_demo_names_a_port_in_use_and_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_sentence(run("-m", "tools.demo", PORT=str(port)), str(port), "PORT=")
        with pytest.raises(ServerError, match=str(port)):
            require_free_port(port)
    require_free_port(port)


@pytest.mark.parametrize("port", ["http", "70000"])
def test_the_demo_refuses_what_is_no_port(port):
    assert_one_sentence(run("-m", "tools.demo", PORT=port), port, "PORT=")


def test_the_demo_names_a_workflow_file_that_is_none(tmp_path, comfy_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert_one_sentence(run("-m", "tools.demo", broken, COMFYUI_PATH=str(comfy_path), PORT="0"), str(broken))


def test_a_failed_run_is_told_by_its_node():
    error = {"node_type": "Sampler", "node_id": "7", "exception_message": "bank is 9: at most 6.\n"}
    history = {"status": {"status_str": "error", "messages": [["execution_start", {}], ["execution_error", error]]}}
    assert failure(history) == "Sampler (node 7): bank is 9: at most 6."
    assert failure({"status": {"status_str": "success", "messages": []}}) is None


def test_videos_are_found_among_all_outputs():
    video = {"filename": "a.mp4", "subfolder": "video", "type": "output"}
    picture = {"filename": "a.png", "subfolder": "", "type": "temp"}
    history = {"outputs": {"1": {"images": [picture], "text": ["x"]}, "2": {"images": [video], "animated": [True]}}}
    assert output_files(history, ".mp4") == [video]
