"""What a reader of predictions gives: a row a prediction, and all that the file says of which question it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.evaluation.answers.choices import options_of
from vlmt_cli.evaluation.answers.records import Record, four_numbers, refer_ids, strings


@dataclass(frozen=True)
class Predicted:
    """N predictions as a file has them; what it does not say is None.

    Attributes:
        path: the file.
        form: its key in ``forms.FORMS``.
        answers: N strings, what was answered; null where nothing was.
        ids: N ids of questions, sentences, pairs or annotations.
        refer_ids: N ids of the refer toolkit, by kind (``sent_id``, ``ref_id``, ``ann_id``), where a field says it.
        rows: N row numbers in the benchmark's released file, from 0.
        texts: N questions or expressions, with whatever prompt stands around them.
        images: N names of images.
        categories: of N questions.
        boxes: (N, 4), where boxes are not in the answers' text; NaN for none.
        convention: of all boxes in the file, where its form says it: ``pixels:xyxy``.
        targets: N right answers, as the file has them.
        target_boxes: (N, 4) right boxes, corners, in the unit that ``sizes`` is in.
        options: of N questions what they let choose from, as ``choices.options_of`` makes it.
        sizes: (N, 2) width and height of the images, in pixels; 1 where boxes are shares of them.
        notes: what is odd about the file, in sentences.
    """

    path: Path
    form: str
    answers: pa.Array
    ids: pa.Array | None = None
    rows: NDArray[np.int64] | None = None
    texts: pa.Array | None = None
    images: pa.Array | None = None
    categories: pa.Array | None = None
    boxes: NDArray[np.float64] | None = None
    convention: str | None = None
    targets: pa.Array | None = None
    target_boxes: NDArray[np.float64] | None = None
    options: pa.Array | None = None
    sizes: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    refer_ids: Mapping[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def has_targets(self) -> bool:
        """Whether the file itself says what is right."""
        return self.targets is not None or self.target_boxes is not None


@dataclass(frozen=True)
class Form:
    """One form of predictions.

    Args:
        title: what people call it.
        is_form: whether a file is of this form, by its name and its first record.
        read: all of it. Raises DataError with file and record.
    """

    title: str
    is_form: Callable[[Path, Record], bool]
    read: Callable[[Path], Predicted]


def gather(
    path: Path,
    form: str,
    records: Sequence[Record],
    fields: Mapping[str, Sequence[str]],
    **more: Any,
) -> Predicted:
    """Make columns of records: for each column the first of some fields that any record has.

    Args:
        path, form: of the result.
        records: N.
        fields: by column of ``Predicted`` (``answers``, ``ids``, ``texts``, ``images``, ``categories``, ``targets``,
            ``boxes``, ``target_boxes``) the names that its field goes by.
        more: columns that were made otherwise.
    """
    columns: dict[str, Any] = {}
    for column, names in fields.items():
        made = four_numbers(records, names) if column in ("boxes", "target_boxes") else strings(records, names)
        if made is not None:
            columns[column] = made
    columns.setdefault("answers", pa.nulls(len(records), pa.string()))
    columns["options"] = options_of(records)
    columns["refer_ids"] = refer_ids(records)
    return Predicted(path, form, **{**columns, **more})
