"""Photos to stores: the same one whatever the batch, the shards, the processes, or how often it was killed."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlmt_cli.base.cluster import read_shard
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.commands.extract_input import photos_in
from vlmt_cli.features.extract import extract
from vlmt_cli.features.extractor import Extractor, network_extractor
from vlmt_cli.features.pixels import WIDTH, pixels_extractor
from vlmt_cli.features.record import Regions, encode
from vlmt_cli.features.shards import Job, merge, meta_of_store, run, shard_of
from vlmt_cli.features.store import FeatureStore

CLUSTERS = np.random.default_rng(0).random((4, WIDTH)).astype(np.float32)
MAKE = partial(pixels_extractor, CLUSTERS)


@pytest.fixture
def files(tmp_path):
    """Twenty drawn pictures."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(20):
        pixels = np.full((64, 80, 3), 230, np.uint8)
        for x, y in rng.integers(0, 60, (3, 2)):
            pixels[y : y + 16, x : x + 12] = rng.integers(0, 200, 3)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        found.append((f"coco:{number}", str(tmp_path / f"{number}.png")))
    return found


def checksum(job):
    return run(job).checksum


def test_batch_order_shards_and_processes_change_nothing(files, tmp_path):
    whole = checksum(Job(files, tmp_path / "a", MAKE, batch=1))
    assert checksum(Job(files[::-1], tmp_path / "b", MAKE, batch=7)) == whole
    assert checksum(Job(files, tmp_path / "c", MAKE, devices=["cpu", "cpu"], batch=3)) == whole
    assert checksum(Job(files, tmp_path / "d", MAKE, workers=1)) == whole
    job = Job(files, tmp_path / "e", MAKE, batch=4)
    for number in (3, 1, 2):
        run(shard_of(job, number, 3))
    assert merge(job.store).checksum == whole
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == list("abcde")


@pytest.mark.parametrize("kind", ["rt_detr", "detr"])
def test_real_photos_through_networks(real_data, tmp_path, kind):
    from features.tiny_networks import save_networks  # not above: what starts processes is imported by them

    torch.set_num_threads(1)
    photos = real_data / "photos"
    files = [(f"coco:{int(path.stem)}", str(path)) for path in sorted((photos / "coco").glob("*.jpg"))]
    files += [(f"nlvr2:{path.stem}", str(path)) for path in sorted((photos / "nlvr2").glob("*.png"))]
    networks = save_networks(tmp_path)
    make = partial(network_extractor, detector=networks[kind], backbone=networks["dinov2"], max_regions=20)
    whole = run(Job(files, tmp_path / "whole", make, batch=4))
    assert (whole.written, whole.images, whole.failed) == (64, 64, {})
    some = files[::4]
    results = [run(Job(some, tmp_path / f"batch{batch}", make, batch=batch)) for batch in (1, 7)]
    job = Job(some, tmp_path / "shards", make)
    for number in (1, 2, 3):
        run(shard_of(job, number, 3))
    merge(job.store)
    assert {one.checksum for one in results} == {meta_of_store(job.store).checksum}
    store, apart = FeatureStore(tmp_path / "whole"), FeatureStore(job.store)
    assert all(encode(apart.read(key)) == encode(store.read(key)) for key, _ in some)
    for _, regions in store.items(verify=True):
        width, height = regions.width, regions.height
        assert (regions.boxes >= 0).all() and (regions.boxes <= [width, height, width, height]).all()
        assert (regions.boxes[:, 2:] - regions.boxes[:, :2] >= 1).all()
        assert 1 <= len(regions.boxes) <= 20 and regions.features.shape[1] == 32
        np.testing.assert_allclose(regions.scores.astype(float).sum(1), 1, atol=0.01)
    store.close()
    apart.close()


def test_goes_on_with_what_is_there_and_takes_new_photos(files, tmp_path):
    first = extract(files[:8], tmp_path / "store", MAKE("cpu"))
    assert (first.written, first.already, first.images) == (8, 0, 8)
    again = extract(files, tmp_path / "store", MAKE("cpu"))
    assert (again.written, again.already, again.images) == (12, 8, 20)
    assert again.checksum == extract(files, tmp_path / "other", MAKE("cpu")).checksum


def test_unreadable_photos_are_named_and_the_others_go_on(files, tmp_path):
    for number, damage in ((3, b""), (11, Path(files[11][1]).read_bytes()[:90]), (12, b"<html>404</html>")):
        Path(files[number][1]).write_bytes(damage)
    Path(files[5][1]).unlink()
    os.mkfifo(files[5][1])  # which would block whoever opens it
    result = extract(files, tmp_path / "store", MAKE("cpu"), batch=6)
    assert sorted(result.failed) == sorted(files[number][1] for number in (3, 5, 11, 12))
    assert result.failed[files[5][1]] == "not a regular file"
    assert (result.written, result.images) == (16, 16)


