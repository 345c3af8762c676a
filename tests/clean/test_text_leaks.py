"""The same text in a test set and in another dataset's training set."""

import numpy as np
import pyarrow as pa

from vlmt_cli.base.files import write_parquet
from vlmt_cli.clean.splits import read_split
from vlmt_cli.clean.text_leaks import text_leaks


def test_texts_are_compared_without_case_and_end_marks_and_premises_count(tmp_path):
    def split(dataset, name, texts, premises=None):
        n = len(texts)
        columns = {"example_id": [str(i) for i in range(n)], "images": [["coco:1"]] * n, "text": texts}
        if premises:
            columns["premise"] = pa.array(premises, pa.string())
        path = tmp_path / dataset / f"{name}.parquet"
        write_parquet(path, pa.table(columns))
        return read_split(dataset, name, path)

    splits = [
        split("coco", "test", ["A man rides a horse.", "Two dogs", "two dogs ", "A cat"]),
        split("snli_ve", "train", ["A man sleeps", "x"], ["a man rides a horse", None]),
        split("flickr30k", "train", ["TWO DOGS!", "a cat"]),
        split("vqa", "val", ["A cat"]),
        split("coco", "train", ["A cat"]),
    ]
    kept = [np.ones(len(one), bool) for one in splits]
    kept[2][1] = False
    leaks = text_leaks(splits, kept)
    assert {name: (share.hit, share.of) for name, share in leaks["coco"].items()} == {
        "snli_ve": (1, 3),
        "flickr30k": (1, 3),
    }
