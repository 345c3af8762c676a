"""What models say of MT-VGC's questions and expressions, kept in files so that everything but the model can be changed
without running it again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from vlmt_cli.analysis.consistency.names import NEEDED
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.progress import Progress
from vlmt_cli.datasets.table import TASKS, VOCABULARIES
from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.leaks import Training, training_of
from vlmt_cli.evaluation.setup import LoadedModel, open_model, token_kind
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.recipe import task_token
from vlmt_cli.tasks.load import load_examples
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.scoring import TYPES
from vlmt_cli.tasks.text import TextEncoder

_FORMAT = "vlmt vgc predictions 1"
_KEPT = ("answer", "confidence", "box")
Load = Callable[[str], LoadedModel]


class ExaminedCheckpoint(NamedTuple):
    """A checkpoint that was examined, without its weights.

    Attributes:
        name: run folder, file or hub id.
        digest: of everything in it that decides what it says.
        encoder, labels: its tokenizer, and the answers of its classifiers.
        reader: of its features.
        tokens: which task tokens it takes.
        training: what is known of the images it was trained on.
        tasks: that its run trained; None where that is unknown.
    """

    name: str
    digest: str
    encoder: TextEncoder
    labels: dict[str, list[str]]
    reader: RegionReader
    tokens: str
    training: Training
    tasks: tuple[str, ...] | None


def examine_checkpoint(
    source: str, tasks: Sequence[str], data: Path, features: str | None, load: Load = open_model
) -> ExaminedCheckpoint:
    """Find out whether a checkpoint can do some tasks.

    Args:
        source: run folder, ``.pt`` or hub id.
        tasks: that it is needed for.
        data: the data folder.
        features: the store; by default the recipe's, or the only one there.
        load: how to load it.

    Raises:
        UsageError: there is no such checkpoint, it has no tokenizer, or no store, or several, could be meant.
        DataError: it lacks a head or its labels, features are another extractor's, or a file is damaged.
    """
    model = load(source)
    checkpoint = model.checkpoint
    for head in dict.fromkeys(TASKS[task].head for task in tasks):
        if head not in checkpoint.config.heads:
            parts = " ".join(f"--model {task}=PATH" for task in NEEDED)
            todo = f"name a model of {', '.join(NEEDED)}, or a checkpoint a task: {parts}"
            raise DataError(f"has no {head} head", where=source, todo=todo)
        if head in VOCABULARIES and head not in checkpoint.labels:
            todo = "give them to vlmt convert with --answers vqa=FILE"
            raise DataError("does not say which answers its vqa head has", where=source, todo=todo)
    return ExaminedCheckpoint(
        source,
        _digest(checkpoint),
        model.encoder,
        checkpoint.labels,
        model.reader(data, features),
        token_kind(checkpoint),
        training_of(checkpoint),
        model.recipe.tasks if model.recipe else None,
    )


def _digest(checkpoint: Checkpoint) -> str:
    digest = hashlib.sha256(checkpoint.config.model_dump_json().encode())
    digest.update(json.dumps([checkpoint.labels, checkpoint.tokenizer]).encode())
    for name, tensor in sorted(checkpoint.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class PredictedPart:
    """One split of a task, to be predicted by one checkpoint.

    Attributes:
        source: the checkpoint.
        task, split: which.
        table: the examples, a part of ``Texts``.
        path: where the predictions are kept.
    """

    source: ExaminedCheckpoint
    task: str
    split: str
    table: pa.Table
    path: Path

    def read(self) -> pa.Table | None:
        """Return the predictions, in the order of the examples; None where they are not there, or damaged."""
        try:
            predicted = pq.read_table(self.path)
        except (OSError, pa.ArrowException):
            return None
        return predicted if predicted["row"].equals(self.table["row"]) else None


def parts_of(source: ExaminedCheckpoint, task: str, table: pa.Table, folder: Path) -> list[PredictedPart]:
    """Cut a task's examples by split, and name the file of each split's predictions.

    The name is a digest of all that they depend on: weights, features, texts and images.
    """
    parts = []
    for split in pc.unique(table["split"]).to_pylist():
        rows = table.filter(pc.equal(table["split"], split)).combine_chunks()
        meta, token = source.reader.store.meta, task_token(task, source.tokens)
        digest = hashlib.sha256(
            repr((_FORMAT, source.digest, meta, source.reader.max_regions, token, task, split)).encode()
        )
        for name in ("row", "image", "text"):
            digest.update("\n".join(map(str, rows[name].to_pylist())).encode())
        parts.append(
            PredictedPart(source, task, split, rows, folder / f"{task}-{split}-{digest.hexdigest()[:16]}.parquet")
        )
    return parts


def predict_part(
    part: PredictedPart, model: Checkpoint, data: Path, batch_size: int, process: Process, progress: Progress
) -> None:
    """Run a checkpoint, whose model is on its device, over a split; the first process keeps what it says.

    Raises:
        DataError: features are missing or damaged, or the examples are no longer those of the example table.
    """
    source, task = part.source, part.task
    head = TASKS[task].head
    labels = source.labels.get(head, [])
    rows = part.table["row"].to_numpy()
    examples = load_examples(
        data, task, part.split, source.encoder, source.reader, "test", clean=False, answers=labels, only=rows
    )
    token = task_token(task, source.tokens)
    said = run.predict_examples(model.model, examples, source.reader, token, labels, batch_size, process, progress)
    if not process.is_first:
        return
    columns = {name: pa.array(list(said[name]), TYPES[name]) for name in _KEPT if name in said}
    known = {name: part.table[name] for name in ("row", "example_id", "image")}
    write_parquet(part.path, pa.table({**known, **columns}))
