"""Print a result of `benchmarks.stream` as Markdown: `python -m benchmarks.stream.table RESULT.json`.

The table names its conditions, so that it can stand in a README by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def table(result: dict) -> str:
    """Return a result as Markdown: conditions in one line, a row for each variant, and remarks on the whole run."""
    lines = [conditions_line(result), ""]
    lines += ["| | ms a chunk (quartiles) | frames/s | TFLOP a chunk | GB moved | share of the roofline |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    lines += [_row(name, numbers) for name, numbers in result["variants"].items()]
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


def _row(name: str, numbers: dict) -> str:
    ms, counted = numbers["chunk_ms"], f"{numbers['flops'] / 1e12:.3g} | {numbers['bytes'] / 1e9:.3g}"
    quartiles = f"{ms['q1']:.4g} to {ms['q3']:.4g}"
    roofline = f"{numbers['share_of_roofline']:.0%}" if "share_of_roofline" in numbers else ""
    rate = f"{numbers['frames_per_second']:.3g}"
    return f"| {name} | {ms['median']:.4g} ({quartiles}) | {rate} | {counted} | {roofline} |"


def _remarks(result: dict) -> list[str]:
    remarks = []
    if "ratio_to_baseline" in result:
        ratio, spread = result["ratio_to_baseline"], result["ratio_spread"]
        quartiles = f"{spread['q1']:.3f} to {spread['q3']:.3f}"
        remarks.append(f"Time over that of the plain program, same memory, same numbers: {ratio:.3f} ({quartiles}).")
    if "share_in_products_and_attention" in result:
        share = result["share_in_products_and_attention"]
        remarks.append(f"Inside matrix products and attention: {share:.1%} of the time.")
    remarks += [_course(numbers) for numbers in result["variants"].values() if "cold_start_s" in numbers]
    if "on_disk" in result:
        remarks.append(_on_disk(result["on_disk"]))
    return remarks


def _on_disk(numbers: dict | None) -> str:
    if numbers is None:
        return "Decoding and encoding were not measured: there is no ComfyUI (`make setup` fetches one)."
    stages = ", ".join(f"{name} {taken:.4g}" for name, taken in numbers["stage_ms"].items())
    return (
        f"In ComfyUI, wall milliseconds a chunk, one stage after another: {stages}. From the first pass to decoded "
        f"frames on disk: {numbers['frames']} frames in {numbers['wall_s']:.4g} s, "
        f"{numbers['frames_per_second']:.3g} frames/s."
    )


def _course(numbers: dict) -> str:
    """Sum up a run from its start to its end."""
    switch = "" if numbers["switch_ms"] is None else f" a prompt switch takes {numbers['switch_ms']:.4g} ms more;"
    return (
        f"{numbers['video_s']:.1f} s of video; text {numbers['text_ms_a_prompt']:.3g} ms a prompt;{switch} first chunk "
        f"after {numbers['cold_start_s']:.3g} s; late over early chunks {numbers['late_over_early']:.3f}; peak memory "
        f"{numbers['peak_bytes'] / 2**30:.2f} GB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Print a result of benchmarks.stream as markdown.")
    parser.add_argument("result", type=Path, help="a file that benchmarks.stream --json wrote")
    print(table(json.loads(parser.parse_args().result.read_text())))


if __name__ == "__main__":
    main()
