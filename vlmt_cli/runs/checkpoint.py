"""A checkpoint: weights with all that is needed to use them, as a run folder or as one ``.pt``.

==================  ==================================================================
model.safetensors   weights, by our names
config.json         trunk, sizes, heads, forms (``ModelConfig``)
labels.json         the answer order of every classifier
tokenizer.json      as the ``tokenizers`` library reads it
lineage.json        stages of training behind the weights, with clean splits and images
images*             the image keys that a stage trained on, where lineage names a file
unread.safetensors  tensors of the authors' file that nothing here reads, kept for export
README.md           model card
state.pt            what training needs to go on: optimizer, DSG, batches taken
best/               the weights of the best validation, as such a folder (``runs.best``)
==================  ==================================================================

The ``.pt`` holds the same in one dict of tensors and plain data, so that ``torch.load(..., weights_only=True)``
reads it. Nothing that a checkpoint holds is ever run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import RootModel
from torch import Tensor

from vlmt_cli.base.documents import parse_json, read_text
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.opening import read_file
from vlmt_cli.base.schema import check_version, parse, version_of
from vlmt_cli.base.words import printable
from vlmt_cli.datasets.table import LABELS as FIXED_LABELS
from vlmt_cli.features.tensor_files import check_finite, only_tensors, read_safetensors
from vlmt_cli.runs.folders import CARD, CONFIG, LABELS, LINEAGE, STATE, TOKENIZER, UNREAD, WEIGHTS, check_checkpoint
from vlmt_cli.runs.lineage import Lineage
from vlmt_cli.runs.tensors import (
    Misfits,
    compare_tensors,
    fitting,
    make_model,
    read_torch,
    shapes_of,
)
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel

FORMAT = "vlmt checkpoint 2"
"""Format 1 had no other trunk than ViLBERT and did not name it."""
_LARGEST = {CONFIG: 1 << 24, LINEAGE: 1 << 24}
"""Bytes: parsing what no checkpoint holds would take long."""
FILES = (WEIGHTS, CONFIG, LABELS, TOKENIZER, LINEAGE, UNREAD, CARD)


@dataclass(frozen=True)
class Checkpoint:
    """Weights and their meaning.

    Attributes:
        model: in evaluation mode.
        labels: the answers of each classifier head, in the order of its outputs.
        tokenizer: the text of a ``tokenizer.json``; None when unknown.
        lineage: where the weights came from.
        unread: tensors of the authors' file that nothing here reads, by their names.
        images: the files that ``lineage`` names, by name.
        misfits: what did not fit when it was loaded with ``partial``.
    """

    model: MultiTaskModel
    labels: dict[str, list[str]]
    tokenizer: str | None
    lineage: Lineage
    unread: dict[str, Tensor] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    misfits: Misfits = field(default_factory=Misfits)

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return self.model.config


class _Labels(RootModel[dict[str, list[str]]]):
    pass


def load_state(folder: Path) -> dict[str, Any]:
    """Read what training needs to go on.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = folder / STATE
    if not path.exists():
        raise DataError("holds no run that could go on", where=folder, todo="leave --resume out to begin one")
    state = read_torch(path)
    if not isinstance(state, dict) or "iteration" not in state:
        raise DataError("is not a state of a run", where=path, todo="begin the run again")
    return state


def load_checkpoint(source: str | Path, partial: bool = False) -> Checkpoint:
    """Load a checkpoint.

    Args:
        source: a run folder, a ``.pt`` that we wrote, or a hub id (``owner/name``).
        partial: whether to load what fits; ``misfits`` then says what did not.

    Raises:
        UsageError: there is nothing of this name, or it is a file of the authors' weights.
        DataError: a file is damaged, asks to run something, does not fit its config, or holds weights that are NaN or
            infinite. Nothing is loaded then.
    """
    path = Path(source)
    if path.is_file():
        content = read_torch(path)
        if not is_ours(content):
            todo = "turn the authors' weights into a checkpoint with vlmt convert"
            raise UsageError("is not a checkpoint that vlmt wrote", where=path, todo=todo)
        return from_content(content, path, partial)
    return from_pretrained(source, partial)


def from_pretrained(source: str | Path, partial: bool = False) -> Checkpoint:
    """Load a checkpoint from a run folder or a hub id; arguments and errors are ``load_checkpoint``'s."""
    folder = Path(source)
    if not folder.is_dir():
        folder = _download(str(source))
    content: dict[str, Any] = {"config": _read_config(folder / CONFIG), "weights": read_safetensors(folder / WEIGHTS)}
    content["labels"] = _read_json(folder / LABELS)
    content["lineage"] = _read_json(folder / LINEAGE)
    content["tokenizer"] = _read_text(folder / TOKENIZER) if (folder / TOKENIZER).exists() else None
    content["unread"] = read_safetensors(folder / UNREAD) if (folder / UNREAD).exists() else {}
    stages = parse(Lineage, content["lineage"], folder / LINEAGE).stages
    content["images"] = {stage.images: _read_bytes(folder / stage.images) for stage in stages if stage.images}
    return _assemble(content, {key: folder / name for key, name in _PLACES.items()}, partial)


