"""Read help pages and tooltips for what can be checked: tables, defaults, limits and quoted messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
# heads of the tables, by language: inputs, outputs, messages
HEADS = {
    "en": (("input", "default", "meaning"), ("output", "meaning"), ("message", "remedy")),
    "zh": (("输入", "默认值", "含义"), ("输出", "含义"), ("报错信息", "解决办法")),
}
# head of the table of a combo's choices, where they bring inputs of their own
CHOICES = {"en": ("preset", "meaning", "values"), "zh": ("预设", "含义", "取值")}
WORDS = {
    "en": {"optional": "optional", "on": "on", "off": "off", "empty": "empty", "example": "an example"},
    "zh": {"optional": "可选", "on": "开启", "off": "关闭", "empty": "空", "example": "示例"},
}
LIMITS = {"en": r"from (-?[\d.]+) to (-?[\d.]+)", "zh": r"范围 ?(-?[\d.]+) ?到 ?(-?[\d.]+)"}
MULTIPLE = {"en": r"a multiple of (\d+)", "zh": r"必须是 ?(\d+) ?的倍数"}
DEFAULT = {"en": " (default)", "zh": "（默认）"}
OF_A_LATENT_FRAME = {"en": (r"latent frame", r"4 video frames"), "zh": (r"潜空间帧", r"4 ?个视频帧")}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def page_of(node: str, language: str) -> Path:
    return DOCS / f"{node}.md" if language == "en" else DOCS / node / f"{language}.md"


def table(text: str, head: tuple[str, ...]) -> list[list[str]]:
    """Return the rows of the first table with this head."""
    rows, inside = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells == list(head):
            inside = True
        elif inside and cells is None:
            return rows
        elif inside and set("".join(cells)) - set("- "):
            rows.append(cells)
    return rows


def default_text(pin: dict[str, Any], language: str) -> str:
    """Return the cell that a page must have in an input's row: its default, or that it is optional."""
    words, default = WORDS[language], pin.get("default")
    if default is None:
        choices = pin.get("options")
        return choices[0] if isinstance(choices, list) else words["optional"] if pin.get("optional") else ""
    if isinstance(default, bool):
        return words["on" if default else "off"]
    if isinstance(default, str):
        return words["example"] if "\n" in default else default or words["empty"]
    return f"{default:g}"


def wrong_limits(text: str, pin: dict[str, Any], language: str) -> list[str]:
    """Return the limits in a text that differ from an input's schema."""
    found = []
    for low, high in re.findall(LIMITS[language], text):
        if (float(low), float(high)) != (pin.get("min"), pin.get("max")):
            found.append(f"{low} to {high}, but it is {pin.get('min')} to {pin.get('max')}")
    for step in re.findall(MULTIPLE[language], text):
        if float(step) != pin.get("step") or pin["min"] % pin["step"]:
            found.append(f"multiple of {step}, but its step is {pin.get('step')}")
    return found


def marks_default(tooltip: str, pin: dict[str, Any], language: str) -> bool:
    """Return whether a tooltip marks the right default, and no other value."""
    default = default_text(pin, language)
    if pin["type"] == "COMBO" and default == "default":
        return tooltip.count("default: ") + tooltip.count("default：") == 1
    mark = DEFAULT[language]
    if tooltip.count(mark) != 1:
        return False
    before = tooltip[: tooltip.index(mark)].rstrip()
    if pin["type"] in ("INT", "FLOAT"):
        return NUMBER.findall(before)[-1:] == [default] and before.endswith(default)
    return before.lower().endswith(default.lower())


def messages() -> list[str]:
    """Return every text in the pack's code, with … for what is filled in."""
    files = [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "memflow_core").rglob("*.py")]
    return [text for file in files for text in _texts(ast.parse(file.read_text()))]


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_quoted_from(quote: str, texts: list[str]) -> bool:
    """Return whether a quotation, in which … stands for what is left out, is from one of these texts."""
    pattern = re.compile(".*".join(re.escape(part.strip()) for part in quote.split("…")), re.DOTALL)
    return any(pattern.search(text) for text in texts)
