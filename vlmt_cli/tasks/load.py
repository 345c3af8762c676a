"""A task's split, from its example table to memory; and batches of it."""

import functools
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli import __version__
from vlmt_cli.base import origin
from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import KEEP_FILE
from vlmt_cli.datasets.clean_command import clean_command, get_examples
from vlmt_cli.datasets.official import missing_files
from vlmt_cli.datasets.table import AMONG_CANDIDATES, DATASETS, TASKS
from vlmt_cli.features.coverage import examples_with_features
from vlmt_cli.features.hard_negatives import DATASETS as HARD_NEGATIVES
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.batch import Batch
from vlmt_cli.tasks.examples import Examples, Part, lists_of
from vlmt_cli.tasks.groups import head_of, rules_of
from vlmt_cli.tasks.mapped import name_of, stamp
from vlmt_cli.tasks.shared import FORM, share
from vlmt_cli.tasks.tables import read_columns
from vlmt_cli.tasks.text import NO_TOKENS, TextEncoder, Tokens, encode_column, tokens_of

Purpose = Literal["train", "validate", "test"]
TOKENS = "tokens"
"""The folder, in the data folder, of what is made of example tables; it can be deleted at any time."""
CAPTION_TOKENS = 36
"""Of a caption in pre-training, as the authors cut it."""


def load_examples(
    data: Path,
    task: str,
    split: str,
    encoder: TextEncoder,
    reader: RegionReader,
    purpose: Purpose,
    *,
    clean: bool = True,
    answers: list[str] | None = None,
    partial: bool = False,
    only: NDArray[np.int64] | None = None,
    limit: int | None = None,
    kept: bool = True,
) -> Examples:
    """Load a split of a task, or of the captions to pre-train on.

    What is trained on or validated is mapped from ``<data>/tokens``, so that the processes of a machine hold it once,
    and only the first of them reads the tables. It is made anew when a file that it was made from has changed.

    Args:
        data: the data folder.
        task: which, or ``conceptual_captions``.
        split: its name.
        encoder: the tokenizer.
        reader: of its region features.
        purpose: ``train`` leaves out examples without a label, and shows ground-truth boxes of referring expressions
            where a store has them (with grid cells every purpose does); ``validate`` leaves out unlabelled ones and
            fixes what is drawn; ``test`` has all.
        clean: whether cleaning's removals are left out.
        answers: the vocabulary of a head that answers.
        partial: whether examples without features are left out.
        only: rows of the table to take.
        limit: how many examples to take at most, the first ones of those.
        kept: whether anything is kept in ``<data>/tokens``.

    Raises:
        DataError: the table, the clean split, features or hard negatives are missing, or no example is left.
    """
    path, reader = data / "examples" / task / f"{split}.parquet", reader.of(task)
    select = functools.partial(_select, data, task, split, reader, purpose, clean, answers or (), partial, only, limit)
    if not kept:
        examples = select()
        return replace(examples, tokens=_tokens_of_rows(path, examples.rows, encoder, task))
    if purpose == "test" or only is not None:
        examples = select()
        return replace(examples, tokens=_tokens(data, task, path, encoder))
    made_from = _made_from(data, task, split, reader, purpose, clean)
    if made_from is None:  # something is missing, which is named where it is read
        examples = select()
        return replace(examples, tokens=_tokens(data, task, path, encoder))
    name = name_of(FORM, __version__, made_from, answers, partial, limit)
    tokens = _tokens(data, task, path, encoder)
    return share(data / TOKENS / task / f"{split}-{purpose}-{name}.arrow", tokens, select)


def _tokens(data: Path, task: str, table: Path, encoder: TextEncoder) -> Tokens:
    return tokens_of(table, encoder, longest_of(task), data / TOKENS)


def _tokens_of_rows(table: Path, rows: NDArray[np.int64], encoder: TextEncoder, task: str) -> Tokens:
    """Tokenise some rows of a table, which ascend; the others have no tokens."""
    texts = read_columns(table, ["text"])["text"]
    made = encode_column(texts.take(pa.array(rows)).combine_chunks(), encoder, longest_of(task))
    lengths = np.zeros(len(texts), np.int64)
    lengths[rows] = made.lengths
    return replace(made, offsets=np.concatenate([[0], np.cumsum(lengths)]))


