"""``vlmt scan`` in one process, in several, in shards, as jobs, on Daft and on Ray: the same files bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.running import run

ROOT = Path(__file__).parents[2]
IMAGES = ["coco/train2017/000000318219.jpg", "vg/VG_100K_2/107933.jpg", "elsewhere/1.jpg", "sam/images/sa_1.jpg"]


def arguments(folder, name):
    (folder / name).mkdir(exist_ok=True)
    return ["scan", f"{folder}/pool", "--data", f"{folder}/{name}", "--against", "refcoco,pope"]


def written(folder, name):
    return ["--write", f"{folder}/{name}/written"]


def files(folder, name):
    """What a scan wrote, by path."""
    paths = [path for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder / name)): path.read_bytes() for path in paths if path.name != ".lock"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways")
    (folder / "pool").mkdir()
    for number in range(3):
        rows = [{"id": f"{number}-{row}", "image": IMAGES[(row + number) % 4], "conversations": []} for row in range(9)]
        (folder / "pool" / f"{number}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows) + "{}\n")
    pq.write_table(pa.table({"image": IMAGES * 5}), folder / "pool" / "rows.parquet", row_group_size=7)
    assert run(*arguments(folder, "plain"), *written(folder, "plain")) == 0
    hits = pq.read_table(folder / "plain" / "scans" / "pool" / "hits.parquet")
    assert len(hits) == 12 and len(files(folder, "plain")) == 10
    return folder


@pytest.mark.parametrize(
    "way",
    [("--workers", "2"), ("--launcher", "local", "--shards", "2"), ("--engine", "daft")],
    ids="workers jobs daft".split(),
)
def test_every_way_writes_the_same(pool, vlmt, way, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code, _, err = vlmt(*arguments(pool, way[1]), *written(pool, way[1]), *way)
    assert code == 0, err
    assert files(pool, way[1]) == files(pool, "plain")


def test_shards_are_merged_into_the_same(pool, vlmt):
    for number in (2, 1):
        code, _, err = vlmt(*arguments(pool, "shards"), "--shard", f"{number}/2")
        assert code == 0 and f"Shard {number} of 2, 2 parts of 4; when all are there: the same with --merge" in err
    assert vlmt(*arguments(pool, "shards"), *written(pool, "shards"), "--merge")[0] == 0
    assert files(pool, "shards") == files(pool, "plain")


def test_ray_writes_the_same(pool):
    command = [*arguments(pool, "ray"), *written(pool, "ray"), "--engine", "daft"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])}
    script = [sys.executable, ROOT / "tests" / "commands" / "on_ray.py", json.dumps([command])]
    done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"codes": [0], "nodes": 2}, done.stderr
    assert files(pool, "ray") == files(pool, "plain")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--engine", "spark"), "there is no engine 'spark'"),
        (("--ray", "auto"), "--ray goes with --engine daft"),
        (("--engine", "daft", "--ray", "auto", "--workers", "2"), "leave --workers out"),
        (("--shard", "1/2", "--merge"), "exclude each other"),
        (("--shard", "1/2", "--write", "x"), "give --write with --merge"),
        (("--shard", "3/2"), "NUMBER/OF"),
    ],
)
def test_what_does_not_go_together_is_refused(pool, vlmt, options, reason):
    code, _, err = vlmt(*arguments(pool, "refused"), *options)
    assert code == 2 and reason in err and err.count("\n") == 1
