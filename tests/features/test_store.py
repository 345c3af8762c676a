"""The store: growing, reading into a batch, many processes, refusing what does not belong."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import lmdb
import msgspec
import numpy as np
import pytest
import torch
from features.official import assert_same, images

from vlmt_cli.base.errors import DataError
from vlmt_cli.features import store_writer
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import META, Meta
from vlmt_cli.features.store_writer import StoreWriter

META_32 = Meta(extractor="made", extractor_hash="0", feature_width=32)


def regions_of(image):
    return Regions(image.boxes, image.features, image.width, image.height)


def write(path, made, meta=META_32):
    with StoreWriter(path, meta) as writer:
        for image in made:
            writer.put(f"coco:{image.id}", regions_of(image))
    return writer.meta


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
def test_threads_and_kinds_of_numbers_read_the_same(tmp_path, open_store, dtype):
    made = images(7, most=6)
    write(tmp_path / "s", made)
    keys = [f"coco:{image.id}" for image in made]
    store = open_store(tmp_path / "s")
    read = []
    for threads in (1, 3):
        features, boxes = torch.full((7, 5, 32), 9.0, dtype=dtype), torch.full((7, 5, 4), 9.0)
        read.append((features, boxes, *store.read_into(keys, features, boxes, first=1, threads=threads)))
    for one, other in zip(*read, strict=True):
        assert torch.equal(one, other)
    for row, (image, count) in enumerate(zip(made, read[0][2], strict=True)):
        stored = torch.from_numpy(image.features[:count].astype(np.float16))
        assert torch.equal(read[0][0][row, 1 : 1 + count], stored.to(dtype))


def test_a_store_grows_beyond_its_first_size_and_goes_on(tmp_path, monkeypatch, open_store):
    monkeypatch.setattr(store_writer, "_GROWTH", 1 << 16)
    made = images(300, first=100)
    write(tmp_path / "s", made[:100])
    meta = write(tmp_path / "s", made)
    store = open_store(tmp_path / "s")
    assert len(store) == meta.images == 300 and "coco:100" in store and "coco:1" not in store
    assert store.keys() == sorted(f"coco:{image.id}" for image in made)
    for (key, regions), image in zip(store.items(verify=True), made, strict=True):
        assert key == f"coco:{image.id}"
        assert_same(regions, image)
    assert write(tmp_path / "t", reversed(made)).checksum == meta.checksum


def test_reading_into_a_batch_fills_rows_zeroes_the_rest_and_leaves_room(tmp_path, open_store):
    made = images(4, most=6)
    write(tmp_path / "s", made)
    features, boxes = torch.full((4, 5, 32), 9.0), torch.full((4, 5, 4), 9.0)
    keys = [f"coco:{image.id}" for image in made]
    counts, sizes = open_store(tmp_path / "s").read_into(keys, features, boxes, first=1)
    assert (features[:, 0] == 9).all() and (boxes[:, 0] == 9).all()
    for i, image in enumerate(made):
        n = min(4, len(image.boxes))
        assert counts[i] == n and sizes[i].tolist() == [image.width, image.height]
        np.testing.assert_array_equal(features[i, 1 : 1 + n].numpy(), image.features[:n].astype("f2").astype("f4"))
        np.testing.assert_array_equal(boxes[i, 1 : 1 + n].numpy(), image.boxes[:n])
        assert not features[i, 1 + n :].any() and not boxes[i, 1 + n :].any()


def test_an_image_without_features_is_named(tmp_path, open_store):
    write(tmp_path / "s", images(1))
    with pytest.raises(DataError, match="has no features of coco:5"):
        open_store(tmp_path / "s").read("coco:5")


def _sum(store, keys, queue):
    queue.put(sum(float(store.read(key).features.astype("f4").sum()) for key in keys))


def test_a_forked_child_reads_while_its_parent_does(tmp_path, open_store):
    made = images(20)
    write(tmp_path / "s", made)
    store = open_store(tmp_path / "s")
    store.read("coco:11")
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=_sum, args=(store, store.keys(), queue)) for _ in range(2)]
    for child in children:
        child.start()
    _sum(store, store.keys(), here := context.SimpleQueue())
    found = {queue.get(), queue.get(), here.get()}
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(found) == 1


def test_another_process_reads_too(tmp_path, open_store):
    write(tmp_path / "s", images(3))
    store = open_store(tmp_path / "s")
    code = (
        f"from vlmt_cli.features.store import FeatureStore; print(len(list(FeatureStore({str(store.path)!r}).items())))"
    )
    command = [sys.executable, "-c", code, str(store.path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"
    assert len(list(store.items(verify=True))) == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"extractor": "other"}, "extractor 'made', not 'other'"), ({"feature_width": 16}, "feature_width 32, not 16")],
)
def test_other_features_do_not_get_into_a_store(tmp_path, changed, said):
    write(tmp_path / "s", images(1))
    with pytest.raises(DataError, match=said):
        StoreWriter(tmp_path / "s", msgspec.structs.replace(META_32, **changed))
    with StoreWriter(tmp_path / "s", META_32) as writer, pytest.raises(DataError, match="31 features and 0 class"):
        writer.put("coco:1", Regions(np.zeros((1, 4), "f4"), np.zeros((1, 31), "f4"), 5, 5))


def test_a_store_of_another_version_is_refused(tmp_path, open_store):
    write(tmp_path / "s", images(1))
    environment = lmdb.open(str(tmp_path / "s"))
    with environment.begin(write=True) as transaction:
        meta = msgspec.json.decode(transaction.get(META))
        transaction.put(META, msgspec.json.encode(meta | {"schema": 9}))
    environment.close()
    with pytest.raises(DataError, match="made by a newer vlmt: it has version 9, and this vlmt reads 1; install"):
        open_store(tmp_path / "s")


def test_a_path_without_a_store_says_so(tmp_path, open_store):
    with pytest.raises(DataError, match="there is no feature store"):
        open_store(tmp_path)


def test_a_store_is_there_once_it_says_what_it_is(tmp_path, open_store, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as change:
        change.setattr(store_writer.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            StoreWriter(tmp_path / "s", META_32)
    with pytest.raises(DataError, match="there is no feature store"):
        open_store(tmp_path / "s")
    assert write(tmp_path / "s", images(3)).images == 3
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["data.mdb", "lock.mdb"]


def test_a_full_disk_is_one_line_and_leaves_what_was_committed(tmp_path, open_store):
    """A limit on file sizes stands for a full disk: the kernel refuses the write in the same place."""
    code = f"""
import resource, signal, sys
sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
from features.official import images
from features.test_store import META_32, write
from vlmt_cli.base.errors import VlmtError
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    write(Path({str(tmp_path / "s")!r}), images(2000))
except VlmtError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout and "it goes on where it was" in done.stdout
    made = images(2000)
    left = open_store(tmp_path / "s")
    assert 0 < len(list(left.items(verify=True))) < 2000 and left.meta.checksum == ""
    left.close()
    assert write(tmp_path / "s", made).checksum == write(tmp_path / "t", made).checksum