def _read_config(path: Path) -> Any:
    """Return the config that a run's file holds."""
    values = _read_json(path)
    if isinstance(values, dict) and "model_type" in values and "trunk" not in values:
        todo = "turn it into a checkpoint with vlmt convert"
        raise UsageError(f"is a model of transformers ({printable(str(values['model_type']))})", where=path, todo=todo)
    return without_format(values, path)


def without_format(values: Any, path: Path) -> Any:
    """Return a config without the checkpoint's format, which stands in a run's file, and tells a newer vlmt's.

    Raises:
        DataError: it is a newer vlmt's.
    """
    check_version(version_of(values) or 1, version_of({"format": FORMAT}) or 1, path)
    return {key: value for key, value in values.items() if key != "format"} if isinstance(values, dict) else values


def is_ours(content: Any) -> bool:
    """Return whether what ``torch.load`` gave is a checkpoint that we wrote."""
    return isinstance(content, Mapping) and str(content.get("format", "")).startswith(FORMAT.rpartition(" ")[0])


def from_content(content: Mapping[str, Any], path: Path, partial: bool = False) -> Checkpoint:
    """Make a checkpoint of what a ``.pt`` holds."""
    check_version(version_of(content) or 1, version_of({"format": FORMAT}) or 1, path)
    if absent := _PLACES.keys() - content.keys():
        raise DataError(f"the checkpoint lacks its {', '.join(sorted(absent))}", where=path)
    return _assemble(content, dict.fromkeys(_PLACES, path), partial)


def check_whole(checkpoint: Checkpoint) -> None:
    """Raise a DataError when a checkpoint's labels do not fit its heads, or lineage names a file that is not there."""
    _check_labels(checkpoint.labels, checkpoint.config, "the checkpoint")
    for stage in checkpoint.lineage.stages:
        if stage.images is not None and stage.images not in checkpoint.images:
            raise DataError(f"the training images of stage {stage.name} are not there", where=stage.images)


_PLACES = {
    "config": CONFIG,
    "weights": WEIGHTS,
    "labels": LABELS,
    "tokenizer": TOKENIZER,
    "lineage": LINEAGE,
    "unread": UNREAD,
    "images": LINEAGE,
}


def _assemble(content: Mapping[str, Any], places: Mapping[str, Path], partial: bool) -> Checkpoint:
    config = parse_model_config(content["config"], places["config"])
    lineage = parse(Lineage, content["lineage"], places["lineage"])
    labels = parse(_Labels, content["labels"], places["labels"]).root
    _check_labels(labels, config, places["labels"])
    tensors = only_tensors(content["weights"], places["weights"])
    needed = {name: tensor.shape for name, tensor in shapes_of(config).state_dict().items()}
    misfits = compare_tensors(needed, tensors)
    if not partial:
        misfits.refuse(places["weights"])
    tensors = fitting(misfits, tensors)
    check_finite(tensors, places["weights"])
    unread = only_tensors(content["unread"], places["unread"]) if content["unread"] else {}
    tokenizer, images = content["tokenizer"], content["images"]
    if not isinstance(tokenizer, str | None):
        raise DataError("the tokenizer is not text", where=places["tokenizer"])
    if not isinstance(images, dict) or not all(isinstance(part, bytes) for part in images.values()):
        raise DataError("the training images are not files", where=places["images"])
    checkpoint = Checkpoint(make_model(config, tensors), labels, tokenizer, lineage, unread, images, misfits)
    check_whole(checkpoint)
    return checkpoint


def parse_model_config(values: Any, where: object, error: type[VlmtError] = DataError) -> ModelConfig:
    """Check a whole model's config that was read from ``where``. Raises ``error``, which names what is wrong."""
    return parse(ModelConfig, values, where, error)


def _check_labels(labels: Mapping[str, list[str]], config: ModelConfig, where: object) -> None:
    classes = config.answers | {head: len(names) for head, names in FIXED_LABELS.items()}
    outputs: dict[str, int | None] = {head: classes.get(head) for head in config.heads}
    for head, names in labels.items():
        if outputs.get(head) is None:
            raise DataError(f"there are answers for {head}, which is not a classifier of this model", where=where)
        if len(names) != outputs[head]:
            raise DataError(f"{len(names):,} answers for {head}, whose classifier has {outputs[head]:,}", where=where)


def _download(repository: str) -> Path:
    check_checkpoint(repository)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=[*FILES, "images*"]))
    except Exception as error:  # the hub client, its network client and its validators each have their own
        message = " ".join(str(error).split()).partition(" An error happened")[0][:200]
        todo = "check the path, or the hub id and the network"
        what = f"is not a folder here and was not found on the hub ({message})"
        raise DataError(what, where=repository, todo=todo) from error


def _read_bytes(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error


def _read_json(path: Path) -> Any:
    """Read a file of a checkpoint, if it is of a size that its schema can have."""
    most = _LARGEST.get(path.name, 1 << 28)
    if path.exists() and (size := path.stat().st_size) > most:
        raise DataError(f"is {size:,} bytes, where such a file has {most:,} at most", where=path)
    return parse_json(_read_text(path), path)
