"""Released weights of other trunks as a checkpoint: LXMERT and VisualBERT in transformers' layout, UNITER's ``.pt``.

They bring a trunk, without task tokens and heads. What they hold beside it, pre-training heads and the like, is kept
unread, so that every tensor is accounted for.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.hub import is_local
from vlmt_cli.features.tensor_files import check_finite, only_tensors, read_safetensors
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.folders import CONFIG, WEIGHTS, is_hub_id
from vlmt_cli.runs.lineage import Beginning, Lineage, Stage, by_module
from vlmt_cli.runs.tensors import compare_tensors, fitting, make_model, read_torch, shapes_of, tensors_hash
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.trunks.authors import tidy
from vlmt_cli.trunks.table import parse_trunk

OLD_WEIGHTS = "pytorch_model.bin"
TOKENIZERS = ("tokenizer.json", "vocab.txt")
REGIONS = "img_embeddings."
"""The beginning of UNITER's names of its embeddings of regions."""
_SIZES = {
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "feedforward": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "segments": "type_vocab_size",
    "init_std": "initializer_range",
}
_ONLY = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "bypass_transformer": False, "visual_pos_dim": 4}


class Layout(NamedTuple):
    """How a trunk was released.

    Attributes:
        kind: the trunk.
        prefixes: of the names of its tensors, longest first.
        keys: our keys of its config by transformers', beside those that all share.
        datasets: whose images the released weights were pre-trained on; which images of them is not known.
    """

    kind: str
    prefixes: tuple[str, ...]
    keys: dict[str, str]
    datasets: tuple[str, ...]


LAYOUTS = {
    "lxmert": Layout(
        "lxmert",
        ("lxmert.", ""),
        {
            "text_layers": "l_layers",
            "vision_layers": "r_layers",
            "cross_layers": "x_layers",
            "region_features": "visual_feat_dim",
        },
        ("COCO", "Visual Genome"),
    ),
    "visual_bert": Layout(
        "visualbert",
        ("visual_bert.", ""),
        {"layers": "num_hidden_layers", "region_features": "visual_embedding_dim"},
        ("COCO",),
    ),
    "uniter": Layout(
        "uniter",
        ("uniter.", "bert.", ""),
        {"layers": "num_hidden_layers"},
        ("COCO", "Visual Genome", "Conceptual Captions", "SBU Captions"),
    ),
}
"""By transformers' ``model_type``; UNITER has none and is told by its names."""
UNREAD = re.compile(
    r"(.*\.)?(position_ids|mask_embedding\.weight)|[a-z]\w*_(head|output|regress|classifier)\..+|cls\..+"
)
"""What no task reads: buffers, UNITER's feature of a masked region, and heads."""


def library_folder(source: str) -> Path | None:
    """Return the folder of a model that transformers wrote, downloaded where it is on the hub; None of anything else.

    Raises:
        DataError: its config is damaged.
        UsageError: it is a model that no trunk here is made of.
    """
    folder = Path(source)
    if not folder.exists() and is_hub_id(source):
        try:
            local = is_local(source, CONFIG)
            from huggingface_hub import hf_hub_download, snapshot_download

            if _model_type(Path(hf_hub_download(source, CONFIG, local_files_only=local))) is None:
                return None
            names = [CONFIG, WEIGHTS, OLD_WEIGHTS, *TOKENIZERS]
            folder = Path(snapshot_download(source, allow_patterns=names, local_files_only=local))
        except (DataError, UsageError):
            raise
        except Exception:  # whoever loads it as a checkpoint says what is wrong
            return None
    path = folder / CONFIG
    return folder if path.is_file() and _model_type(path) is not None else None


def _model_type(path: Path) -> str | None:
    values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind is None or "trunk" in values:
        return None
    if kind not in LAYOUTS:
        known = " or ".join(kind for kind in LAYOUTS if kind != "uniter")
        raise UsageError(f"is a model of transformers of type {kind!r}", where=path, todo=f"take a {known}")
    return str(kind)


def is_uniter(state: Mapping[str, Tensor]) -> bool:
    """Return whether tensors are UNITER's, whatever stands before their names."""
    return any(REGIONS in name for name in state)


def import_folder(folder: Path, name: str, partial: bool = False) -> Checkpoint:
    """Make a checkpoint of a folder that transformers wrote; ``name`` is what the user calls it.

    Raises:
        UsageError: its config asks for what the trunk here does not do.
        DataError: a file is missing or damaged, or tensors do not fit.
    """
    values = read_json(folder / CONFIG)
    path = folder / (WEIGHTS if (folder / WEIGHTS).exists() else OLD_WEIGHTS)
    if not path.exists():
        raise DataError(f"holds neither {WEIGHTS} nor {OLD_WEIGHTS}", where=folder)
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    state = tidy(only_tensors(content, path))
    return import_library(state, LAYOUTS[values["model_type"]], values, name, path, partial)