def longest_of(task: str) -> int:
    """Return to how many tokens a task's texts are cut, CLS and SEP included."""
    return TASKS[task].max_tokens if task in TASKS else CAPTION_TOKENS


def _made_from(data: Path, task: str, split: str, reader: RegionReader, purpose: Purpose, clean: bool) -> Any:
    """Return what tells whether examples would still come out as before, in plain data; None where a file is missing.

    Raises:
        DataError: the clean split was made of other examples.
    """
    keep, negatives = data / "clean" / KEEP_FILE, _negatives_of(data, task)
    files = [data / "examples" / task / f"{split}.parquet"]
    files += [keep] if clean else []
    files += [negatives] if purpose == "train" and negatives else []
    files += [path / "data.mdb" if path.is_dir() else path for path in (store.path for store in reader.stores)]
    if not all(file.exists() for file in files):
        return None
    cleaned = origin.verify_split(data, f"{task} {split}") if clean else None
    stores = [[store.meta.checksum, store.meta.images] for store in reader.stores]
    return [purpose, [stamp(file) for file in files], stores, reader.candidates is not None, cleaned]


def _select(
    data: Path,
    task: str,
    split: str,
    reader: RegionReader,
    purpose: Purpose,
    clean: bool,
    answers: Sequence[str],
    partial: bool,
    only: NDArray[np.int64] | None,
    limit: int | None,
) -> Examples:
    """Read the examples, without their tokens; arguments and errors are ``load_examples``'s."""
    path = data / "examples" / task / f"{split}.parquet"
    rules = rules_of(task)
    table = read_columns(path, ["example_id", "images", *rules.COLUMNS])
    rows = np.arange(len(table)) if only is None else only
    if clean and only is None:
        rows = kept_rows(data, task, split, table)
    elif purpose == "test":
        origin.verify_examples(data, task, split, table["example_id"], table["images"])
    what = f"{task} {split}"
    table = table.take(pa.array(rows)).combine_chunks()
    covered = examples_with_features(reader.store, table["images"].combine_chunks(), what, partial)
    if task in AMONG_CANDIDATES and reader.candidates is not None:
        covered &= examples_with_features(reader.candidates, table["images"].combine_chunks(), what, partial)
    table, rows = table.filter(pa.array(covered)), rows[covered]
    neighbours = _neighbours(data, task) if purpose == "train" else None
    # Nobody can point at a thing with a grid's cells: given boxes are chosen among with them, in tests too.
    always = reader.store.meta.holds == "grid"
    shown = (purpose == "train" or always) and DATASETS[task].candidates == "shown in training"
    boxed = reader.candidates.keys() if shown and reader.candidates is not None else []

    def part_of(table: pa.Table) -> Part:
        if not len(table):
            todo = "clean it again, or leave the task out"
            raise DataError(f"no example of {what} is left", where=path, todo=todo)
        keys = table["images"].combine_chunks().flatten().dictionary_encode()
        names, codes = np.array(keys.dictionary.to_pylist(), object), keys.indices.to_numpy().astype(np.int32)
        return Part(task, split, table, names, codes, answers, neighbours, boxed)

    part = part_of(table)
    columns, labelled = rules.columns(part)
    taken = labelled if purpose != "test" else np.ones(len(table), bool)
    if limit is not None:
        taken = taken & (np.cumsum(taken) <= limit)
    if not taken.all():
        table, rows = table.filter(pa.array(taken)), rows[taken]
        part = part_of(table)
        columns, _ = rules.columns(part)
    ids, offsets = table["example_id"].combine_chunks(), lists_of(table["images"]).offsets
    names = pa.array(part.names, pa.string())
    examples = Examples(task, split, ids, rows, NO_TOKENS, names, part.codes, offsets, columns)
    draw = head_of(task).draw
    if draw and purpose != "train":
        fixed = draw(examples, np.arange(len(examples)), np.random.default_rng(zlib.crc32(what.encode())))
        examples.columns["drawn"] = fixed  # type: ignore[index]
    return examples


