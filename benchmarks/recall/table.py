"""Print recall scores as tables, for a terminal and in Markdown."""

from __future__ import annotations

from .evaluate import FACTORS

_PARTS = (*FACTORS, "all")
_COLUMNS = (*_PARTS, "distance", "precision", "hit", "character", "scene", "action", "error", "motion")


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
