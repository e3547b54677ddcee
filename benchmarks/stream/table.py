"""What `benchmarks.stream` measured, as markdown: `python -m benchmarks.stream.table RESULT.json`.

The table names its conditions, so that it can stand in a README by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def table(result: dict) -> str:
    """Conditions in one line, a row for each variant, and what is said of the run as a whole."""
    lines = [conditions_line(result), ""]
    lines += ["| | ms a chunk (quartiles) | frames/s | TFLOP a chunk | GB moved | share of the roofline |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    lines += [_row(name, told) for name, told in result["variants"].items()]
    lines += ["", *_remarks(result)]
    return "\n".join(lines)


def conditions_line(result: dict) -> str:
    on, size, peaks = result["conditions"], result["size"], result["peaks"]
    return (
        f"{on['device']}, {on['threads']} CPU thread{'s' if on['threads'] > 1 else ''}, torch {on['torch']}, "
        f"{on['dtype'].removeprefix('torch.')}, {on['attention']}, {on['clock']}; dim {size['dim']}, {size['heads']} "
        f"heads, {size['layers']} layers, {size['tokens_a_latent_frame']} tokens a latent frame, "
        f"{size['latent_frames']} latent frames, {size['prompts']} prompts; measured peaks "
        f"{peaks['flops_per_second'] / 1e12:.3g} TFLOP/s, {peaks['bytes_per_second'] / 1e9:.3g} GB/s"
    )


def _row(name: str, told: dict) -> str:
    taken, counted = told["chunk_ms"], f"{told['flops'] / 1e12:.3g} | {told['bytes'] / 1e9:.3g}"
    quartiles = f"{taken['q1']:.4g} to {taken['q3']:.4g}"
    roofline = f"{told['share_of_roofline']:.0%}" if "share_of_roofline" in told else ""
    return (
        f"| {name} | {taken['median']:.4g} ({quartiles}) | {told['frames_per_second']:.3g} | {counted} | {roofline} |"
    )


def _remarks(result: dict) -> list[str]:
    said = []
    if "ratio_to_baseline" in result:
        ratio, spread = result["ratio_to_baseline"], result["ratio_spread"]
        quartiles = f"{spread['q1']:.3f} to {spread['q3']:.3f}"
        said.append(f"Time over that of the plain program, same memory, same numbers: {ratio:.3f} ({quartiles}).")
    if "share_in_products_and_attention" in result:
        share = result["share_in_products_and_attention"]
        said.append(f"Inside matrix products and attention: {share:.1%} of the time.")
    said += [_course(told) for told in result["variants"].values() if "cold_start_s" in told]
    if "on_disk" in result:
        said.append(_on_disk(result["on_disk"]))
    return said


def _on_disk(told: dict | None) -> str:
    if told is None:
        return "Decoding and encoding were not measured: there is no ComfyUI (`make setup` fetches one)."
    stages = ", ".join(f"{name} {taken:.4g}" for name, taken in told["stage_ms"].items())
    return (
        f"In ComfyUI, wall milliseconds a chunk, one stage after another: {stages}. From the first pass to decoded "
        f"frames on disk: {told['frames']} frames in {told['wall_s']:.4g} s, {told['frames_per_second']:.3g} frames/s."
    )


def _course(told: dict) -> str:
    """How a run went from nothing to its end."""
    switch = "" if told["switch_ms"] is None else f" a prompt switch takes {told['switch_ms']:.4g} ms more;"
    return (
        f"{told['video_s']:.1f} s of video; text {told['text_ms_a_prompt']:.3g} ms a prompt;{switch} first chunk after "
        f"{told['cold_start_s']:.3g} s; late over early chunks {told['late_over_early']:.3f}; peak memory "
        f"{told['peak_bytes'] / 2**30:.2f} GB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a result of benchmarks.stream as markdown.")
    parser.add_argument("result", type=Path, help="a file that benchmarks.stream --json wrote")
    print(table(json.loads(parser.parse_args().result.read_text())))


if __name__ == "__main__":
    main()
