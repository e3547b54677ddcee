"""Print recall scores as tables, for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .evaluate import FACTORS
from .tales import share_error

# own bank, and the same with the twin's at the last return
SWAPPED = {"default": "default+swapped", "prompt": "swapped", "archive+words": "archive+words+swapped"}
_PARTS = (*FACTORS, "all")
_COLUMNS = (*_PARTS, "distance", "precision", "hit", "character", "scene", "action", "error", "motion")
_HEADS = ("memory", "whole", "present", "identity, given presence", *FACTORS, "mixed", "bank shows it", "own − swapped")


def table(title: str, scores: dict[str, dict]) -> str:
    """Return a table for a terminal, with a row for each policy and for what was measured beside it."""
    lines = [f"{title}, {next(iter(scores.values()))['stories']} stories" if scores else title]
    lines.append(f"{'':16}" + "".join(f"{column:>12}" for column in _COLUMNS))
    for name, score in _rows(scores):
        cells = [f"{value:.2f}+-{error:.2f}" for value, error in _recall(score)] + _others(score)
        lines.append(f"{name:16}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def markdown(scores: dict[str, dict]) -> str:
    """Return the same table in Markdown."""
    lines = ["| memory | " + " | ".join(_COLUMNS) + " |", "| --- |" + " --- |" * len(_COLUMNS)]
    for name, score in _rows(scores):
        cells = [f"{value:.3f} ± {error:.3f}" for value, error in _recall(score)] + _others(score)
        lines.append(f"| {name.strip()} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _rows(scores: dict[str, dict]) -> list[tuple[str, dict]]:
    rows = []
    for name, score in scores.items():
        rows.append((name, score))
        if "opening" in score:
            rows.append((f"{name} (opening)", score["opening"]))
        for beside in ("donor_recall", "chance"):
            if beside in score:
                rows.append((f"  {beside}", {"recall": score[beside], "recall_error": score[f"{beside}_error"]}))
    return rows


def _recall(score: dict) -> list[tuple[float, float]]:
    return [(score["recall"][part], score["recall_error"][part]) for part in _PARTS]


def _others(score: dict) -> list[str]:
    retrieval, follow = score.get("retrieval") or {}, score.get("follow") or {}
    values = [score.get("colour_distance"), retrieval.get("precision"), retrieval.get("hit")]
    values += [follow.get(part) for part in ("character", "scene", "action")]
    values += [score.get("picture_error"), score.get("motion")]
    return ["-" if value is None else f"{value:.3f}" for value in values]


def headline(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table of summaries by policy; those of swapped banks stand beside their own."""
    lines = ["| " + " | ".join(_HEADS) + " |", "| --- |" + " --- |" * (len(_HEADS) - 1)]
    for name, row in rows.items():
        if name not in SWAPPED.values():
            shares = [_with_error(row, part) for part in ("whole", "present", "all")]
            parts = [_two(row[part]) for part in (*FACTORS, "mixed")]
            cells = [name, *shares, *parts, _two(row.get("bank")), _difference(row, rows.get(SWAPPED.get(name, "")))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _difference(own: Mapping[str, Any], swapped: Mapping[str, Any] | None) -> str:
    if swapped is None:
        return "-"
    count = swapped["returns"]
    error = (share_error(own["last"], count) ** 2 + share_error(swapped["whole"], count) ** 2) ** 0.5
    return f"{own['last'] - swapped['whole']:.2f} ± {error:.2f}"


def _with_error(row: Mapping[str, Any], part: str) -> str:
    return "-" if row[part] is None else f"{row[part]:.2f} ± {row[f'{part}_error']:.2f}"


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
