"""Check that every name of ComfyUI's that the pack uses exists in a ComfyUI folder, and takes what it is given.

    python -m tools.check_host_names [COMFYUI]

COMFYUI is the folder of any version (default: the one of `make setup`). Its sources are read, never imported, so this
needs neither torch nor a running ComfyUI. Prints each name that is gone, and each call whose arguments do not fit; ends
with an exit code of 1 if there is any.

Names are followed from the imports: `comfy.sd.VAE`, `io.Clip.Input`, `PromptServer.instance.send_sync`. What nodes read
from the objects that ComfyUI hands them cannot be followed, so it is listed in MEMBERS.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .comfy_host import ROOT, SetupError
from .command_line import comfyui_folder
from .host_names import PACKAGES, Found, Function, Sources, names_of

# by class: members of its objects that the pack uses
MEMBERS = {
    "comfy.model_patcher.ModelPatcher": "additional_models attachments backup cached_patcher_init callbacks cleanup "
    "clone get_additional_models_with_key get_attachment get_free_memory get_model_object hook_backup hook_mode "
    "injections is_dynamic load_device loaded_size memory_required model model_options model_size object_patches "
    "object_patches_backup offload_device patches pre_run register_all_hook_patches set_additional_models "
    "set_attachments set_hook_mode wrappers",
    "comfy.model_base.BaseModel": "diffusion_model get_dtype_inference latent_format model_sampling process_latent_in "
    "process_latent_out",
    "comfy.model_management.LoadedModel": "device model_loaded_memory",
    "comfy.latent_formats.LatentFormat": "latent_rgb_factors latent_rgb_factors_bias latent_rgb_factors_reshape "
    "spacial_downscale_ratio",
    "comfy.ldm.wan.model.WanModel": "blocks forward_orig head patch_embedding rope_embedder text_embedding "
    "time_embedding time_projection",
    "comfy.ldm.wan.model.WanAttentionBlock": "cross_attn ffn modulation norm1 norm2 norm3 self_attn",
    "comfy.ldm.wan.model.WanSelfAttention": "k norm_k norm_q o q v",
    "comfy.ldm.wan.vae.WanVAE": "conv1 conv2 decoder encoder",
    "comfy.ldm.wan.vae2_2.WanVAE": "conv1 conv2 decoder encoder",
    "comfy.sd.VAE": "conv_out_channels decode device encode first_stage_model latent_channels patcher process_input "
    "process_output vae_dtype vae_output_dtype",
    "comfy.ldm.wan.model.VaceWanAttentionBlock": "after_proj before_proj",
    "comfy.sd.CLIP": "encode_from_tokens_scheduled tokenize",
    "comfy.taesd.taehv.TAEHV": "decoder frames_to_trim latent_format patch_size",
    "latent_preview.LatentPreviewer": "decode_latent_to_preview decode_latent_to_preview_image",
    "comfy_api.latest.InputImpl.VideoFromFile": "as_trimmed get_components get_dimensions get_duration "
    "get_stream_source",
}


class Use(NamedTuple):
    """A name of ComfyUI's as a file uses it. call: the call that it is the function of, or None."""

    place: str
    names: tuple[str, ...]
    call: ast.Call | None = None


def uses(path: Path, place: str) -> Iterator[Use]:
    """Every name of ComfyUI's that a file imports or reads, as long as it can be followed from an import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bound: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        for name, target in _imports(node):
            yield Use(f"{place}:{node.lineno}", target)
            bound[name] = target[:1] if isinstance(node, ast.Import) and "." not in name else target
    for name, target in _aliases(tree, bound):
        bound[name] = target
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        names = names_of(node) if isinstance(node, (ast.Attribute, ast.Name)) else None
        if names and names[0] in bound:
            yield Use(f"{place}:{node.lineno}", (*bound[names[0]], *names[1:]), calls.get(id(node)))


def _imports(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(name in the file, dotted name in ComfyUI) of what an import binds."""
    if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] in PACKAGES:
        for alias in node.names:
            yield alias.asname or alias.name, (*(node.module or "").split("."), alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            names = tuple(alias.name.split("."))
            if names[0] in PACKAGES:
                yield (alias.asname, names) if alias.asname else (names[0], names)


def _aliases(tree: ast.Module, bound: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of `management = comfy.model_management`, also in pairs."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=False))
        for one, what in pairs:
            names = names_of(what)
            if isinstance(one, ast.Name) and names and len(names) > 1 and names[0] in bound:
                yield one.id, (*bound[names[0]], *names[1:])


def problem(sources: Sources, use: Use) -> str | None:
    """What is wrong with a use of a name, in one sentence, or None."""
    for end in range(1, len(use.names) + 1):
        if sources.find(use.names[:end]) is None:
            return f"{use.place}: {'.'.join(use.names[:end])} does not exist."
    found = sources.find(use.names)
    wrong = found and use.call and _misfit(sources, found, use.call)
    return f"{use.place}: {'.'.join(use.names)} takes no {wrong}." if wrong else None


def _misfit(sources: Sources, found: Found, call: ast.Call) -> str | None:
    """An argument that a function does not take, or None."""
    of_class = isinstance(found.node, ast.ClassDef)
    function = (sources.member(found, "__init__") or found).node if of_class else found.node
    # a decorator may change what a function takes
    if not isinstance(function, Function) or function.decorator_list:
        return None
    takes = function.args
    names = [argument.arg for argument in (*takes.posonlyargs, *takes.args, *takes.kwonlyargs)]
    for keyword in call.keywords:
        if keyword.arg and takes.kwarg is None and keyword.arg not in names:
            return f"argument {keyword.arg}"
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    most = len(takes.posonlyargs) + len(takes.args) - of_class
    if takes.vararg is None and not starred and len(call.args) > most:
        return f"{len(call.args)} arguments"
    return None


def check(comfyui: Path, pack: Path = ROOT) -> tuple[int, list[str]]:
    """(names looked up, what is wrong with them) for the nodes of a pack and a ComfyUI folder."""
    sources = Sources(comfyui)
    found = [
        use for path in sorted((pack / "nodes").rglob("*.py")) for use in uses(path, path.relative_to(pack).as_posix())
    ]
    found += [Use("members", (*owner.split("."), name)) for owner, names in MEMBERS.items() for name in names.split()]
    problems = {line: None for use in found if (line := problem(sources, use))}
    return len({use.names for use in found}), list(problems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("comfyui", nargs="?", type=Path, help="a ComfyUI folder of any version")
    try:
        comfyui = parser.parse_args().comfyui or comfyui_folder()
    except SetupError as error:
        sys.exit(str(error))
    if not (comfyui / "comfy").is_dir():
        sys.exit(f"{comfyui} is not a ComfyUI folder: it has no comfy/.")
    count, problems = check(comfyui)
    print(*problems, f"{count} names of ComfyUI's, {len(problems)} of them gone or changed", sep="\n")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
