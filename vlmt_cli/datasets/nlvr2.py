"""NLVR2: is a sentence true of a pair of photographs?

train.json (dev, test1 and test2 alike), JSON lines whatever the name says
    {"identifier": "dev-850-0-0", "sentence": "The right image shows a curving walkway ...", "label": "False",
     "left_url": "https://...", "right_url": "https://...", "synset": "beer bottle", "query": "...", "writer": "61",
     "validation": {"61": "False"}, "extra_validations": {...}}

From https://github.com/lil-lab/nlvr. 86,373 train, 6,982 dev and 6,967 test pairs; 8,056 test images (tables 7 and 8).
An image's name is the identifier without its last number, and -img0 (left) or -img1 (right).

Traps: labels are the strings "True" and "False"; the same photograph may have several names, and 48 addresses are in
both dev and test1, so that identity by address finds leaks that names hide; train may lack the addresses; the paper's
test set is test1, which the authors call test.json; ``dev`` is called val here. test2, hidden at first, is public by
now: 91 dev examples show photos of it, so that it joins where its file is there.
"""

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.keys import image_keys
from vlmt_cli.base.words import quoted
from vlmt_cli.datasets.crosswalks import address_links
from vlmt_cli.datasets.decoding import CORRECT
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import find, read_json_lines
from vlmt_cli.datasets.tables import VERIFICATION, Examples, check_labels, example_table, lists

FILES = {"train": ("train.json",), "val": ("dev.json",), "test": ("test1.json", "test.json")}
MORE_TESTS = {"test2": "test2.json"}
LABELS = ("False", "True")


class Pair(msgspec.Struct, gc=False):
    identifier: str
    sentence: str
    label: Literal["False", "True"]
    left_url: str | None = None
    right_url: str | None = None


def read(raw: Path, options: Options) -> Examples:
    """Read NLVR2 and the addresses of its photographs."""
    result = Examples()
    for split, names in (FILES | {split: (name,) for split, name in MORE_TESTS.items()}).items():
        if path := find(raw, *names):
            pairs = read_json_lines(path, Pair, result.notes, _once)
            images = _images(pairs, path)
            result.splits[split] = example_table(
                VERIFICATION,
                path,
                example_id=[pair.identifier for pair in pairs],
                images=lists(np.full(len(pairs), 2), images),
                text=[pair.sentence for pair in pairs],
                label=pc.index_in(pa.array([pair.label for pair in pairs], pa.string()), pa.array(LABELS)),
                premise=pa.nulls(len(pairs), pa.string()),
            )
            urls = [url or None for pair in pairs for url in (pair.left_url, pair.right_url)]
            result.links = pa.concat_tables([result.links, address_links(images, pa.array(urls, pa.string()))])
    result.links = result.links.group_by(LINKS.names, use_threads=False).aggregate([])
    return result


def _once(pairs: list[Pair]) -> dict[str, int]:
    return dict.fromkeys(("identifier", "sentence", "label", "left_url", "right_url"), len(pairs))


def _images(pairs: list[Pair], path: Path) -> pa.Array:
    """Name left and right image of each of N pairs, one after the other: 2N keys."""
    identifiers = pa.array([pair.identifier for pair in pairs], pa.string())
    stems = pc.struct_field(pc.extract_regex(identifiers, r"^(?P<stem>.+)-\d+$"), "stem")
    if stems.null_count:
        number = stems.is_null().index(True).as_py()
        what = f"{quoted(pairs[number].identifier)} does not end in a number"
        raise DataError(what, where=f"{path}: line {number + 1}", todo=CORRECT)
    left, right = (image_keys("nlvr2", pc.binary_join_element_wise(stems, f"img{side}", "-"), path) for side in (0, 1))
    in_turn = np.arange(2 * len(pairs)).reshape(2, -1).T.ravel()
    return pa.concat_arrays([left, right]).take(pa.array(in_turn))


def submission(ids: list[str], labels: pa.Array, path: Path) -> bytes:
    """Encode labels as NLVR2's eval/metrics.py takes them: a line a pair without a header, ``test1-0-0-0,True``.

    Raises:
        DataError: an identifier would break the line, or a label is neither True nor False.
    """
    check_labels(labels, LABELS, path)
    for name in ids:
        if not name or set(name) & set(',"\r\n'):
            todo = "take the identifiers from NLVR2's own file"
            raise DataError(f"{quoted(name)} is not an identifier of NLVR2", where=path, todo=todo)
    return "".join(f"{name},{label}\n" for name, label in zip(ids, labels.to_pylist(), strict=True)).encode()
