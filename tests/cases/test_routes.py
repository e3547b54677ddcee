"""Bodies that no page would send, to every route: refused in one sentence, and the server lives on."""

from __future__ import annotations

import gzip
import http.client
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.comfyui.test_live import LONG, Directed, graph

JSON = {"Content-Type": "application/json"}
PLAN = {"schedule": "0s: a\n4s [cut]: b", "length": 153, "fps": 16, "width": 832, "height": 480, "steps": "1000, 500"}
CUSTOM = {"preset": "Custom", "retrieval": "prompt", "bank_size": 3, "record_interval": 3, "top_k": 0, "sink_size": 3}
CUSTOM |= {"window_size": 9, "positions": "auto", "global_sink": True}
FULL_PLAN = PLAN | {"global_prompt": "red", "memory": CUSTOM, "model": "tiny", "weights": "model", "streamed": True}
MODELLED = PLAN | {
    "model_name": "framewise-2step.pt",
    "lora_name": "a.pt",
    "profile": "Self-Forcing",
    "chunk_frames": 8,
}
MODELLED |= {"first_steps": "1000, 500", "shift": 3.0}
LISTED = PLAN | {"schedule": [{"start_s": 0, "prompt": "a"}, {"start_s": 4, "prompt": "b", "switch": "blend"}]}
# valid bodies, whose parts are then replaced one by one
VALID = {
    "plan": ("/memflow/plan", FULL_PLAN),
    "plan of a list": ("/memflow/plan", LISTED),
    "plan of a profile": ("/memflow/plan", MODELLED),
    "schedule": ("/memflow/schedule", {"text": "0s: a\n4s [cut]: b"}),
    "live prompt": ("live", {"prompt": "a cat", "switch": "cut", "at": "12s"}),
    "live action": ("live", {"action": "pause"}),
}
DEEP = 50_000
# what is no JSON, or not what its headers say
RAW = {
    "nothing": b"",
    "blanks": b" \n\t ",
    "half an object": b'{"text": ',
    "a word": b"hello",
    "a form": b"text=0s%3A+a&length=81",
    "python": b"{'text': '0s: a'}",
    "python's words": b'{"text": None}',
    "a comment": b'{"text": "a" /* first */}',
    "a trailing comma": b'{"text": "a",}',
    "two values": b'{"text": "a"} {"text": "b"}',
    "xml": b"<?xml version='1.0'?><text>a</text>",
    "no utf-8": b'{"text": "\xff\xfe"}',
    "half a sequence": b'{"text": "\xc3"}',
    "a zero byte": b'{"text": "a\x00b"}',
    "zeros": b"\x00" * 4096,
    "utf-16 of no JSON": "text: a".encode("utf-16"),
    "lists without end": b"[" * DEEP,
    "objects without end": b'{"a":' * DEEP,
    "closed lists": b"[" * DEEP + b"]" * DEEP,
    "a long number": b'{"text": ' + b"9" * 10_000 + b"}",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
}
# JSON, and not of the form that a route takes
FORMS = {
    "null": b"null",
    "true": b"true",
    "a number": b"5",
    "not a number": b"NaN",
    "endless": b"-Infinity",
    "a huge exponent": b"1e999",
    "a text": b'"0s: a"',
    "a list": b'[{"text": "a"}]',
    "an empty object": b"{}",
    "an unknown key": b'{"unknown": 1}',
    "a key without a name": b'{"": ""}',
    "half a character": b'{"\\ud800": 1}',
    "a key that is a path": b'{"../../etc/passwd": "a"}',
    "a key of python's": b'{"__class__": {"__init__": 1}}',
    "with a byte order mark": b"\xef\xbb\xbf[]",
    "in utf-16": "[]".encode("utf-16"),
    "in utf-32": "{}".encode("utf-32"),
    "many keys": json.dumps({str(n): n for n in range(3000)}).encode(),
}
TWICE = {
    "/memflow/schedule": b'{"text": "0s: a", "text": "0s: b"}',
    "/memflow/plan": json.dumps(PLAN).encode()[:-1] + b', "length": 9}',
    "live": b'{"action": "pause", "action": "finish"}',
}
WRONG = [
    None,
    True,
    -1,
    0,
    3.5,
    10**30,
    -(10**400),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 20_000,
    "\x00",
    "\ud800",
]
WRONG += ["../../etc/passwd", "%s%n{0}", [], {}, [[]] * 50, {"a": {"b": []}}, "1" * 5000, "٣٣", "0s: a\n" * 3000]
# what only a program would say, or only this machine
INSIDE = re.compile(r"Traceback|\b[A-Z]\w*(?:Error|Exception)\b|\.py\b|/tmp/|site-packages|<class|object at 0x")
LIVE_MOST = 64 * 1024
# as many characters as the node takes, as JSON escapes them
SCHEDULE_MOST = 12 * 1_000_000 + 1024