def kept_rows(data: Path, task: str, split: str, table: pa.Table) -> NDArray[np.int64]:
    """Return the rows of an example table that cleaning kept.

    Raises:
        DataError: there is no clean split, it does not know this one, or it is of other examples.
    """
    keep = data / "clean" / KEEP_FILE
    if not keep.exists():
        todo = "make one with vlmt clean, or train on everything with --set split=full"
        raise DataError("there is no clean split", where=keep, todo=todo)
    rows = origin.kept_rows(data, task, split, table["example_id"], table["images"])
    if not len(rows):
        todo = get_examples(data, task, split=split)
        raise DataError(f"the clean split has no {task} {split}", where=keep, todo=todo)
    return rows


def answers_of(data: Path, task: str) -> list[str] | None:
    """Read the answer vocabulary of a task's head, which tasks may share; None where it has none."""
    owner = TASKS[task].vocabulary if task in TASKS else ""
    if not owner:
        return None
    path = data / "examples" / owner / "answers.json"
    again = "delete its folder and run vlmt clean"
    try:
        return msgspec.convert(read_json(path, again), list[str])
    except FileNotFoundError as error:
        if not (path.parent / "manifest.json").exists():
            todo = f"{get_examples(data, owner)}, as {task} takes its answers from {owner}"
            raise DataError("there is no answer vocabulary", where=path, todo=todo) from error
        absent = missing_files(data, owner)
        files = f"put {', '.join(absent)} into {data / 'raw'}, or " if absent else ""
        todo = f"{files}let the reader set Examples.answers, then run {clean_command(data, owner)}"
        raise DataError(f"the reader of {owner} made no answer vocabulary", where=path, todo=todo) from error
    except msgspec.ValidationError as error:
        raise DataError(f"is damaged ({error})", where=path, todo=again) from error


def make_batch(
    examples: Examples,
    which: NDArray[np.int64],
    reader: RegionReader,
    token: int | None = None,
    drawn: NDArray[np.int64] | None = None,
    memory: Tensor | None = None,
    multiple: int = 1,
) -> Batch:
    """Make a batch of some examples.

    Args:
        examples: all of the split.
        which: the places of B of them.
        reader: of region features.
        token: the task token; None for none.
        drawn: what the head's ``draw`` gave for them.
        memory: flat memory for the features.
        multiple: of which the number of tokens is one, as compiled models like it.
    """
    head = head_of(examples.task)
    taken = head.inputs(examples, which, drawn)
    tokens, mask = examples.tokens.batch(examples.rows[taken.texts], multiple)
    regions = reader.of(examples.task).read(taken.images, taken.candidates, memory)
    pairs = None if taken.pairs is None else (torch.from_numpy(taken.pairs[0]), torch.from_numpy(taken.pairs[1]))
    return Batch(
        task=examples.task,
        head=TASKS[examples.task].head,
        examples=which,
        tokens_BT=tokens,
        token_mask_BT=mask,
        features_BVF=regions.features_BVF,
        boxes_BV5=regions.boxes_BV5,
        region_mask_BV=regions.mask_BV,
        task_B=None if token is None else torch.full((len(tokens),), token),
        pairs=pairs,
        targets=head.targets(examples, which, regions),
        pixels_BV4=regions.pixels_BV4,
        detected_B=regions.counts_B,
    )


def _neighbours(data: Path, task: str) -> pa.Table | None:
    """Read the hard negatives of a retrieval task; other tasks and pre-training have none."""
    path = _negatives_of(data, task)
    if path is None:
        return None
    if not path.exists():
        todo = f"make them with vlmt pack --hard-negatives {data / 'features'}/STORE"
        raise DataError("there are no hard negatives", where=path, todo=todo)
    return read_columns(path, ["image", "neighbours"])


def _negatives_of(data: Path, task: str) -> Path | None:
    return data / "features" / f"hard_negatives_{task}.parquet" if task in HARD_NEGATIVES else None


def keys_of_images(examples: Examples) -> pa.Array:
    """Return the distinct keys of a split's images."""
    return pc.unique(examples.names)
