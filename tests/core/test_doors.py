"""Rooms import one another only through their doors, and only as the tables allow (docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.doors import CORE, NODES, OUTSIDERS, Wing, comfyui_internals, violations

ROOT = Path(__file__).resolve().parents[2]


def test_every_import_goes_through_a_door_that_is_open():
    found = violations(ROOT, [CORE, NODES], OUTSIDERS)
    assert not found, "\n".join(found)


def test_only_the_host_room_reaches_into_comfyui():
    found = comfyui_internals(ROOT, ["memflow_core", "nodes"], "nodes/host")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("wing", [CORE, NODES], ids=lambda wing: wing.package)
def test_the_table_leads_one_way(wing):
    left = {room: {other for other in wing.may if wing.allows(room, other)} - {room} for room in wing.may}
    left[wing.shared] = set()
    while left:
        last = [room for room, others in left.items() if not others & set(left)]
        assert last, f"a circle among {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in last}


# -- the check itself, on made-up files -------------------------------------------------------------------------------

HOUSE = Wing(
    "house", {"config": "", "cellar": "", "kitchen": "cellar", "hall": "kitchen cellar", "__init__": "hall"}, "config"
)
GARDEN = Wing("garden", {"host": "", "*": "shed host", "shed": "", "__init__": "* host"}, beyond=["house"])
FILES = {
    "house/__init__.py": "",
    "house/config.py": "SIZE = 3",
    "house/cellar/__init__.py": "from .wine import Wine, open_wine\n__all__ = ['Wine', 'open_wine']",
    "house/cellar/wine.py": "from ..config import SIZE\nclass Wine: pass\nif SIZE:\n    def open_wine(): pass",
    "house/cellar/shelf.py": "from .wine import Wine\nclass Shelf: pass",
    "house/kitchen/__init__.py": "from .pan import Pan\n__all__ = ['Pan']",
    "house/kitchen/pan.py": "from ..cellar import Wine\nimport os\nclass Pan: pass",
    "house/hall/__init__.py": "",
    "garden/__init__.py": "from . import host\nfrom .rose import Rose\nhost.dig",
    "garden/host/__init__.py": "from .spade import dig",
    "garden/host/spade.py": "import comfy\ndef dig(model): return model.patcher.model.model",
    "garden/shed.py": "TOOLS = ()",
    "garden/rose.py": "from ..house.cellar import Wine\nfrom .shed import TOOLS\nclass Rose: pass",
    "market/stall.py": "from house.cellar import Wine\nfrom house import cellar\ncellar.open_wine()",
}


@pytest.fixture
def check(tmp_path):
    """check({path: text}) -> violations of the made-up house with these files added or changed."""

    def run(files: dict[str, str]) -> list[str]:
        for name, text in {**FILES, **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return violations(tmp_path, [HOUSE, GARDEN], ["market"])

    return run


def test_a_house_in_order_passes(check):
    assert check({}) == []


@pytest.mark.parametrize(
    "file, text, reason",
    [
        # 1: only what the table allows
        ("house/cellar/bad.py", "from ..kitchen import Pan", "cellar may not import kitchen"),
        ("house/cellar/bad.py", "from house.kitchen import Pan", "cellar may not import kitchen"),
        ("house/cellar/bad.py", "def f():\n    from ..kitchen import Pan", "cellar may not import kitchen"),
        ("house/kitchen/bad.py", "from ...garden.shed import TOOLS", "house may not import garden"),
        ("house/config.py", "from .cellar import Wine", "config may not import cellar"),
        ("house/attic.py", "", "is in no room"),
        ("house/attic/stairs.py", "", "is in no room"),
        ("garden/tulip.py", "from .rose import Rose", "tulip may not import rose"),
        ("garden/host/bad.py", "from ..rose import Rose", "host may not import rose"),
        # 2: through the door, for what it lists
        ("house/kitchen/bad.py", "from ..cellar.wine import Wine", "enters house.cellar by its file wine"),
        ("house/kitchen/bad.py", "import house.cellar.wine", "enters house.cellar by its file wine"),
        ("house/kitchen/bad.py", "import house.cellar.wine as w", "enters house.cellar by its file wine"),
        ("house/kitchen/bad.py", "from ..cellar import wine", "enters house.cellar by its file wine"),
        ("house/kitchen/bad.py", "from ..cellar import Shelf", "takes Shelf, which house.cellar does not list"),
        (
            "house/kitchen/bad.py",
            "from .. import cellar\ncellar.Shelf()",
            "takes Shelf, which house.cellar does not list",
        ),
        ("house/kitchen/bad.py", "import house.cellar as c\nc.cork", "takes cork, which house.cellar does not list"),
        (
            "house/kitchen/bad.py",
            "import house.cellar\nhouse.cellar.cork",
            "takes cork, which house.cellar does not list",
        ),
        ("garden/rose.py", "from .host import water", "takes water, which garden.host does not list"),
        ("garden/rose.py", "from . import host\nhost.water()", "takes water, which garden.host does not list"),
        ("garden/rose.py", "from .host.spade import dig", "enters garden.host by its file spade"),
        ("garden/rose.py", "from ..house.cellar.wine import Wine", "enters house.cellar by its file wine"),
        ("market/bad.py", "from house.cellar.wine import Wine", "enters house.cellar by its file wine"),
        # 3: from where it is defined
        (
            "house/kitchen/__init__.py",
            "from ..cellar import Wine\n__all__ = ['Wine']",
            "lists Wine, which house.cellar",
        ),
        ("house/kitchen/__init__.py", "__all__ = ['Pot']", "lists Pot, which it does not have"),
        (
            "house/cellar/bad.py",
            "from .shelf import Wine",
            "imports Wine from house.cellar.shelf, which does not define",
        ),
        ("house/cellar/bad.py", "from . import Wine", "imports Wine from house.cellar, which does not define"),
        ("house/kitchen/bad.py", "from .. import Wine", "imports Wine from house, not from the room"),
        ("market/bad.py", "import house as h\nh.Wine()", "imports Wine from house, not from the room"),
        ("house/cellar/__init__.py", "from .shelf import Wine, open_wine\n__all__ = ['Wine']", "does not define it"),
    ],
)
def test_a_wrong_import_is_found(check, file, text, reason):
    found = check({file: text})
    assert any(line.startswith(f"{file}:") and reason in line for line in found), found


@pytest.mark.parametrize(
    "text, name",
    [
        ("vae.first_stage_model.decoder", ".first_stage_model"),
        ("model.model.dtype", None),
        ("request.model.model.dtype", ".model.model"),
        ("clip.patcher", ".patcher"),
        ("decoder(x, feat_cache=[])", "feat_cache="),
        ("getattr(vae, 'patcher', None)", "getattr patcher"),
        ("# clip.patcher\n'model.model.x and first_stage_model'", None),
    ],
)
def test_a_reach_into_comfyui_is_found_outside_the_host_room(tmp_path, text, name):
    for file in ("host/inner.py", "node.py"):
        (tmp_path / "garden" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "garden" / file).write_text(text)
    found = comfyui_internals(tmp_path, ["garden"], "garden/host")
    assert found == ([] if name is None else [f"garden/node.py:1 {name}"])
