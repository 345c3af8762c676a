"""What a kit asks a model: a row a question or expression, with an id that comes back, its image and a prompt."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.analysis.consistency.photos import find_photo, official_name
from vlmt_cli.analysis.consistency.texts import Texts
from vlmt_cli.base.errors import DataError

QUESTION, EXPRESSION = "question", "expression"
PROMPTS = {
    QUESTION: "{}\nAnswer with a word or a short phrase.",
    EXPRESSION: "Where in the image is: {}\nAnswer with its bounding box alone, as [x1, y1, x2, y2].",
}
"""The text itself stands in the first line, by which answers are checked when they come back."""


@dataclass(frozen=True)
class Asked:
    """N rows to ask.

    Attributes:
        pairing: their name in ``pairings.PAIRINGS``.
        table: ``question_id``, ``image`` (the photo's name), ``text`` (the prompt) and ``category``, which of the two.
        photos: the folder that the names lead on from; None where the photos were not there.
        data: the data folder that the pairing's files are in.
        are_given: whether somebody named the folder of photos.
    """

    pairing: str
    table: pa.Table
    photos: Path | None
    data: Path = Path("data")
    are_given: bool = False

    @property
    def shell_photos(self) -> str:
        """The folder of photos as a word of a shell; PHOTOS where it is not known."""
        return shlex.quote(str(self.photos)) if self.photos else "PHOTOS"


@dataclass(frozen=True)
class Export:
    """One form.

    Attributes:
        title: what people call it.
        write: files into a folder.
        readme: how to run them, in Markdown, for what was written and what photos are called.
        answers: where the answers are then, as a word of a shell.
    """

    title: str
    write: Callable[[Path, Asked], None]
    readme: Callable[[Path, Asked], str]
    answers: Callable[[Asked], str]


def ids_of(table: pa.Table) -> pa.Array:
    """Return the id of each question or expression, such as ``refcoco+:141321``: one that no other has."""
    ids = pc.binary_join_element_wise(table["task"], table["example_id"].cast(pa.string()), ":")
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids


def shown_images(texts: Texts) -> pa.Array:
    """Return the image key of all questions, then all expressions; both of an image have the expression's."""
    expressions = texts.expressions
    first = pc.index_in(texts.questions["number"], value_set=expressions["number"].combine_chunks())
    columns = [expressions["image"].take(first), expressions["image"]]
    return pa.concat_arrays([column.combine_chunks() for column in columns])


def asked_of(pairing: str, texts: Texts, photos: Path, are_given: bool, data: Path) -> Asked:
    """Make the rows.

    Args:
        pairing, texts: what is asked.
        photos: the folder of photos; ``SOURCE/NAME`` or ``NAME`` below it.
        are_given: whether somebody named that folder, so that all photos must be in it.
        data: the data folder.

    Raises:
        DataError: it lacks photos.
    """
    sides = [(QUESTION, texts.questions), (EXPRESSION, texts.expressions)]
    images = shown_images(texts).dictionary_encode()
    keys = images.dictionary.to_pylist()
    paths = [find_photo(photos, key) for key in keys]
    if missing := [key for key, path in zip(keys, paths, strict=True) if path is None]:
        if are_given:
            what = f"lacks {len(missing):,} of {len(keys):,} photos, such as {official_name(missing[0])}"
            raise DataError(what, where=photos, todo="give a folder that has them all, or leave --images out")
        names, root = [official_name(key) for key in keys], None
    else:
        root = photos.resolve()
        names = [str(path.relative_to(photos)) for path in paths if path is not None]
    table = pa.table(
        {
            "question_id": pa.concat_arrays([ids_of(table) for _, table in sides]),
            "image": pa.array(names, pa.string()).take(images.indices),
            "text": pa.array(
                [PROMPTS[side].format(text) for side, table in sides for text in table["text"].to_pylist()]
            ),
            "category": pa.array([side for side, table in sides for _ in range(len(table))], pa.string()),
        }
    )
    return Asked(pairing, table, root, data, are_given)