def ask(comfy, path: str, body: bytes, headers: dict[str, str] = JSON, method: str = "POST") -> tuple[int, dict]:
    """Status and JSON of the answer to bytes as they are."""
    link = http.client.HTTPConnection("127.0.0.1", comfy.port, timeout=120)
    try:
        link.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
        answer = link.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}
    finally:
        link.close()


def assert_refused(status: int, said: dict, *, statuses=range(400, 500)) -> None:
    """The answer is one sentence with nothing of the inside in it."""
    # a plan's errors bring the chunk size along, which the timeline goes by
    assert status in statuses and said.keys() - {"chunk_frames"} == {"error"}, (status, said)
    sentence = said["error"]
    assert sentence.strip() and "\n" not in sentence and len(sentence) < 700, said
    assert not INSIDE.search(sentence), sentence


def assert_alive(comfy) -> None:
    assert ask(comfy, "/memflow/presets", b"", {}, "GET")[1]["presets"]
    assert ask(comfy, "/memflow/plan", json.dumps(PLAN).encode())[1]["plan"]["chunks"] == 13


@pytest.fixture(scope="module")
def live(comfy):
    """Call it with what to do while a story is held: it gets the path of the story's live route."""

    def hold(work, seed: int) -> Directed:
        def step(run: Directed) -> None:
            work(run)
            run.ask({"action": "finish"})

        return Directed(comfy, graph(seed, length=LONG), step)

    return hold


@pytest.mark.parametrize("path", ["/memflow/plan", "/memflow/schedule"])
@pytest.mark.parametrize("name", [*RAW, *FORMS])
def test_a_body_of_another_form_is_refused(comfy, path, name):
    assert_refused(*ask(comfy, path, (RAW | FORMS)[name]), statuses=[400])


def test_a_body_of_another_form_is_refused_by_a_story_and_changes_nothing(comfy, live):
    answers = {}

    def attack(run: Directed) -> None:
        for name, body in (RAW | FORMS).items():
            answers[name] = ask(comfy, run.path, body)
        answers["twice"] = ask(comfy, run.path, TWICE["live"])
        assert run.state["prompts"] == [] and not run.state["finishing"]

    live(attack, 7201)
    for answer in answers.values():
        assert_refused(*answer, statuses=[400, 413])
    assert len(answers) == len(RAW) + len(FORMS) + 1


@pytest.mark.parametrize("path", ["/memflow/plan", "/memflow/schedule"])
def test_a_key_that_stands_twice_is_refused(comfy, path):
    status, said = ask(comfy, path, TWICE[path])
    assert_refused(status, said, statuses=[400])
    assert "twice" in said["error"]


@pytest.mark.parametrize("name", [name for name in VALID if not name.startswith("live")])
def test_every_part_may_be_anything(comfy, name):
    path, body = VALID[name]
    assert ask(comfy, path, json.dumps(body).encode())[0] == 200
    for changed in replaced(body):
        status, said = ask(comfy, path, json.dumps(changed).encode())
        if status != 200 or "error" in said:
            assert_refused(status, said, statuses=[200, 400, 413])
    assert_alive(comfy)


def test_every_part_of_a_change_may_be_anything(comfy, live):
    asked = []

    def attack(run: Directed) -> None:
        for name in ("live prompt", "live action"):
            for changed in replaced(VALID[name][1]):
                if changed.get("action") == "finish":
                    continue
                asked.append((changed, *ask(comfy, run.path, json.dumps(changed).encode())))

    live(attack, 7202)
    for changed, status, said in asked:
        if status != 200:
            assert_refused(status, said, statuses=[400, 409, 413])
        else:
            assert said["state"], changed
    assert len(asked) == sum(len(list(replaced(VALID[name][1]))) for name in ("live prompt", "live action"))


def replaced(body: dict):
    """The body with each of its parts, also those in lists and objects, replaced by each wrong value, or left out."""

    def places(value, place=()):
        if place:
            yield place
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, part in inner:
            yield from places(part, (*place, key))

    for place in places(body):
        for value in [*WRONG, KeyError]:
            made = json.loads(json.dumps(body))
            owner = made
            for key in place[:-1]:
                owner = owner[key]
            if value is KeyError:
                del owner[place[-1]]
            else:
                owner[place[-1]] = value
            yield made


