"""Conceptual Captions: images of the web and the captions beside them, for pre-training.

Train_GCC-training.tsv and Validation_GCC-1.1.0-Validation.tsv, without a header
    a very typical bus station<TAB>http://lh6.ggpht.com/-IvRtNLNcG8o/TpFyrudaT6I/AAAAAAAAM6o/...

From https://ai.google.com/research/ConceptualCaptions/download. 3,318,333 train and 15,840 validation lines; about 3.1
million images could still be downloaded when the paper was written (section 8.2).

Whoever downloads the images names them. Here they are cc:<row> in train and cc:val-<row> in validation, rows counted
from 0; where <file>.images.txt lies beside a file, its lines are the images' ids instead, one for each row, and an
empty line leaves a row out whose image could not be downloaded.

Traps: quotation marks are literal; some put a header row on top, which is skipped and counts for no row.
"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable, quoted
from vlmt_cli.datasets.crosswalks import address_links
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import check_records, find, read_lines
from vlmt_cli.datasets.tables import RETRIEVAL, Examples, example_table, note

FILES = {"train": "Train_GCC-training.tsv", "val": "Validation_GCC-1.1.0-Validation.tsv"}
IMAGES = "{}.images.txt"
"""The optional ids of a file's images."""

_COLUMN_NAME = re.compile(r"[\"']?[A-Za-z][A-Za-z0-9_ -]{0,30}[\"']?")
_PREFIX = {"train": "", "val": "val-"}


def read(raw: Path, options: Options) -> Examples:
    """Read the captions, and the addresses as links: some are photos of Flickr, or NLVR2's."""
    result = Examples()
    for split, name in FILES.items():
        if path := find(raw, name):
            captions, urls = _columns(path)
            if has_header := _is_header(captions, urls):
                note(result.notes, f"header row in {split}, skipped: {quoted(captions[0])}", 1)
                captions, urls = captions[1:], urls[1:]
            check_records(path, captions[:1].to_pylist())
            _check_order(path, captions, urls)
            rows = pc.binary_join_element_wise(_PREFIX[split], pa.array(np.arange(len(captions))).cast(pa.string()), "")
            ids, named_in = rows, path
            if beside := find(raw, IMAGES.format(name)):
                ids, named_in = _ids(beside, len(captions), path.name, has_header), beside
                present = pc.not_equal(ids, "")
                if absent := len(ids) - pc.sum(present).as_py():
                    result.notes[f"captions in {split} without an image, left out"] = absent
                ids, rows, captions, urls = (column.filter(present) for column in (ids, rows, captions, urls))
            images = image_keys("cc", ids, named_in)
            result.splits[split] = example_table(RETRIEVAL, path, example_id=rows, images=images, text=captions)
            result.links = pa.concat_tables([result.links, address_links(images, urls)])
    return result


def _is_header(captions: pa.Array, urls: pa.Array) -> bool:
    """Whether the first row names the columns: two words, where an address would have a colon or a slash."""
    first = captions[:1].to_pylist() + urls[:1].to_pylist()
    return len(first) == 2 and all(name and _COLUMN_NAME.fullmatch(name) for name in first)


def _check_order(path: Path, captions: pa.Array, urls: pa.Array) -> None:
    """Raise a DataError where addresses stand before captions, as in tables that people make."""
    if pc.all(pc.match_substring_regex(captions[:3], "^https?://"), min_count=1).as_py():
        todo = "write captions first, as the official file has them"
        raise DataError("addresses stand before the captions", where=f"{path}: line 1", todo=todo)


def _ids(path: Path, count: int, captions: str, has_header: bool) -> pa.Array:
    """Read one id a caption; where the captions have a header row, the first line may stand beside it."""
    ids = pa.array(read_lines(path), pa.string())
    if has_header and len(ids) == count + 1:
        ids = ids[1:]
    if len(ids) != count:
        todo = f"give every line of {captions} one, and an empty line where there is no image"
        raise DataError(f"{len(ids)} image ids for {count} captions", where=path, todo=todo)
    return ids


def _columns(path: Path) -> tuple[pa.Array, pa.Array]:
    """Read captions and addresses; an empty address is null."""
    try:
        with open_packed(path) as file:
            table = pyarrow.csv.read_csv(
                file if path.suffix == ".gz" else path,
                read_options=pyarrow.csv.ReadOptions(column_names=["caption", "url"]),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter="\t", quote_char=False, double_quote=False, ignore_empty_lines=False
                ),
                convert_options=pyarrow.csv.ConvertOptions(column_types={"caption": pa.string(), "url": pa.string()}),
            )
    except (pa.ArrowInvalid, OSError) as error:
        _check_lines(path)
        raise DataError(
            f"cannot be read ({printable(error)})", where=path, todo="download the official file again"
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
