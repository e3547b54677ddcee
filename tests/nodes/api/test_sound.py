"""POST /memflow/sound: the wave of a file in ComfyUI's folders, and of no other."""

from __future__ import annotations

import json

import pytest

from tests.core.video.test_peaks import tone, write_wav


@pytest.fixture
def ask(pack, tmp_path, monkeypatch):
    import folder_paths

    for kind in ("input", "output"):
        (tmp_path / kind).mkdir()
        monkeypatch.setattr(folder_paths, f"{kind}_directory", str(tmp_path / kind))
    return lambda body: pack.nodes.api.sound.answer(body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_file_of_each_folder_is_found(ask, tmp_path):
    (tmp_path / "input" / "sub").mkdir()
    write_wav(tmp_path / "input" / "sub" / "a b.wav", tone(1))
    write_wav(tmp_path / "output" / "c.wav", tone(2, loudness=1.0))
    status, answer = ask({"file": "sub/a b.wav"})
    assert status == 200 and answer["seconds"] == 1 and answer["step_s"] == 0.02 and len(answer["peaks"]) == 50
    assert max(answer["peaks"]) == pytest.approx(128, abs=2)
    status, answer = ask({"file": "c.wav [output]"})
    assert status == 200 and answer["seconds"] == 2 and max(answer["peaks"]) == 255


def test_a_file_without_a_sound_is_an_answer(ask, tmp_path):
    (tmp_path / "input" / "song.mp3").write_bytes(b"no song")
    status, answer = ask({"file": "song.mp3"})
    assert status == 200 and answer == {"error": "song.mp3 is no sound that can be read: choose another file."}


@pytest.mark.parametrize(
    "name", ["", "none.wav", "../secret.wav", "/etc/passwd", "a\0b", "\ud800", "n" * 5000, ".", "sub"]
)
def test_what_is_no_file_there_is_not_found(ask, tmp_path, name):
    (tmp_path / "input" / "sub").mkdir()
    write_wav(tmp_path / "secret.wav", tone(1))
    status, answer = ask({"file": name})
    assert status == 404 and "no file called" in answer["error"] and str(tmp_path) not in answer["error"]


@pytest.mark.parametrize("body", [b"", b"[]", {}, {"file": 5}, {"file": None}, {"file": "a", "more": 1}])
def test_another_body_is_refused(ask, body):
    assert ask(body)[0] == 400
