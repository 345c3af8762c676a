"""Work cut into shards, on machines that know nothing of each other, and what they leave: a folder each.

Shard 3 of 64 of what becomes ``PATH`` is ``PATH.shards-of-64/3``.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from vlmt_cli.base.errors import DataError, UsageError

T = TypeVar("T")


def part_of(items: Sequence[T], number: int, of: int) -> Sequence[T]:
    """Return shard ``number`` of ``of``, counted from 1: every ``of``-th item.

    Raises:
        UsageError: there is no such shard.
    """
    if not 1 <= number <= of:
        raise UsageError(f"there is no shard {number} of {of}", todo="count from 1, such as --shard 1/64")
    return items[number - 1 :: of]


def shard_folder(path: Path, number: int, of: int) -> Path:
    """Return where a shard of what becomes ``path`` is."""
    return path.with_name(f"{path.name}.shards-of-{of}") / str(number)


def complete_shards(path: Path, is_complete: Callable[[Path], bool]) -> list[Path]:
    """Return the folders of all shards of ``path``, in their order.

    Args:
        path: what they become.
        is_complete: whether the shard in a folder is finished.

    Raises:
        DataError: there are none, or some of two kinds, or some are missing or unfinished.
    """
    folders = sorted(path.parent.glob(f"{path.name}.shards-of-*"))
    if len(folders) != 1:
        kinds = f"are shards of {len(folders)} kinds" if folders else "are no shards"
        todo = "make them with --shard 1/64 and so on" if not folders else "remove those that are not wanted"
        raise DataError(f"there {kinds} of it", where=path, todo=todo)
    of = int(folders[0].name.rpartition("-")[2])
    shards = [folders[0] / str(number) for number in range(1, of + 1)]
    unfinished = [shard.name for shard in shards if not is_complete(shard)]
    if unfinished:
        names = ", ".join(unfinished[:8]) + (", ..." if len(unfinished) > 8 else "")
        todo = f"run --shard {unfinished[0]}/{of}" + (" and the others" if len(unfinished) > 1 else "")
        raise DataError(f"{len(unfinished)} of {of} shards are missing or unfinished: {names}", where=path, todo=todo)
    return shards


def remove_shards(path: Path) -> None:
    """Remove all shards of ``path`` at once, so that a killed merge leaves all of them or none."""
    for folder in path.parent.glob(f"{path.name}.shards-of-*"):
        gone = folder.rename(path.with_name(f".{folder.name}.partial"))
        shutil.rmtree(gone)
