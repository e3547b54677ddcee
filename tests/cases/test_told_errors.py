"""What users are told of errors: one sentence, without a class, a traceback or a place on the server's disk."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.comfyui.test_live import graph
from tools.comfy_server import RequestError

INSIDE = re.compile(
    r"Traceback|\b[A-Z]\w*(?:Error|Exception)\b|\.py\b|site-packages|<class|object at 0x|/(?:root|home|tmp|usr)/"
)


class Missing(RuntimeError):
    """An exception of another pack."""


# (exception, the sentence's words)
ERRORS = [
    (ValueError("length is 5, but must be at least 9."), "length is 5, but must be at least 9."),
    (ValueError("first line.\nsecond line"), "first line."),
    (FileNotFoundError("there is no state called a: choose another file."), "there is no state called a"),
    (ValueError(), "gives no reason"),
    (Missing(), "gives no reason"),
    (Missing("  \n "), "gives no reason"),
    (KeyError("frames"), "'frames'"),
    (IndexError("list index out of range"), "list index out of range"),
    (TypeError("execute() got an unexpected keyword argument 'mode'"), "unexpected keyword"),
    (Missing(f"cannot open {Path.home()}/.cache/models/wan/model.safetensors"), "cannot open model.safetensors"),
    (Missing("cannot open /mnt/my models/wan 2.1/model.safetensors now"), "model.safetensors"),
    (Missing(r"cannot open C:\Users\me\ComfyUI\models\wan.safetensors"), "cannot open wan.safetensors"),
    (Missing("RuntimeError: shapes do not fit"), "shapes do not fit"),
    (Missing("torch._dynamo.exc.BackendCompilerFailedError: no compiler"), "no compiler"),
    (Missing("x" * 100_000), "xxxx"),
    (OSError(errno.ENOSPC, "No space left on device", "/srv/comfy/output/a.mp4"), "a.mp4: the disk is full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
    (PermissionError(errno.EACCES, "Permission denied", "/srv/comfy/output"), "check the permissions"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/srv/a/b/story.mp4"), "story.mp4: there is no such"),
    (OSError(errno.ENAMETOOLONG, "File name too long", "/srv/" + "n" * 300), "too long"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "/srv/comfy/input"), "input: it is a folder"),
    (OSError(errno.EXDEV, "Invalid cross-device link", "/srv/a", None, "/srv/b"), "a: invalid cross-device link"),
    (OSError("story.mp4 could not be written past frame 21."), "past frame 21"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "invalid start byte"),
]


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=lambda value: None)
def test_an_exception_is_told_in_one_sentence(pack, error, words):
    told = pack.nodes.host.sentence(error)
    assert words in told and "\n" not in told and len(told) < 800 and told[-1] in ".?"
    assert not INSIDE.search(told), told


def test_a_place_in_comfyuis_folders_is_named_from_there(pack):
    import folder_paths

    output = Path(folder_paths.get_output_directory())
    told = pack.nodes.host.sentence(ValueError(f"{output / 'video' / 'a.mp4'} plays to the end, and {output} is full."))
    assert told == f"video/a.mp4 plays to the end, and {output.name} is full.".replace("/", str(Path("/")))
    # what a user wrote stays as it is
    written = "'../../etc/passwd' is no state's file: choose another."
    assert pack.nodes.host.sentence(ValueError(written)) == written


def test_a_node_raises_what_the_page_shows_without_a_path(pack):
    host = pack.nodes.host

    class Broken(pack.nodes.sampler.MemFlowSampler):
        @classmethod
        def execute(cls, error):
            raise error

    node = host.told(Broken)
    with pytest.raises(Exception) as raised:
        node.execute(error=KeyError("frames"))
    # as ComfyUI names an exception's class
    assert f"{raised.type.__module__}.{raised.type.__qualname__}" == "builtins.MemFlow"
    # the log still has it all
    assert isinstance(raised.value.__cause__, KeyError)


def test_a_cancel_and_a_lack_of_memory_are_left_to_comfyui(pack):
    import comfy.model_management as management

    class Broken(pack.nodes.sampler.MemFlowSampler):
        @classmethod
        def execute(cls, error):
            raise error

    node = pack.nodes.host.told(Broken)
    for error in (management.InterruptProcessingException(), management.OOM_EXCEPTION("out of memory"), MemoryError()):
        with pytest.raises(type(error)):
            node.execute(error=error)


def broken(**changes) -> dict:
    return graph(7301, **{"length": 33, **changes})


def with_schedule(**changes) -> dict:
    prompt = graph(7302, length=33)
    prompt["2"]["inputs"] |= changes
    return prompt


# prompts that ComfyUI lets through, and a node refuses
RUNS = {
    "a size off the grid": broken(width=40),
    "more audio tracks than fit": broken(filename_prefix="a/" * 40 + "b"),
    "a folder outside": broken(filename_prefix="../../../outside"),
    "an open end in percent": broken(length=0) | {"2": with_schedule(prompts="0s: a robot\n50%: a cat")["2"]},
    "an unknown word": with_schedule(prompts="0s: a zebra"),
    "no model": broken(model=["1", 1]),
    "no text encoder": broken(clip=["1", 2]),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_fails_says_so_in_one_sentence(comfy, name):
    try:
        run = comfy.run(RUNS[name])
    except RequestError as refused:
        said = str(refused)
    else:
        failed = [data for kind, data in run.history["status"]["messages"] if kind == "execution_error"]
        if not failed:
            return  # it ran: nothing to tell
        (data,) = failed
        said = data["exception_message"]
        assert data["exception_type"] == "MemFlow"
    assert said.strip() and "\n" not in said.strip()
    assert not INSIDE.search(said), said


WRONG = [
    None,
    5,
    2.5,
    True,
    "",
    "text",
    [],
    [1, 2],
    {},
    {"a": 1},
    10**400,
    -1,
    float("nan"),
    "\x00",
    "\ud800",
    "x" * 5000,
]


def test_inputs_of_any_type_are_refused_in_words(comfy):
    """Every input of the nodes of a story, over the API, where no widget checks what it holds."""
    tried = 0
    for node, name in [(node, name) for node, made in graph(7303).items() for name in made["inputs"]]:
        for value in WRONG:
            prompt = graph(7303, length=9)
            if isinstance(prompt[node]["inputs"][name], list) and isinstance(value, list):
                continue  # a link
            prompt[node]["inputs"][name] = value
            tried += 1
            for said in refusals(comfy, prompt):
                assert not INSIDE.search(said), (node, name, value, said)
    assert tried > 250
    assert comfy.get("/system_stats")


def refusals(comfy, prompt: dict) -> list[str]:
    """What is said of a prompt that is refused; nothing, and it is taken off the queue, where it is taken."""
    try:
        queued = comfy.post("/prompt", {"prompt": prompt})
    except RequestError as refused:
        if refused.status == 500:
            return []  # ComfyUI's own routes fall over such values before any node is asked
        errors = [error for node in refused.body.get("node_errors", {}).values() for error in node["errors"]]
        ours = [
            error for error in errors if error["type"] == "custom_validation_failed" or "exception" in error["type"]
        ]
        return [f"{error['message']} {error['details']}" for error in ours]
    comfy.post("/queue", {"delete": [queued["prompt_id"]]})
    comfy.interrupt(queued["prompt_id"])
    return []
