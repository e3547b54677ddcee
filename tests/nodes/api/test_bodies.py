"""Bodies are parsed in one place, and exceptions become answers in one manner."""

from __future__ import annotations

import pytest


@pytest.fixture
def bodies(pack):
    return pack.nodes.api.bodies


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused_with_the_routes_sentence(bodies, body):
    with pytest.raises(bodies.BadBody, match=r"^the body is no JSON\.$"):
        bodies.read_json(body)
    with pytest.raises(bodies.BadBody, match=r"^write an object\.$"):
        bodies.read_object(body, "write an object.")


@pytest.mark.parametrize("body", [b"null", b"[]", b"5", b'"text"'])
def test_json_that_is_no_object_is_refused_where_one_is_needed(bodies, body):
    bodies.read_json(body)
    with pytest.raises(bodies.BadBody, match="write an object"):
        bodies.read_object(body, "write an object.")


def test_the_first_class_that_fits_gives_the_status(bodies):
    statuses = {LookupError: 404, ValueError: 200}

    def answer(error: Exception) -> tuple[int, dict]:
        def work() -> dict:
            raise error

        return bodies.answer_with(work, statuses)

    assert bodies.answer_with(lambda: {"a": 1}, statuses) == (200, {"a": 1})
    assert answer(LookupError("there is none.")) == (404, {"error": "there is none."})
    assert answer(ValueError("not so.")) == (200, {"error": "not so."})
    # a ValueError too, and yet not what was asked
    assert answer(bodies.BadBody("no form.")) == (400, {"error": "no form."})
    with pytest.raises(RuntimeError):
        answer(RuntimeError("a mistake in the code"))
