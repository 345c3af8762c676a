"""Hashes of examples: equal content however it lies in memory, other content never."""

import numpy as np
import pyarrow as pa
import pytest
from handmade_split import write_split
from hypothesis import given
from hypothesis import strategies as st

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import hash_examples, hash_rows, kept_rows, verify_examples, verify_split

LISTS = st.lists(st.tuples(st.text(max_size=3), st.lists(st.text(max_size=3), max_size=3)), max_size=6)


def table(rows):
    schema = pa.schema([("example_id", pa.string()), ("images", pa.list_(pa.string()))])
    return pa.table([[row[0] for row in rows], [row[1] for row in rows]], schema=schema)


def hashed(examples):
    return hash_examples(examples["example_id"], examples["images"])


@given(LISTS, LISTS, st.integers(0, 6))
def test_only_content_counts(one, other, cut):
    whole = table(one)
    assert hashed(pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])) == hashed(whole)
    assert hashed(pa.concat_tables([table([("x", ["y"])]), whole]).slice(1)) == hashed(whole)
    assert (hashed(table(other)) == hashed(whole)) == (one == other)


def test_rows_count_in_any_order_and_each_with_its_id():
    rows, ids = np.array([3, 1, 2]), pa.array(["c", "a", "b"])
    assert hash_rows(rows, ids) == hash_rows(np.sort(rows), pa.array(["a", "b", "c"]))
    assert hash_rows(rows, ids) != hash_rows(rows, pa.array(["a", "c", "b"]))
    assert hash_rows(rows, ids) != hash_rows(np.array([3, 1, 4]), ids)


def test_rows_come_back_and_other_examples_do_not(tmp_path):
    shown = {("vqa", "train"): [["coco:1"], ["coco:2"], ["coco:3"]], ("gqa", "val"): [["vg:1"]]}
    write_split(tmp_path, shown, {("vqa", "train"): [0, 2], ("gqa", "val"): []})
    verify_split(tmp_path)
    ids, images = pa.array(["0", "1", "2"]), pa.array(shown["vqa", "train"])
    assert kept_rows(tmp_path, "vqa", "train", ids, images).tolist() == [0, 2]
    assert kept_rows(tmp_path, "gqa", "val", pa.array(["0"]), pa.array([["vg:1"]])).tolist() == []
    verify_examples(tmp_path, "coco", "test", ids, images)  # no part of the split
    with pytest.raises(DataError, match="made of other examples of vqa train"):
        kept_rows(tmp_path, "vqa", "train", ids, images.take(pa.array([1, 0, 2])))
    (tmp_path / "examples" / "gqa" / "manifest.json").unlink()
    with pytest.raises(DataError, match="made of other examples of gqa val"):
        kept_rows(tmp_path, "vqa", "train", ids, images)


def test_a_split_that_was_killed_between_the_two_renames_is_there(tmp_path):
    write_split(tmp_path, {("vqa", "train"): [["coco:1"], ["coco:2"]]}, {("vqa", "train"): [0]})
    (tmp_path / "clean").rename(tmp_path / ".clean.0123abcd.old")
    ids, images = pa.array(["0", "1"]), pa.array([["coco:2"], ["coco:1"]])
    with pytest.raises(DataError, match="made of other examples of vqa train"):  # and not: there is no split
        verify_examples(tmp_path, "vqa", "train", ids, images)
    assert (tmp_path / "clean").is_dir() and not list(tmp_path.glob(".clean*"))
