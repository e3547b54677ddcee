"""Wait in a page for a condition, a minute at most: what a page is asked to run is waited for without end."""

from __future__ import annotations

UNTIL = """
    const until = async holds => {
        const end = performance.now() + 60_000;
        while (!holds()) {
            if (performance.now() > end) throw new Error(`a minute was not enough for ${holds}`);
            // a page that is not seen draws no frames
            await new Promise(done => { requestAnimationFrame(done); setTimeout(done, 1000); });
        }
    };
"""


def with_until(script: str) -> str:
    """A script that is an async function, which can then `await until(() => condition)`, asked anew at each frame."""
    head, start, rest = script.partition("=> {")
    return "".join([head, start, UNTIL, rest])