TYPES = {
    "none": None,
    "text": "text/plain",
    "a form": "application/x-www-form-urlencoded",
    "a form in parts": "multipart/form-data; boundary=x",
    "html": "text/html",
    "nothing": "",
    "nonsense": "json",
    "two": "text/plain, application/json",
    "a kind of javascript": "application/javascript",
    "hidden behind": "text/plain; application/json",
}


def test_only_JSON_changes_a_story(comfy, live):
    """A page of another site can send a form or plain text without being asked."""
    body = json.dumps({"action": "finish"}).encode()
    answers, taken = {}, []

    def attack(run: Directed) -> None:
        for name, kind in TYPES.items():
            answers[name] = ask(comfy, run.path, body, {} if kind is None else {"Content-Type": kind})
        assert not run.state["finishing"]
        for kind in ("application/json", "Application/JSON; charset=utf-8", "application/problem+json"):
            taken.append(ask(comfy, run.path, b'{"action": "pause"}', {"Content-Type": kind})[0])

    live(attack, 7203)
    for status, said in answers.values():
        assert_refused(status, said, statuses=[415])
        assert "application/json" in said["error"]
    assert taken == [200] * 3


@pytest.mark.parametrize(
    ("path", "most"),
    [("/memflow/plan", SCHEDULE_MOST), ("/memflow/schedule", SCHEDULE_MOST), ("/memflow/live/x/1", LIVE_MOST)],
)
def test_a_body_has_a_bound_however_it_comes(comfy, path, most):
    bomb = gzip.compress(b" " * 200_000_000, 9)
    # as it is, in parts without a length, and packed
    for body, headers in (
        (b"x" * (most + 1), JSON),
        ((b"y" * 4096 for _ in range(most // 4096 + 2)), JSON | {"Transfer-Encoding": "chunked"}),
        (bomb, JSON | {"Content-Encoding": "gzip"}),
    ):
        try:
            answer = ask(comfy, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            continue  # the server hung up before all of it was sent
        # of what is packed, aiohttp itself refuses more than it holds at once
        if headers.get("Content-Encoding") and not answer[1]:
            assert answer[0] in (400, 413)
        else:
            assert_refused(*answer, statuses=[400, 413])
    assert_alive(comfy)


@pytest.mark.parametrize("path", ["/memflow/plan", "/memflow/schedule", "/memflow/live/x/1"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_packed_as_it_says_is_refused(comfy, path, encoding):
    status, said = ask(comfy, path, b'{"text": "0s: a"}', JSON | {"Content-Encoding": encoding})
    assert 400 <= status < 500 and not INSIDE.search(said.get("error", "")), (status, said)
    assert_alive(comfy)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "GET"])
@pytest.mark.parametrize("path", ["/memflow/plan", "/memflow/schedule"])
def test_other_methods_are_refused(comfy, path, method):
    assert 400 <= ask(comfy, path, b"{}", JSON, method)[0] < 500


@pytest.mark.parametrize(
    "where", ["none/1", "%00/%00", "..%2f..%2fetc/passwd", "%F0%9F%A6%8A/%C3%A9", "x" * 3000 + "/1"]
)
def test_a_story_that_is_not_there_is_not_found(comfy, where):
    for body, method in ((b"", "GET"), (b'{"action": "finish"}', "POST")):
        assert_refused(*ask(comfy, f"/memflow/live/{where}", body, JSON, method), statuses=[404])


def test_many_plans_at_once_leave_the_server_to_others(comfy):
    """Each is answered or put off, and ComfyUI's own routes answer meanwhile."""
    body = json.dumps(
        PLAN | {"schedule": "\n".join(f"{n}c: a robot" for n in range(1000)), "length": 1_000_000}
    ).encode()
    with ThreadPoolExecutor(100) as pool:
        plans = [pool.submit(ask, comfy, "/memflow/plan", body) for _ in range(100)]
        stats = [pool.submit(ask, comfy, "/system_stats", b"", {}, "GET") for _ in range(5)]
        assert {job.result()[0] for job in stats} == {200}
        answers = [job.result() for job in plans]
    assert {status for status, _ in answers} <= {200, 429} and answers[0][0] == 200
    for status, said in answers:
        if status == 429:
            assert_refused(status, said)
    assert_alive(comfy)
