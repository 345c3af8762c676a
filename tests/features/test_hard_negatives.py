"""The nearest images, against all distances computed one by one; and which images take part."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from features.official import images
from handmade_split import write_split

from vlmt_cli.base.errors import DataError
from vlmt_cli.features import hard_negatives
from vlmt_cli.features.hard_negatives import nearest, write_hard_negatives
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import Meta
from vlmt_cli.features.store_writer import StoreWriter


def brute_force(means, k):
    distances = np.linalg.norm(means[:, None].astype("f8") - means[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("n", [2, 7, 150])
def test_nearest_finds_what_all_distances_give(n, monkeypatch):
    monkeypatch.setattr(hard_negatives, "_CHUNK", 64)
    means = np.random.default_rng(n).normal(size=(n, 16)).astype("f4") + 100  # far from the origin: rounding counts
    found = nearest(torch.from_numpy(means), 20)
    assert torch.equal(found, nearest(torch.from_numpy(means), 20))
    np.testing.assert_array_equal(found, brute_force(means, min(20, n - 1)))


@pytest.fixture
def world(tmp_path, open_store):
    """Features of images 11 to 30; of the train examples of 11 to 32, cleaning kept those of 13 to 32."""
    made = images(20)
    with StoreWriter(tmp_path / "s", Meta(extractor="X", extractor_hash="0", feature_width=32)) as writer:
        for image in made:
            writer.put(f"coco:{image.id}", Regions(image.boxes, image.features, image.width, image.height))
    keys = [f"coco:{id}" for id in range(11, 33) for _ in range(2)]
    shown = {("coco", "train"): [[key] for key in keys], ("vqa", "train"): [["coco:1"]]}
    write_split(tmp_path, shown, {("coco", "train"): range(4, len(keys)), ("vqa", "train"): [0]})
    return tmp_path, open_store(tmp_path / "s"), made


def test_only_cleaned_train_images_take_part(world):
    data, store, made = world
    with pytest.raises(DataError, match="2 of 20 train images of coco lack features"):
        write_hard_negatives(store, data, "coco", 5)
    result = write_hard_negatives(store, data, "coco", 5, partial=True)
    assert (result.images, result.with_features) == (20, 18)
    table = pq.read_table(result.path)
    assert table.schema.metadata[b"features"] == store.meta.checksum.encode()
    kept = made[2:]
    means = np.stack([image.features.astype("f2").astype("f4").mean(0) for image in kept])
    names = [f"coco:{image.id}" for image in kept]
    expected = {name: [names[j] for j in row] for name, row in zip(names, brute_force(means, 5), strict=True)}
    assert dict(zip(*table.to_pydict().values(), strict=True)) == expected


def test_without_a_clean_split_it_says_what_to_do(world, tmp_path):
    data, store, _ = world
    with pytest.raises(DataError, match="no train images of flickr30k"):
        write_hard_negatives(store, data, "flickr30k")
    (data / "clean" / "keep.parquet").unlink()
    with pytest.raises(DataError, match="make one with vlmt clean"):
        write_hard_negatives(store, data, "coco")
