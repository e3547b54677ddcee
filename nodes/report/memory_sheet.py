"""Draw a sheet of what a memory bank did: one row for each stretch of a story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from ...memflow_core.memory import KINDS
from ...memflow_core.play import RememberedFrame
from .memory_report import Row

MOST_ROWS = 120
# sizes in pixels
WIDTH = 1280
MARGIN = 20
TEXT_WIDTH = 300
BAR_WIDTH = 200
HEADER = 56
CELL = (112, 100)  # of a frame: its picture and two lines
PICTURE = (100, 62)
LINE = 18
BACKGROUND = "#16181d"
PAPER = "#20232b"
INK = "#e8e9ee"
FAINT = "#8b90a0"
PIN = "#f2b84b"
DROPPED = "#e0625c"
RECALLED = "#57b894"
COLOURS = {"sink": "#5b8def", "bank": "#f2b84b", "window": "#4a5063"}
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def draw_sheet(rows: Sequence[Row], pictures: Mapping[int, Image.Image], title: str) -> Image.Image:
    """An RGB picture, WIDTH wide. A percentage on a frame: only that share of the layers holds it. `archive`: it came
    from there.

    rows      the first MOST_ROWS of them are drawn, and the number of the others is written below.
    pictures  by video frame; a frame without one shows its time alone.
    """
    shown, left_out = rows[:MOST_ROWS], max(0, len(rows) - MOST_ROWS)
    heights = [_row_height(row) for row in shown]
    sheet = Image.new("RGB", (WIDTH, HEADER + sum(heights) + MARGIN + (LINE * 2 if left_out else 0)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _draw_header(draw, title)
    y = HEADER
    for row, height in zip(shown, heights, strict=True):
        _draw_row(sheet, draw, row=row, pictures=pictures, y=y, height=height)
        y += height
    if left_out:
        draw.text((MARGIN, y + 6), f"and {left_out} more rows, which the JSON holds", FAINT, _font(14))
    return sheet


def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _columns() -> int:
    return (WIDTH - 2 * MARGIN - TEXT_WIDTH - BAR_WIDTH - MARGIN) // CELL[0]


def _row_height(row: Row) -> int:
    lines = max(1, -(-len(row.moments()) // _columns()))
    return lines * CELL[1] + 16


def _draw_header(draw: ImageDraw.ImageDraw, title: str) -> None:
    draw.text((MARGIN, 18), title, INK, _font(18))
    x = WIDTH - MARGIN - BAR_WIDTH
    draw.text((x, 8), "share of attention", FAINT, _font(12))
    for kind in KINDS:
        draw.rectangle((x, 30, x + 12, 42), COLOURS[kind])
        draw.text((x + 17, 28), kind, INK, _font(13))
        x += 66


def _draw_row(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    *,
    row: Row,
    pictures: Mapping[int, Image.Image],
    y: int,
    height: int,
) -> None:
    draw.rounded_rectangle((MARGIN / 2, y + 4, WIDTH - MARGIN / 2, y + height - 4), 8, PAPER)
    draw.text((MARGIN, y + 12), f"{row.start_s:.2f} - {row.end_s:.2f} s", INK, _font(16))
    most_lines = (height - 44) // LINE
    for number, line in enumerate(_wrap(row.prompt, _font(14), TEXT_WIDTH - MARGIN, most_lines)):
        draw.text((MARGIN, y + 36 + number * LINE), line, FAINT, _font(14))
    if not row.moments():
        draw.text((MARGIN + TEXT_WIDTH, y + 12), "nothing in the bank yet", FAINT, _font(14))
    for number, moment in enumerate(row.moments()):
        _draw_moment(
            sheet,
            draw,
            moment=moment,
            picture=pictures.get(moment.frame),
            x=MARGIN + TEXT_WIDTH + number % _columns() * CELL[0],
            y=y + 12 + number // _columns() * CELL[1],
            dropped=number >= len(row.bank),
            recalled=moment.frame in row.recalled,
        )
    if row.share is not None:
        _draw_share(draw, row.share, WIDTH - MARGIN - BAR_WIDTH, y + 14)


def _draw_moment(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    *,
    moment: RememberedFrame,
    picture: Image.Image | None,
    x: int,
    y: int,
    dropped: bool,
    recalled: bool,
) -> None:
    box = (x, y, x + PICTURE[0], y + PICTURE[1])
    draw.rectangle(box, "#2b2f3a")
    if picture is not None:
        small = picture.convert("RGB")
        small.thumbnail(PICTURE)
        if dropped:
            small = Image.blend(small, Image.new("RGB", small.size, PAPER), 0.6)
        sheet.paste(small, (x + (PICTURE[0] - small.width) // 2, y + (PICTURE[1] - small.height) // 2))
    if dropped:
        draw.line((box[0], box[3], box[2], box[1]), DROPPED, 3)
    elif moment.pinned:
        draw.rectangle(box, outline=PIN, width=3)
    elif recalled:
        draw.rectangle(box, outline=RECALLED, width=3)
    note = (moment.name or "pinned") if moment.pinned else "archive" if recalled and not dropped else ""
    colour = DROPPED if dropped else PIN if moment.pinned else RECALLED if recalled else INK
    draw.text((x, y + PICTURE[1] + 3), f"{moment.label}  {note}".rstrip(), colour, _font(12))
    if moment.score is not None:
        draw.text((x, y + PICTURE[1] + 18), f"score {moment.score:.3g}", FAINT, _font(12))
    if not dropped and moment.layers < 0.9995:
        _draw_layers(draw, moment.layers, x, y)


def _draw_layers(draw: ImageDraw.ImageDraw, layers: float, x: int, y: int) -> None:
    """Write the share of layers that hold a frame into the corner of its picture."""
    text = f"{layers:.0%}"
    draw.rectangle((x, y, x + _font(11).getlength(text) + 6, y + 15), BACKGROUND)
    draw.text((x + 3, y + 1), text, INK, _font(11))


def _draw_share(draw: ImageDraw.ImageDraw, share: Mapping[str, float], x: int, y: int) -> None:
    left = float(x)
    for kind in KINDS:
        right = left + BAR_WIDTH * min(max(share[kind], 0.0), 1.0)
        if right - left >= 1:
            draw.rectangle((left, y, right, y + 18), COLOURS[kind])
        left = right
    draw.text((x, y + 24), "  ".join(f"{kind} {share[kind]:.0%}" for kind in KINDS), FAINT, _font(12))


def _wrap(text: str, font: Font, width: int, most_lines: int) -> list[str]:
    """Break a text into lines that fit, the last one cut with dots. A word that is too long for a line is cut."""
    lines: list[str] = []
    # more could not be shown, and measuring it would take long
    for word in text[:2000].split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(_shortened(word, font, width))
    if len(lines) > most_lines:
        lines = lines[:most_lines]
        lines[-1] = lines[-1][:-2] + "..."
    return lines


def _shortened(word: str, font: Font, width: int) -> str:
    while font.getlength(word) > width:
        word = word[:-2]
    return word
