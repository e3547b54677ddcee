"""The dashboard and the contact sheet: static pages beside the films, which need no server."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from .driver import Driver
from .journal import ASIDE, DONE, Record

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 24px auto; max-width: 1180px; padding: 0 16px;
  color: #222; background: #fff }
table { border-collapse: collapse; width: 100%; margin: 8px 0 24px }
td, th { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid #8884; vertical-align: top }
img { height: 54px; border-radius: 3px; margin-right: 3px }
progress { width: 130px } .aside { color: #b00020 } .dim { color: #777 }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 18px }
.sheet video { width: 100%; border-radius: 4px; background: #000 } figure { margin: 0 } summary { cursor: pointer }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #161616 } .aside { color: #ff8a80 } }
"""


def page(title: str, body: Iterable[str], refresh_s: int = 0) -> str:
    """A page with a title. refresh_s: seconds after which a browser loads it again; 0: never."""
    again = f'<meta http-equiv="refresh" content="{refresh_s}">' if refresh_s else ""
    head = f'<meta charset="utf-8">{again}<meta name="viewport" content="width=device-width">'
    text = html.escape(title)
    content = "\n".join(body)
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>{text}</title><style>{_STYLE}</style></head><body>\n'
        f"<h1>{text}</h1>\n{content}\n</body></html>\n"
    )


def dashboard(driver: Driver, running: bool = True) -> str:
    """The dashboard: workers, jobs, the first frame of each part, time left."""
    left = time_left_s(driver)
    records = list(driver.records.values())
    counts = f"{sum(r.state == DONE for r in records)} of {len(records)} done"
    aside = sum(record.state == ASIDE for record in records)
    said = [counts, *([f"{aside} set aside"] if aside else [])]
    said += [f"about {words_of(left)} left"] if running and left is not None else []
    body = [f"<p>{'; '.join(said)}. <a href='sheet.html'>Contact sheet</a></p>"]
    if running:
        body += ["<h2>Workers</h2>", *_workers(driver)]
    body += ["<h2>Jobs</h2>", *_jobs(driver)]
    if driver.lines:
        body += [
            "<h2>What happened</h2><ul>",
            *(f"<li>{html.escape(line)}</li>" for line in driver.lines[-30:]),
            "</ul>",
        ]
    return page("MemFlow render", body, refresh_s=3 if running else 0)


def _workers(driver: Driver) -> Iterable[str]:
    yield "<table><tr><th>worker</th><th>makes</th><th>chunk</th><th>parts made</th></tr>"
    for slot in sorted(driver.slots, key=lambda slot: slot.number):
        what, chunk = ("starts", "") if not slot.ready else ("waits", "")
        if slot.key is not None:
            what = ", ".join(driver.records[id].name for id in driver.tree.nodes[slot.key].jobs[:3])
            chunk = f"{slot.progress.get('chunk', '')}"
        yield _row(html.escape(slot.link.name), html.escape(what), chunk, str(slot.made))
    yield "</table>"


def _jobs(driver: Driver) -> Iterable[str]:
    yield "<table><tr><th>job</th><th>state</th><th>chunks</th><th>first frames</th></tr>"
    for id, record in driver.records.items():
        made, total = chunks_of(driver, id)
        pictures = "".join(_picture(driver, key) for key in record.parts)
        state = (
            f"<span class='aside'>set aside</span>: {html.escape(record.problem)}"
            if record.state == ASIDE
            else record.state
        )
        if record.state == ASIDE and record.log:
            state += f" <a href='{html.escape(record.log)}'>log</a>"
        name = html.escape(record.name)
        if record.files:
            name = f"<a href='{html.escape(record.files[0])}'>{name}</a>"
        bar = f"<progress value='{made}' max='{total}'></progress> {made} of {total}" if total else ""
        yield _row(name, state, bar, pictures)
    yield "</table>"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _picture(driver: Driver, key: str) -> str:
    if not driver.journal.picture_of(key).is_file():
        return ""
    prompt = html.escape(driver.tree.nodes[key].part.prompt, quote=True)
    return f'<img src=\'.render/parts/{key}.jpg\' title="{prompt}" alt="{prompt}">'


def contact_sheet(records: Sequence[Record]) -> str:
    """The contact sheet of all results in a folder."""
    body = ["<div class='sheet'>"]
    for record in records:
        name = html.escape(record.name)
        if record.state == DONE and record.files:
            poster = f" poster='.render/parts/{record.parts[0]}.jpg'" if record.parts else ""
            film = f"<video controls preload='none' loop{poster} src='{html.escape(record.files[0])}'></video>"
            others = "".join(
                f" <a href='{html.escape(f)}'>{html.escape(f.rpartition('/')[2])}</a>" for f in record.files[1:]
            )
            body.append(f"<figure>{film}<figcaption>{name}{others}{_notes(record)}</figcaption></figure>")
        elif record.state == ASIDE:
            body.append(
                f"<figure><figcaption class='aside'>{name}: {html.escape(record.problem)}</figcaption></figure>"
            )
    body.append("</div><p><a href='index.html'>All jobs</a></p>")
    return page("MemFlow contact sheet", body)


def _notes(record: Record) -> str:
    if not record.notes:
        return ""
    return f"<details><summary class='dim'>notes</summary>{html.escape('; '.join(record.notes))}</details>"


# -- numbers ----------------------------------------------------------------------------------------------------------


def chunks_of(driver: Driver, id: str) -> tuple[int, int]:
    """(made, all) chunks of a job; (0, 0) where it is run in one piece."""
    parts = [driver.tree.nodes[key].part for key in driver.tree.paths[id]]
    total = parts[-1].chunks[1]
    if driver.records[id].state == DONE:
        return total, total
    made = 0
    for part in parts:
        if driver.is_made(part.key):
            made = part.chunks[1]
            continue
        for slot in driver.slots:
            if slot.key == part.key:
                made = max(made, slot.progress.get("chunk", 0))
        break
    return min(made, total), total


def time_left_s(driver: Driver) -> float | None:
    """Seconds until all is made, by the speed so far; None while nothing is known."""
    recent = driver.rate[-20:]
    chunks, seconds = sum(chunks for chunks, _ in recent), sum(seconds for _, seconds in recent)
    if not chunks:
        return None
    waiting = {key for id in driver.live for key in driver.tree.paths[id] if not driver.is_made(key)}
    left = sum(last - first for first, last in (driver.tree.nodes[key].part.chunks for key in waiting))
    at_once = min(max(1, len(driver.live)), driver.executor.count)
    return left * seconds / chunks / at_once


def words_of(seconds: float) -> str:
    """Seconds in words: 40 s, 12 min, 3 h 5 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def table(records: Sequence[Record]) -> str:
    """The summary for a terminal: a line for each job."""
    rows = [("job", "state", "frames", "result")]
    for record in records:
        result = ", ".join(record.files) if record.state == DONE else record.problem
        rows.append((record.name, record.state, str(record.frames or ""), result))
    widths = [min(60, max(len(row[column]) for row in rows)) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "\n".join(lines)
