"""Reading official files in commands that only show them: the examples of a clean split are not changed."""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.prepared import Prepared


@contextmanager
def examples_of(data: Path, names: Sequence[str], options: "Options") -> "Iterator[dict[str, Prepared]]":
    """Give the example tables of datasets to a command that writes no split.

    The tables in ``data/examples`` belong to the split in ``data/clean``: where they are not what the official files
    and options give now, those files are read into a temporary folder, and a line on stderr says so. Datasets that are
    in no split are read into ``data/examples``.

    Raises:
        DataError: an official file is damaged.
    """
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.datasets.prepare import prepare

    with tempfile.TemporaryDirectory(prefix="vlmt-") as folder:
        with progress("Reading annotations", size=True) as update:
            examples = prepare(data, names, options, update, beside=Path(folder), bound=bound_by_split(data))
        for name, tables in examples.items():
            if tables.beside:
                say(
                    f"{name} {tables.beside} since the clean split was made. This shows the official files as they are"
                    f" now; {data / 'examples' / name} stays as it is until vlmt clean makes the split again."
                )
        yield examples


def bound_by_split(data: Path) -> Collection[str] | None:
    """Return the datasets and crosswalks that the split in ``data/clean`` was made of; None for all that may be."""
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.origin import KEEP_FILE, read_origin

    keep = data / "clean" / KEEP_FILE
    if not keep.exists():
        return ()
    try:
        return read_origin(keep).links.keys()
    except DataError:  # of an older vlmt, which did not say
        return None


def stale_split(data: Path) -> str | None:
    """Say why the split in ``data/clean`` does not fit ``data/examples``; None where it does or there is none."""
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.origin import verify_split_if_any

    try:
        verify_split_if_any(data)
    except DataError as error:
        return str(error)
    return None
