"""SNLI-VE: does a Flickr30k image entail a sentence, contradict it, or neither?

snli_ve_train.jsonl (dev and test alike), a pair a line
    {"Flikr30kID": "3416050480.jpg", "captionID": "3416050480.jpg#4", "pairID": "3416050480.jpg#4r1c",
     "gold_label": "contradiction", "annotator_labels": ["contradiction", ...],
     "sentence1": "...", "sentence2": "...", "sentence1_parse": "...", ...}

From https://github.com/necla-ml/SNLI-VE. 529,527 train, 17,858 dev and 17,901 test pairs; 30,783 train and dev and
1,000 test images (tables 7 and 8). The image is the premise; its caption, sentence1, is kept beside it and not shown
to a model. The label's place in ``LABELS`` is the authors' number for it.

Traps: the image field is spelled Flikr30kID, with ".jpg", in one release and Flickr30K_ID, without, in another,
and people repair it to Flickr30kID; the
gold label "-" means that the annotators had no majority, and becomes -1; ``dev`` is called val here.
"""

from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.decoding import CORRECT
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.pieces import read_line_columns
from vlmt_cli.datasets.source import find
from vlmt_cli.datasets.tables import VERIFICATION, Examples, check_labels, example_table

FILE = "snli_ve_{}.jsonl"
SPLITS = {"train": "train", "val": "dev", "test": "test"}
LABELS = ("contradiction", "neutral", "entailment")


IMAGE_FIELDS = ("Flikr30kID", "Flickr30K_ID", "Flickr30kID")


class Pair(msgspec.Struct, gc=False):
    pairID: str
    gold_label: Literal["contradiction", "neutral", "entailment", "-"]
    sentence2: str
    sentence1: str = ""
    Flikr30kID: str | None = None
    Flickr30K_ID: str | None = None
    Flickr30kID: str | None = None


def read(raw: Path, options: Options) -> Examples:
    """Read SNLI-VE; pairs without a majority label are kept, and counted in the notes."""
    result = Examples()
    for split, name in SPLITS.items():
        if path := find(raw, FILE.format(name)):
            result.splits[split] = table = _read(path, result.notes)
            if undecided := pc.sum(pc.less(table["label"], 0)).as_py():
                result.notes[f"gold label '-' in {split}"] = undecided
    return result


def _read(path: Path, notes: dict[str, int]) -> pa.Table:
    read = read_line_columns(path, Pair, _columns, notes, _once)
    if read["image"].null_count:
        line = read["image"].is_null().index(True).as_py() + 1
        what = f"the pair has neither {' nor '.join(IMAGE_FIELDS)}"
        raise DataError(what, where=f"{path}: line {line}", todo=CORRECT)
    images = pc.replace_substring_regex(read["image"], r"\.jpg$", "")
    return example_table(
        VERIFICATION,
        path,
        example_id=read["id"],
        images=image_keys("flickr30k", images, path),
        text=read["text"],
        label=pc.index_in(read["gold"], pa.array(LABELS)).fill_null(-1),
        premise=read["premise"],
    )


def _columns(pairs: list[Pair]) -> dict[str, pa.Array]:
    images = [pair.Flikr30kID or pair.Flickr30K_ID or pair.Flickr30kID for pair in pairs]
    return {
        "image": pa.array(images, pa.string()),
        "id": pa.array([pair.pairID for pair in pairs], pa.string()),
        "gold": pa.array([pair.gold_label for pair in pairs], pa.string()),
        "text": pa.array([pair.sentence2 for pair in pairs], pa.string()),
        "premise": pa.array([pair.sentence1 or None for pair in pairs], pa.string()),
    }


def _once(pairs: list[Pair]) -> dict[str, int]:
    return dict.fromkeys(("pairID", "gold_label", "sentence2"), len(pairs))


def submission(ids: list[str], labels: pa.Array, path: Path) -> bytes:
    """Encode labels by the dataset's own names, a JSON line a pair: ``{"pairID": "341.jpg#4r1c", "label": "neutral"}``.

    The test labels are public, so that no server asks for this file.

    Raises:
        DataError: a label is not one of the three.
    """
    check_labels(labels, LABELS, path)
    rows = zip(ids, labels.to_pylist(), strict=True)
    return msgspec.json.Encoder().encode_lines([{"pairID": name, "label": label} for name, label in rows])
