"""Conceptual Captions: images of the web and the captions beside them, for pre-training.

Train_GCC-training.tsv and Validation_GCC-1.1.0-Validation.tsv, without a header
    a very typical bus station<TAB>http://lh6.ggpht.com/-IvRtNLNcG8o/TpFyrudaT6I/AAAAAAAAM6o/...

From https://ai.google.com/research/ConceptualCaptions/download. 3,318,333 train and 15,840 validation lines; about 3.1
million images could still be downloaded when the paper was written (section 8.2).

Whoever downloads the images names them. Here they are cc:<row> in train and cc:val-<row> in validation, rows counted
from 0; where <file>.images.txt lies beside a file, its lines are the images' ids instead, one for each row, and an
empty line leaves a row out whose image could not be downloaded.

Traps: quotation marks are literal.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.crosswalks import address_links
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import find, read_lines
from vlmt_cli.datasets.tables import RETRIEVAL, Examples, example_table

FILES = {"train": "Train_GCC-training.tsv", "val": "Validation_GCC-1.1.0-Validation.tsv"}
IMAGES = "{}.images.txt"
"""The optional ids of a file's images."""

_PREFIX = {"train": "", "val": "val-"}


def read(raw: Path, options: Options) -> Examples:
    """Read the captions, and the addresses as links: some are photos of Flickr, or NLVR2's."""
    result = Examples()
    for split, name in FILES.items():
        if path := find(raw, name):
            captions, urls = _columns(path)
            rows = pc.binary_join_element_wise(_PREFIX[split], pa.array(np.arange(len(captions))).cast(pa.string()), "")
            ids, named_in = rows, path
            if beside := find(raw, IMAGES.format(name)):
                ids, named_in = _ids(beside, len(captions), path.name), beside
                present = pc.not_equal(ids, "")
                if absent := len(ids) - pc.sum(present).as_py():
                    result.notes[f"captions in {split} without an image, left out"] = absent
                ids, rows, captions, urls = (column.filter(present) for column in (ids, rows, captions, urls))
            images = image_keys("cc", ids, named_in)
            result.splits[split] = example_table(RETRIEVAL, path, example_id=rows, images=images, text=captions)
            result.links = pa.concat_tables([result.links, address_links(images, urls)])
    return result


def _ids(path: Path, count: int, captions: str) -> pa.Array:
    ids = pa.array(read_lines(path), pa.string())
    if len(ids) != count:
        todo = f"give every line of {captions} one, and an empty line where there is no image"
        raise DataError(f"{len(ids)} image ids for {count} captions", where=path, todo=todo)
    return ids


def _columns(path: Path) -> tuple[pa.Array, pa.Array]:
    """Read captions and addresses; an empty address is null."""
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=["caption", "url"]),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter="\t", quote_char=False, double_quote=False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types={"caption": pa.string(), "url": pa.string()}),
        )
    except (pa.ArrowInvalid, OSError) as error:
        _check_lines(path)
        raise DataError(
            f"cannot be read ({str(error).splitlines()[0]})", where=path, todo="download the official file again"
        ) from error
    captions = table["caption"].combine_chunks()
    if pc.any(pc.equal(captions, "")).as_py():  # what pyarrow makes of an empty line
        _check_lines(path)
    urls = table["url"].combine_chunks()
    return captions, pc.if_else(pc.equal(urls, ""), None, urls)


def _check_lines(path: Path) -> None:
    """Raise a DataError that names the first wrong line, which pyarrow, reading in parallel, does not know."""
    for number, line in enumerate(read_lines(path), 1):
        if (tabs := line.count("\t")) != 1 or "\r" in line:
            raise DataError(
                f"{tabs} tabs, not the one between caption and address" if tabs != 1 else "a line break in the line",
                where=f"{path}: line {number}",
                todo="correct that line, or download the official file again",
            )