def import_uniter(state: Mapping[str, Tensor], values: Any, path: Path, partial: bool = False) -> Checkpoint:
    """Make a checkpoint of UNITER's released tensors.

    Args:
        state: by their names, tidied.
        values: what its JSON config holds, of BERT's keys; None tells the sizes from the shapes.
        path: of the tensors, for errors and lineage.
        partial: whether to load what fits.

    Raises:
        UsageError: the sizes cannot be told from the shapes, or are not possible.
        DataError: tensors do not fit.
    """
    layout = LAYOUTS["uniter"]
    shapes = {_bare(name, layout): tuple(tensor.shape) for name, tensor in state.items()}
    needed = {f"embeddings.{part}_embeddings.weight" for part in ("word", "position", "token_type")}
    needed |= {f"{REGIONS}img_linear.weight", "encoder.layer.0.intermediate.dense.weight"}
    if absent := sorted(name for name in needed if len(shapes.get(name, ())) != 2):
        raise DataError(f"has no {absent[0]}", where=path)
    word = shapes["embeddings.word_embeddings.weight"]
    told = {
        "vocab_size": word[0],
        "hidden_size": word[1],
        "max_position_embeddings": shapes["embeddings.position_embeddings.weight"][0],
        "type_vocab_size": shapes["embeddings.token_type_embeddings.weight"][0],
        "intermediate_size": shapes["encoder.layer.0.intermediate.dense.weight"][0],
        "num_hidden_layers": len({name.split(".")[2] for name in shapes if name.startswith("encoder.layer.")}),
    }
    if values is None:
        if word[1] not in (768, 1024):
            what = "the weights are not of a released size, and shapes do not tell the heads"
            raise UsageError(what, where=path, todo="give their config with --config FILE.json")
        values = {"num_attention_heads": word[1] // 64}
    elif not isinstance(values, dict):
        raise UsageError("holds no keys and values", where="--config")
    features = {"region_features": shapes[f"{REGIONS}img_linear.weight"][1]}
    return import_library(state, layout, told | values, path.name, path, partial, features)


def import_library(
    state: Mapping[str, Tensor],
    layout: Layout,
    values: Mapping[str, Any],
    name: str,
    path: Path,
    partial: bool,
    more: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Make a checkpoint of a trunk's released tensors; arguments and errors are ``import_folder``'s."""
    for key, only in _ONLY.items():
        if values.get(key, only) != only:
            raise UsageError(f"{key} is {values[key]!r}, and only {only!r} is supported", where=path)
    keys = _SIZES | layout.keys
    sizes = {own: values[theirs] for own, theirs in keys.items() if theirs in values}
    trunk = parse_trunk({"kind": layout.kind, "task_tokens": 0, **sizes, **(more or {})}, path)
    config = ModelConfig(trunk=trunk, heads=())
    needed = {own: tensor.shape for own, tensor in shapes_of(config).state_dict().items()}
    tensors: dict[str, Tensor] = {}
    unread: dict[str, Tensor] = {}
    for theirs, tensor in state.items():
        bare = _bare(theirs, layout)
        own = f"trunk.regions.{bare.removeprefix(REGIONS)}" if bare.startswith(REGIONS) else f"trunk.model.{bare}"
        if own not in needed and UNREAD.fullmatch(bare):
            unread[theirs] = tensor
        else:
            tensors[own] = tensor
    misfits = compare_tensors(needed, tensors)
    if not partial:
        misfits.refuse(path)
    fit = fitting(misfits, tensors)
    check_finite(fit, path)
    beginning = Beginning(
        source=name,
        taken=by_module(fit, needed),
        new=by_module([own for own in needed if own not in fit], needed),
        left_behind=by_module([*unread, *misfits.unexpected], state),
    )
    stage = Stage(name=Path(name).name, datasets=layout.datasets, beginning=beginning)
    lineage = Lineage(stages=(stage,), source=f"{name} (tensors {tensors_hash(state)[:16]})")
    return Checkpoint(make_model(config, fit), {}, None, lineage, unread, misfits=misfits)


def _bare(name: str, layout: Layout) -> str:
    """Take the prefix off a tensor's name."""
    return name.removeprefix(next(prefix for prefix in layout.prefixes if name.startswith(prefix)))
