"""Records of a mixture as plain Python, for tests."""

import numpy as np

from vlmt_cli.mixtures.batch import Kept, Source, Wanted
from vlmt_cli.mixtures.forms import FORMS


def images_of(path, form, **wanted) -> list[tuple]:
    """Read all images of a file: record, position, and whatever is known of each."""
    rows = [row for batch in batches_of(path, form, **wanted) for row in batch.images.to_pylist()]
    return [
        (row["record"], row["position"], {k: v for k, v in row.items() if k not in ("record", "position") and v})
        for row in rows
    ]


def batches_of(path, form, **wanted):
    batches = list(FORMS[form].read(Source(path, form), Wanted(**wanted)))
    first = 0
    for batch in batches:
        assert batch.first == first
        assert len(batch.ids) == batch.records
        first += batch.records
    return batches


def ids_of(path, form) -> list[str | None]:
    return [value for batch in batches_of(path, form) for value in batch.ids.to_pylist()]


def texts_of(path, form) -> list[list[str]]:
    return [said for batch in batches_of(path, form, texts=True) for said in batch.texts.to_pylist()]


def damaged_of(path, form) -> dict[int, str]:
    return {bad.record: bad.reason for batch in batches_of(path, form) for bad in batch.damaged}


def write_kept(path, form, keep, to) -> None:
    FORMS[form].write(Source(path, form), Kept(np.array(keep, bool)), to)
