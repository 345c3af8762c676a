"""A task's examples in memory, as columns; and which texts and images a batch is made of. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vlmt_cli.tasks.text import Tokens

Columns = Mapping[str, Any]


class Lists(NamedTuple):
    """N lists of values, one after another."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def of(self, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the values of some lists, and to which of them each belongs."""
        begins, lengths = self.offsets[which], self.offsets[which + 1] - self.offsets[which]
        owner = np.repeat(np.arange(len(which)), lengths)
        return owner, self.values[np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(len(owner))]

    def take(self, which: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Return some lists."""
        return [self.values[self.offsets[row] : self.offsets[row + 1]] for row in which]


def lists_of(column: pa.ChunkedArray | pa.Array, values: Any = None) -> Lists:
    """View a column of lists; ``values`` stand in for its own, which are flat then."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    offsets = array.offsets.to_numpy().astype(np.int64)
    flat = array.flatten().to_numpy(zero_copy_only=False) if values is None else values
    return Lists(flat, offsets - offsets[0])


@dataclass(frozen=True)
class Part:
    """N examples of a split as a task group's ``columns`` takes them.

    Attributes:
        task, split: which.
        table: their rows of the example table: ``example_id``, ``images`` and the group's ``COLUMNS``.
        names, codes: as in ``Examples``.
        answers: the vocabulary of the task's head; empty where it has none.
        neighbours: images and the lists of those that look like them (``features.hard_negatives``); None where hard
            negatives are drawn at random.
        boxed: images whose candidate boxes have features.
    """

    task: str
    split: str
    table: pa.Table
    names: NDArray[np.object_]
    codes: NDArray[np.int32]
    answers: Sequence[str] = ()
    neighbours: pa.Table | None = None
    boxed: Sequence[str] = ()


@dataclass(frozen=True)
class Examples:
    """N examples of one task and split.

    Attributes:
        task, split: which.
        ids: their ids, N strings.
        rows: their rows in the example table, (N,).
        tokens: of all texts of the table.
        names: the distinct image keys, strings.
        codes: the indices of the examples' images in ``names``, one example after another.
        offsets: where each example's images begin in ``codes``, (N + 1,).
        columns: what the task's group keeps beside, by name.
    """

    task: str
    split: str
    ids: pa.Array
    rows: NDArray[np.int64]
    tokens: "Tokens"
    names: pa.StringArray
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    columns: Columns = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> "TextLengths":
        """Tokens of each example's text."""
        return TextLengths(self.rows, self.tokens.offsets)

    def images(self, which: NDArray[np.int64], number: int = 0) -> list[str]:
        """Return the keys of the ``number``-th image of some examples."""
        names: list[str] = self.names.take(self.codes[self.offsets[which] + number]).tolist()
        return names


@dataclass(frozen=True)
class TextLengths:
    """Tokens of N examples' texts, looked up of those that are asked for: all processes have the offsets in common.

    Attributes:
        rows: of the examples, in a table of texts, (N,).
        offsets: where the tokens of each text of the table begin.
    """

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: "NDArray[np.integer] | slice") -> NDArray[np.int32]:
        """Return the tokens of some."""
        rows = self.rows[which]
        return np.subtract(self.offsets[rows + 1], self.offsets[rows], dtype=np.int32, casting="same_kind")


class Inputs(NamedTuple):
    """Which texts and images make up a batch.

    Attributes:
        texts: the examples whose texts they are, (T,).
        images: image keys.
        pairs: which text and which image make up each pair; None where the i-th go together.
        candidates: of each image (C, 4) boxes; None where the task gives none.
    """

    texts: NDArray[np.int64]
    images: list[str]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    candidates: list[NDArray[np.float32]] | None = None