def test_a_photo_without_its_tail_and_a_tiff_are_photos(tmp_path):
    folder = tmp_path / "vg"
    folder.mkdir()
    picture = Image.effect_noise((64, 48), 60).convert("RGB")
    picture.save(folder / "1.jpg")
    (folder / "1.jpg").write_bytes((folder / "1.jpg").read_bytes()[:-20])
    picture.save(folder / "2.tif")
    photos, failed = photos_in([str(folder)])
    result = extract(photos, tmp_path / "store", MAKE("cpu"))
    assert (result.written, result.failed, failed) == (2, {}, {})


def test_other_features_are_not_mixed_in(files, tmp_path):
    extract(files[:2], tmp_path / "store", MAKE("cpu"))
    with pytest.raises(DataError, match="other features: extractor_hash"):
        extract(files, tmp_path / "store", pixels_extractor(CLUSTERS + 1))


def test_values_that_are_no_numbers_are_named(files, tmp_path):
    def broken(photos, given):
        box = np.array([[0, 0, 1, 1]], np.float32)
        return [Regions(box, np.full((1, 2), np.nan, np.float32), 5, 5), "no box was found"]

    result = extract(files[:2], tmp_path / "store", Extractor("x", "y", 2, 0, lambda image: None, broken))
    assert list(result.failed.values()) == ["features hold values that are NaN or infinite", "no box was found"]


SLOW = """
import sys, time
from vlmt_cli.commands.extract_input import photos_in
from vlmt_cli.features.extract import extract
from vlmt_cli.features import store_writer
from features.test_extract import MAKE
import dataclasses
store_writer._EVERY = 2
extractor = MAKE("cpu")
def slowly(image):
    time.sleep(0.05)
    print("one", flush=True)
    return extractor.prepare(image)
files = [tuple(line.split("=")) for line in sys.argv[2:]]
extract(files, __import__("pathlib").Path(sys.argv[1]), dataclasses.replace(extractor, prepare=slowly), batch=1)
"""


def test_killed_and_started_again(files, tmp_path):
    store = tmp_path / "store"
    arguments = [sys.executable, "-c", SLOW, str(store), *(f"{key}={path}" for key, path in files)]
    places = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as process:
        for _ in range(11):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    result = extract(files, store, MAKE("cpu"))
    assert 0 < result.already < 20 and result.images == 20
    assert result.checksum == extract(files, tmp_path / "other", MAKE("cpu")).checksum


def test_what_processes_left_when_killed_is_taken_over(files, tmp_path):
    job = Job(files, tmp_path / "store", MAKE)
    for number in (1, 2):
        extract(files[number * 4 : number * 4 + 3], tmp_path / "store.processes" / str(number), MAKE("cpu"))
    result = run(job)
    assert (result.already, result.written, result.images) == (6, 14, 20)
    assert not (tmp_path / "store.processes").exists()


def make_broken(device):
    if device == "cpu:0":
        os._exit(1)
    return MAKE(device)


def make_refusing(device):
    raise DataError("cannot be loaded", where="nothing")


def test_a_process_that_dies_is_told_and_loses_nothing(files, tmp_path):
    with pytest.raises(VlmtError, match="a process that extracts died; run it again"):
        run(Job(files, tmp_path / "store", make_broken, devices=["cpu:0", "cpu:1"]))
    assert run(Job(files, tmp_path / "store", MAKE)).images == 20
    began = time.monotonic()
    with pytest.raises(DataError, match="nothing: cannot be loaded"):
        run(Job(files, tmp_path / "other", make_refusing, devices=["cpu:0", "cpu:1"]))
    assert time.monotonic() - began < 60


def test_shards_that_are_missing_or_others_are_not_merged(files, tmp_path):
    job = Job(files, tmp_path / "store", MAKE)
    with pytest.raises(DataError, match="there are no shards of it"):
        merge(job.store)
    for number in (1, 3):
        run(shard_of(job, number, 4))
    with pytest.raises(DataError, match="2 of 4 shards are missing or unfinished: 2, 4; run --shard 2/4"):
        merge(job.store)
    run(shard_of(job, 2, 4))
    other = shard_of(Job(files, tmp_path / "store", partial(pixels_extractor, CLUSTERS + 1)), 4, 4)
    run(other)
    with pytest.raises(DataError, match="holds other features than"):
        merge(job.store)
    for name in ("0/4", "5/4", "4", "a/b", "1/0"):
        with pytest.raises(UsageError, match="NUMBER/OF"):
            read_shard(name)
    assert read_shard("3/64") == (3, 64)


def test_shards_leave_out_what_the_store_has(files, tmp_path):
    job = Job(files, tmp_path / "store", MAKE)
    extract(files[:7], job.store, MAKE("cpu"))
    assert sum(run(shard_of(job, number, 2)).written for number in (1, 2)) == 13
    assert merge(job.store).checksum == run(Job(files, tmp_path / "other", MAKE)).checksum


def test_a_shard_may_be_empty(files, tmp_path):
    job = Job(files[:2], tmp_path / "store", MAKE)
    for number in (1, 2, 3):
        run(shard_of(job, number, 3))
    assert merge(job.store).images == 2
