"""File names beside image ids: where both say which image a record is about, they must say the same one."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import quoted
from vlmt_cli.datasets.decoding import CORRECT

# Official names alone: what people named otherwise says nothing.
_NUMBER = {
    "coco": r"(?:^|/)(?:COCO_(?:train|val|test)20\d\d_(?P<id>\d+)(?:_\d+)?|(?P<bare>0\d{11}))\.[A-Za-z]+\z",
    "vg": r"(?:^|/)v7w_(?P<id>\d+)(?P<bare>)\.[A-Za-z]+\z",
}


def check_names(
    names: Sequence[str | None] | pa.Array, keys: pa.Array, path: Path, record: str, first: int = 0
) -> None:
    """Check that the official names among N file names are those of N images.

    Args:
        names: as they stand in the file; null where there is none.
        keys: image keys, all of ``coco`` or all of ``vg``.
        path: the file, for the error.
        record: how it names its records there, such as ``$.images[{}]``.
        first: the number of the first.

    Raises:
        DataError: a name is another image's than the id beside it; the error names the record.
    """
    names = names if isinstance(names, pa.Array) else pa.array(names, pa.string())
    if names.null_count == len(names):
        return
    source = keys[0].as_py().partition(":")[0]
    match = pc.extract_regex(names, _NUMBER[source])  # of its two groups the other is empty
    number = pc.binary_join_element_wise(pc.struct_field(match, "id"), pc.struct_field(match, "bare"), "")
    named = pc.binary_join_element_wise(source, pc.ascii_ltrim(number, "0"), ":")
    differs = pc.not_equal(named, keys).fill_null(False)
    if pc.any(differs, min_count=0).as_py():
        at = differs.index(True).as_py()
        raise DataError(
            f"the file name {quoted(names[at])} is not that of {keys[at]}, which the record is about",
            where=f"{path}: {record.format(first + at)}",
            todo=CORRECT,
        )
