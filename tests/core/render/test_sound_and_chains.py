"""Parts of stories from chains of Prompt Segments, parts for sound, and sound under finished films."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from memflow_core.render import JobError, cut_job
from memflow_core.render.driver import Driver
from memflow_core.render.film import check_sound, join, lay_under
from memflow_core.render.jobs import Job
from memflow_core.render.journal import DONE, Journal
from memflow_core.render.parts import SOUND
from memflow_core.render.tree import Tree
from memflow_core.video import read_sound
from tests.core.render.fakes import FRAMES_A_PART, FakeExecutor, frames, work, write_film
from tests.core.render.test_driver import INFOS, job

ALL = INFOS | {
    "MemFlowPromptSegment": {},
    "CLIPTextEncode": {},
    "LoadAudio": {},
    "SaveAudio": {"output_node": True},
}


def chained(*starts: float, length: int = 105, **of_all) -> dict:
    """A graph whose prompts stand in a chain of segments."""
    graph = job("x", ["a"]).graph
    graph.pop("3")
    before = {}
    for number, start in enumerate(starts):
        graph[f"1{number}"] = {"class_type": "CLIPTextEncode", "inputs": {"text": f"scene {number}", "clip": ["2", 1]}}
        inputs = {"conditioning": [f"1{number}", 0], "start": start, "unit": "seconds", "switch": "recache"}
        graph[f"2{number}"] = {"class_type": "MemFlowPromptSegment", "inputs": inputs | before | of_all}
        before = {"schedule": [f"2{number}", 0]}
    graph["5"]["inputs"] |= {"schedule": before["schedule"], "length": length}
    return graph


def test_a_chain_is_cut_where_its_segments_start():
    cut = cut_job(chained(0, 1.5, 3), ALL)
    assert not cut.whole
    assert [part.chunks for part in cut.parts] == [(0, 3), (3, 5), (5, 9)]
    assert [part.prompt for part in cut.parts] == ["scene 0", "scene 1", "scene 2"]
    assert [part.graph["5"]["inputs"]["schedule"][0] for part in cut.parts] == ["20", "21", "22"]
    # each adds its own frames, and what comes later is not in its graph
    assert [part.graph["5"]["inputs"]["length"] for part in cut.parts] == [33, 24, 48]
    assert "22" not in cut.parts[1].graph and "12" not in cut.parts[1].graph and "10" in cut.parts[1].graph


def test_chains_that_begin_alike_share_their_beginning():
    jobs = [Job(name, name, chained(0, 1.5, end)) for name, end in (("a", 3), ("b", 4.5))]
    tree = Tree([(one, cut_job(one.graph, ALL)) for one in jobs])
    assert tree.shared == 1


@pytest.mark.parametrize(("unit", "starts"), [("frames", (0, 33, 57)), ("chunks", (0, 3, 5))])
def test_units_of_a_chain(unit, starts):
    assert [part.chunks for part in cut_job(chained(*starts, unit=unit), ALL).parts] == [(0, 3), (3, 5), (5, 9)]


def test_a_long_chain_is_cut_every_so_often():
    cut = cut_job(chained(0, length=4089), ALL, every_s=60)
    assert [part.chunks[0] for part in cut.parts] == [0, 80, 160, 240, 320] and cut.parts[-1].chunks[1] == 341


def test_a_chain_whose_positions_are_relative_is_made_in_one_piece():
    assert "absolute" in cut_job(chained(0, 3, length=4101), ALL).whole


def test_times_of_a_chain_are_those_of_its_rate():
    """A fresh prompt at 190 s is at another chunk for 24 fps, and so is the end of absolute positions."""
    for fps, whole in ((24.0, True), (16.0, False)):
        graph = chained(0, 190, length=6001, switch="fresh")
        graph["5"]["inputs"]["fps"] = fps
        assert bool(cut_job(graph, ALL).whole) == whole, fps


@pytest.mark.parametrize("end", ["50%", "50 percent", "half", ["2", 0], "1s", "", "24f"])
def test_controls_whose_times_need_the_length_are_made_in_one_piece(end):
    graph = job("x", ["a", "b"]).graph
    graph["7"] = {"class_type": "MemFlowControl", "inputs": {"start": "", "end": end}}
    graph["5"]["inputs"]["control"] = ["7", 0]
    assert ("share" in cut_job(graph, ALL | {"MemFlowControl": {}}).whole) == (end not in ("1s", "", "24f"))


def test_a_chain_whose_values_come_over_links_is_made_in_one_piece():
    assert cut_job(chained(0, ["2", 0]), ALL).whole


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (chained(0, length=0), "the story has no end"),
        (chained(0, 3, 1.5), "is no later than"),
        (chained(0, 1.5, unit="days"), "days"),
    ],
)
def test_a_chain_that_its_nodes_would_refuse_is_refused(graph, message):
    with pytest.raises(JobError, match=message):
        cut_job(graph, ALL)


def with_sound(name: str = "x", file: str = "a.wav") -> Job:
    made = job(name, ["a", "b"])
    made.graph["8"] = {"class_type": "LoadAudio", "inputs": {"audio": file}}
    made.graph["5"]["inputs"] |= {"audio": ["8", 0], "audio_start": "this video"}
    return made


def test_sound_is_a_part_of_its_own():
    cut = cut_job(with_sound().graph, ALL)
    assert len(cut.parts) == 2 and cut.sound is not None
    assert cut.sound.graph[SOUND]["inputs"]["audio"] == ["8", 0] and set(cut.sound.graph) == {"8", SOUND}
    for part in cut.parts:
        assert "8" not in part.graph and not {"audio", "audio_start"} & set(part.graph["5"]["inputs"])
    # a silent story has its pictures in common with it
    assert [part.key for part in cut.parts] == [part.key for part in cut_job(job("x", ["a", "b"]).graph, ALL).parts]


def test_sound_is_made_once_for_all_its_stories_and_first(tmp_path):
    jobs = [with_sound("one"), with_sound("two"), with_sound("three", "b.wav")]
    jobs[1].graph["5"]["inputs"]["seed"] = 2
    journal = Journal(tmp_path)
    journal.make()
    executor = SoundExecutor(journal)
    with Driver(journal, executor) as driver:
        driver.take([(one, cut_job(one.graph, ALL)) for one in jobs])
        work(driver)
        assert [record.problem for record in driver.records.values()] == ["", "", ""]
        assert all(record.state == DONE for record in driver.records.values())
        sounds = set(driver.tree.sounds.values())
    given = executor.given
    assert len(sounds) == 2 and all(given.count(key) == 1 for key in sounds)
    assert given[0] in sounds
    for record in journal.records():
        with av.open(tmp_path / record.files[0]) as file:
            assert len(file.streams.video) == len(file.streams.audio) == 1


class SoundExecutor(FakeExecutor):
    """Workers that write a tone for a part that makes sound."""

    def start(self, name, slot):
        link = super().start(name, slot)
        finish = link._finish

        def finish_sound():
            task = link.task
            if SOUND not in task["graph"]:
                return finish()
            tone(self.journal.parts / f"{task['key']}.wav", 0.4)
            (self.journal.parts / f"{task['key']}.json").write_text(f'{{"files": ["{task["key"]}.wav"], "seconds": 1}}')
            link.task = None
            return [{"event": "done", "key": task["key"], "seconds": 1.0}]

        link._finish = finish_sound
        return link


def tone(path: Path, seconds: float, channels: int = 1, rate: int = 44100) -> np.ndarray:
    """A file with a tone; its samples."""
    samples = np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 440 / rate) * 0.5
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.repeat(samples, channels) * 32767).astype("<i2").tobytes())
    return samples


def heard(path: Path) -> np.ndarray:
    with av.open(path) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("seconds", [0.2, 5.0])
def test_a_sound_is_laid_under_a_film(tmp_path, suffix, seconds):
    """Cut where the film ends, silent where it ends first; the pictures are as before."""
    parts = []
    for number in range(6):
        parts.append(tmp_path / f"{number}.mp4")
        write_film(parts[-1], str(number))
    silent, target = tmp_path / f"silent{suffix}", tmp_path / f"film{suffix}"
    count = join(parts, silent, fps=16, tags={})
    samples = tone(tmp_path / "tone.wav", seconds)
    lay_under(tmp_path / "tone.wav", silent, target, fps=16, tags={"prompt": "{}"})
    assert count == 6 * FRAMES_A_PART and frames(target) == frames(silent)
    sound = heard(target)
    length = min(seconds, count / 16)
    with av.open(target) as file:
        assert file.metadata.get("prompt", file.metadata.get("PROMPT")) == "{}"
        assert file.streams.video[0].average_rate == Fraction(16)
        assert abs(len(sound) / file.streams.audio[0].rate - count / 16) < 0.06
    # the tone is where it was, to a few samples of the encoder's
    there = slice(4410 // 4, round(length * 44100) - 2205)
    assert np.corrcoef(sound[there], samples[there])[0, 1] > 0.99
    assert np.abs(sound[round(length * 44100) + 2205 :]).max(initial=0) < 0.02


def test_a_sound_is_read_as_it_was_written(tmp_path):
    samples = tone(tmp_path / "tone.wav", 0.3, channels=2)
    sound = read_sound(tmp_path / "tone.wav")
    assert sound.rate == 44100 and sound.samples.shape == (2, len(samples))
    assert (sound.samples[1] - torch.from_numpy(samples)).abs().max() < 1e-4


def test_more_channels_than_a_film_has_are_refused(tmp_path):
    tone(tmp_path / "tone.wav", 0.1, channels=4)
    with pytest.raises(JobError, match="the audio has 4 channels, but must have 1 or 2"):
        check_sound(tmp_path / "tone.wav")
