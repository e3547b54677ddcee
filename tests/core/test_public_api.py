"""What `import memflow_core as mf` offers, and what it loads."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import memflow_core as mf

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "Backbone", "Chunk", "ChunkGrid", "EncodedSchedule", "Keep", "LatentShape", "MemoryConfig", "MemoryLog",
    "ModelConfig", "Profile", "PromptSchedule", "SamplingConfig", "ScheduleError", "Stream", "StreamState", "Time",
    "VideoWriter", "capture", "load_generator", "play", "profile_of", "read_generator", "read_lora", "read_schedule",
    "resume", "to_text",
]  # fmt: skip


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_names_that_people_import_stay():
    assert mf.__all__ == NAMES
    assert set(NAMES) <= set(dir(mf))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_that_of_its_room(name):
    room = importlib.import_module(f"memflow_core.{mf._ROOM_OF[name]}")
    assert getattr(mf, name) is getattr(room, name)
    assert name in getattr(room, "__all__", [name])


def test_editors_see_the_names_that_are_there():
    tree = ast.parse(Path(mf.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert {node.module: tuple(alias.name for alias in node.names) for node in imports} == mf._ROOMS


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Strem'"):
        mf.Strem  # noqa: B018


def test_play_is_the_function_although_a_room_is_called_so():
    run(
        "import memflow_core.play, memflow_core as mf, sys\n"
        "from memflow_core import play\n"
        "from memflow_core.play import MemoryLog\n"
        "assert mf.play is play is sys.modules['memflow_core.play'].play, mf.play"
    )


def test_schedules_are_read_without_torch():
    run(
        "import sys; sys.modules['torch'] = None\n"
        "import memflow_core.schedule, memflow_core.config, memflow_core as mf\n"
        "schedule = mf.read_schedule('0s: a robot walks\\n8s [cut]: the beach lies empty')\n"
        "plan = schedule.place(mf.ChunkGrid(fps=16), mf.Time(12, 's'))\n"
        "assert len(plan.segments) == 2 and 'robot' in mf.to_text(schedule)"
    )


def test_importing_the_core_loads_nothing_else():
    run(
        "import sys, memflow_core\n"
        "assert not {'torch', 'numpy', 'av', 'safetensors'} & set(sys.modules)\n"
        "assert [name for name in sys.modules if name.startswith('memflow_core')] == ['memflow_core']"
    )
