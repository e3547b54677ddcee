"""MemFlow Export Job writes the graph around it, without itself, as a file that the command reads."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from memflow_core.render import read_story


def test_a_job_file_holds_the_graph_and_the_page(pack, tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    node = pack.nodes.export_job.MemFlowExportJob
    graph = {
        "3": {"class_type": "MemFlowTinyStory", "inputs": {}},
        "9": {"class_type": "MemFlowExportJob", "inputs": {"filename_prefix": "jobs/story"}},
    }
    page = {"nodes": [{"id": 3, "type": "MemFlowTinyStory"}], "links": []}
    hidden = SimpleNamespace(prompt=graph, extra_pnginfo={"workflow": page}, unique_id="9")
    monkeypatch.setattr(node, "hidden", hidden, raising=False)
    files = [Path(node.execute("jobs/story").result[0]) for _ in range(2)]
    assert len(set(files)) == 2 and all(file.parent == tmp_path / "jobs" for file in files)
    written = json.loads(files[0].read_text())
    assert (written["format"], written["version"]) == ("memflow_job", 1)
    story = read_story(files[0])
    assert story.graph == {"3": graph["3"]} and story.workflow == page
