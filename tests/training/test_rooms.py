"""Rooms of training and benchmarks import one another only through their doors, and only as the tables allow."""

from __future__ import annotations

from pathlib import Path

from tests.core.doors import Wing, violations

ROOT = Path(__file__).resolve().parents[2]
TRAINING = Wing(
    "training",
    {
        "precision": "",
        "muon": "precision",
        "trainer": "",
        "cartoons": "",
        "vae": "cartoons trainer muon precision",
        "generator": "vae cartoons trainer muon precision",
        "control": "generator vae cartoons trainer muon precision",
        "train_vae": "vae trainer",
        "train_generator": "generator vae trainer",
        "train_control": "control generator train_generator vae cartoons trainer",
    },
)
# * is a command
BENCHMARKS = Wing(
    "benchmarks",
    {
        "machine": "",
        "sizes": "",
        "in_comfyui": "sizes",
        "recall": "machine",
        "stream": "in_comfyui machine sizes",
        "parallel": "stream sizes",
        "gpu_run": "stream in_comfyui machine sizes",
        "story_protocol": "recall in_comfyui machine",
        "*": "recall in_comfyui machine sizes",
    },
    beyond=["training"],
)
OUTSIDERS = ["tests/training", "tests/benchmarks", "tests/docs"]


def test_every_import_goes_through_a_door_that_is_open():
    found = violations(ROOT, [TRAINING, BENCHMARKS], OUTSIDERS)
    assert not found, "\n".join(found)
