"""Rows of a table whose lists of images lose some of them.

Only where all images of a record stand in one list, and no other list goes along with it, position by position.
"""

import numpy as np
import pyarrow as pa
from pyarrow import types

from vlmt_cli.mixtures.columns import Roles
from vlmt_cli.mixtures.views import without_views

MARKS = ("<image", "<img", "<|image", "<|vision")
"""What stands in a text for an image: a record with such a text cannot lose one."""


def list_of_images(schema: pa.Schema, roles: Roles | None) -> str | None:
    """Return the column whose lists hold the images of a table; None where no image of them can go."""
    if roles is None or len(roles.images) != 1 or roles.turns:
        return None
    beside = [*roles.names, *roles.urls, *roles.sha256, *roles.md5]
    is_alone = not any(types.is_nested(schema.field(name).type) for name in beside)
    column = roles.images[0]
    kind = schema.field(column).type
    is_list = types.is_list(kind) and not (types.is_list(kind.value_type) or types.is_large_list(kind.value_type))
    return column if is_alone and is_list else None


def with_fewer_images(rows: pa.RecordBatch, column: str, first: int, images: dict[int, list[int]]) -> pa.RecordBatch:
    """Return rows whose lists have lost images.

    Args:
        rows: N rows of a table.
        column: of the lists.
        first: the number of the first row.
        images: by number of a row that loses some, which positions stay; null is no image, and stays.

    Returns:
        N rows; views among their columns have become plain strings and bytes where an image went.
    """
    mine = [record for record in images if first <= record < first + rows.num_rows]
    if not mine:
        return rows
    rows = without_views(rows)
    lists = rows.column(column)
    lengths = lists.value_lengths().fill_null(0).to_numpy().astype(np.int64)
    starts, values = np.cumsum(lengths) - lengths, lists.flatten()
    is_image = values.is_valid().to_numpy(zero_copy_only=False)
    stays = np.ones(len(values), bool)
    for record in mine:
        at = np.arange(lengths[record - first]) + starts[record - first]
        shown = at[is_image[at]]
        stays[shown] = np.isin(np.arange(len(shown)), images[record])
    ends = np.concatenate([[0], np.cumsum(stays)])[np.append(starts, len(values))]
    new = pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), values.filter(pa.array(stays)), type=lists.type, mask=lists.is_null()
    )
    return rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), new)
