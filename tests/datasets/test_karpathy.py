"""COCO and Flickr30k, Karpathy split."""

import pyarrow.compute as pc
from handmade import official, read, rows, write


def test_coco_keeps_file_order_and_counts_restval_as_train(tmp_path):
    examples = read("coco", write(tmp_path, official("coco")))
    assert list(examples.splits) == ["train", "test"]
    assert [row["example_id"] for row in rows(examples, "train")] == ["5", "6"]
    assert rows(examples, "test") == [
        {"example_id": "7", "images": ["coco:391895"], "text": "A dog 7."},
        {"example_id": "4", "images": ["coco:391895"], "text": "A dog 4."},
    ]


def test_a_flickr30k_image_is_named_by_its_file(tmp_path):
    examples = read("flickr30k", write(tmp_path, official("flickr30k")))
    assert rows(examples, "val") == [{"example_id": "0", "images": ["flickr30k:1000092795"], "text": "A dog 0."}]


def test_the_real_flickr30k(real_data):
    splits = read("flickr30k", real_data / "raw" / "flickr30k").splits
    images = {name: pc.count_distinct(pc.list_flatten(table["images"])).as_py() for name, table in splits.items()}
    assert images == {"train": 29_000, "val": 1_014, "test": 1_000}
    assert len(splits["train"]) == 145_000
