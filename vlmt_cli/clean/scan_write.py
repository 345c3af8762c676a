"""A mixture given back in its own form, without the records that show benchmarks' test images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.words import count
from vlmt_cli.mixtures.batch import Kept, Source, Wanted
from vlmt_cli.mixtures.datacomp import SUBSET, uids_of, write_subset
from vlmt_cli.mixtures.fewer_images import MARKS
from vlmt_cli.mixtures.forms import FORMS, LISTS
from vlmt_cli.mixtures.opening import form_of, paths_of


def write_mixture(
    given: Sequence[str],
    sources: Sequence[Source],
    records: Sequence[int],
    hits: pa.Table,
    to: Path,
    only_images: bool = False,
    form: str | None = None,
    spans: Mapping[Source, NDArray[np.int64]] | None = None,
) -> tuple[list[Path], str]:
    """Write a mixture again.

    Args:
        given: what the user named.
        sources: the files of records that this stands for.
        records: how many each of them has.
        hits: rows of ``HITS``.
        to: the folder; files keep their names below it, as deep as they lie below the folder that they share.
        only_images: a record of several images loses those that hit, where its form allows it; else it goes.
        form: that was given with them.
        spans: where the records of some of the files stand (``Kept.spans``).

    Returns:
        What was written, and in words: the files and folders, lists after them; where tables are DataComp's metadata,
        last the subset file of what stays.

    Raises:
        UsageError: as ``targets`` says.
    """
    to, lists, renamed = targets(given, sources, to, form)
    uids = {source.path: uids_of(source) for source in sources if source.form == "parquet"}
    subset: dict[Path, NDArray[np.uint64]] = {}
    counts: dict[Path, tuple[int, int]] = {}
    fewer, whole = 0, 0
    for source, count_of_file in dict(zip(sources, records, strict=True)).items():
        mine = hits.filter(pc.equal(hits["file"], source.name))
        can_drop = FORMS[source.form].can_drop_images(source)
        kept = _kept(source, count_of_file, mine, only_images and can_drop)
        kept = replace(kept, spans=(spans or {}).get(source))
        counts[source.path] = len(kept.records), int(kept.records.sum())
        fewer += len(kept.images)
        whole += 0 if can_drop else int((~kept.records).sum())
        FORMS[source.form].write(source, kept, renamed[source.path])
        if (of_file := uids.get(source.path)) is not None:
            subset[source.path] = of_file[kept.records]
    for path in reversed(lists):  # a list in a list is written before it
        members = {member.path: _new_place(member.path, renamed) for member in LISTS[lists[path]].members(path)}
        LISTS[lists[path]].write(path, members, renamed[path], counts)
    dropped = sum(before - after for before, after in counts.values())
    written = list(renamed.values())
    if subset:
        write_subset(list(subset.values()), to / SUBSET)
        written.append(to / SUBSET)
    said = f"{count(len(written), 'file')}, without {count(dropped, 'record')}"
    if fewer:
        said += f", and {count(fewer, 'more record')} without the images that hit"
    if only_images and whole:
        said += f"; {whole:,} of them went whole, as their form does not let images go alone"
    return written, said


def targets(
    given: Sequence[str], sources: Sequence[Source], to: Path, form: str | None = None
) -> tuple[Path, dict[Path, str], dict[Path, Path]]:
    """Say where the files of a mixture are written: ``to``, the lists among them by form, and each file's new path.

    Raises:
        UsageError: a file would be written over one of the mixture, or ``to`` is a file.
    """
    if ".." in to.parts:  # a list whose members' paths climb would be refused
        to = to.resolve()
    if to.is_file():
        raise UsageError("is a file", where=to, todo="give --write a folder")
    lists = {path: name for each in given for path, name in lists_of(each, form).items()}
    # Links keep their names: in the cache of a hub those of files say what these are, and those behind them do not.
    at = {path: Path(os.path.normpath(path.absolute())) for path in [*(each.path for each in sources), *lists]}
    base = os.path.commonpath([path.parent for path in at.values()])
    renamed = {path: to / where.relative_to(base) for path, where in at.items()}
    own = {path.resolve() for path in renamed}
    if over := next((target for target in renamed.values() if target.resolve() in own), None):
        raise UsageError("is a file of the mixture itself", where=over, todo="give --write another folder")
    return to, lists, renamed


def _new_place(path: Path, renamed: dict[Path, Path]) -> Path:
    """Return where a file is written, or a folder of such files."""
    if path in renamed:
        return renamed[path]
    inner = next(each for each in renamed if path in each.parents)
    return renamed[inner].parents[len(inner.relative_to(path).parts) - 1]


def _kept(source: Source, records: int, hits: pa.Table, may_lose_images: bool) -> Kept:
    """Say which records of a file stay, and which of their images."""
    stays = np.ones(records, bool)
    stays[hits["record"].to_numpy()] = False
    if not may_lose_images or stays.all():
        return Kept(stays)
    hit = set(zip(hits["record"].to_pylist(), hits["position"].to_pylist(), strict=True))
    positions: dict[int, list[int]] = {}
    gone = pa.array(np.flatnonzero(~stays))
    for batch in FORMS[source.form].read(source, Wanted(texts=True)):
        mine = pc.is_in(batch.images.column("record"), value_set=gone)
        for row in batch.images.select(["record", "position"]).filter(mine).to_pylist():
            texts = batch.texts[row["record"] - batch.first].as_py() if batch.texts is not None else []
            if not any(mark in text for text in texts for mark in MARKS):
                positions.setdefault(row["record"], []).append(row["position"])
    left = {record: [each for each in every if (record, each) not in hit] for record, every in positions.items()}
    images = {record: each for record, each in left.items() if each}
    stays[list(images)] = True
    return Kept(stays, images)


def lists_of(given: str, form: str | None) -> dict[Path, str]:
    """Return the lists behind a path, a glob or a folder, by form: themselves, and the lists that they name."""
    lists: dict[Path, str] = {}
    for path in paths_of(given):
        name = form or form_of(path)
        if name in LISTS:
            lists[path] = name
            for member in LISTS[name].members(path):
                lists |= {} if member.path.is_dir() else lists_of(str(member.path), None)
    return lists
