"""What runs with the light core alone, and what is said where the extra ``train`` is missing."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlmt_cli.app import TRAIN_EXTRA

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNS = [
    # (part of what stdout or stderr says, command)
    ("None is left among", "clean --replace"),
    ("", "clean --check"),
    ("", "clean --dry-run --json --datasets vqa,coco"),
    ("flickr30k", "data status"),
    ("examples", "data show vqa -n 1"),
    ("examples", "data show refcoco val -n 1"),
    ("VQA", "analyze overlap --datasets vqa,coco"),
    ("RefCOCOg umd test", "index"),
    ("refcoco-testB", "index add all --val --to index.parquet"),
    ("refcoco-test", "scan mix.jsonl names.parquet --write clean --croissant"),
    ("No record shows a test image", "scan clean --check"),
    ("mixture", "clean --mixture mix=mix.jsonl --to both"),
    ("100.00", "evaluate --predictions boxes.json --benchmark refcoco:testA --boxes pixels --trained-on vqa"),
    ("expressions about", "vgc --export jsonl --to asked"),
    ("MT-VGC, answered at", "vgc --predictions answers.jsonl --boxes pixels"),
    ("clean", "--help"),
]
REFUSED = [
    ("vlmt demo needs torch: pip install 'vlmt[train]'", "demo --folder new"),
    ("vlmt evaluate needs torch: pip install 'vlmt[train]'", "evaluate --model run"),
    ("vlmt predict needs torch: pip install 'vlmt[train]'", "predict coco:9 --model run --task vqa --text what"),
    ("vlmt train needs huggingface_hub: pip install 'vlmt[train]'", "train"),
    ("vlmt extract needs torch: pip install 'vlmt[train]'", "extract photos --extractor pixels"),
    ("vlmt doctor needs lmdb: pip install 'vlmt[train]'", "doctor data/features/store"),
    ("vlmt data show needs", "data show vqa --masking"),
    ("vlmt vgc needs", "vgc --model run"),
    ("vlmt scan needs torch: pip install 'vlmt[train]'", "scan names.parquet --images --embed sscd.pt"),
]


def run_light(folder, commands):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]), "VLMT_DATA": "data"}
    arguments = json.dumps([shlex.split(command) for command in commands])
    light = [sys.executable, ROOT / "tests" / "commands" / "light.py", arguments]
    done = subprocess.run(light, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("light")
    for name in ("raw", "examples", "clean"):
        shutil.copytree(world / name, folder / "data" / name)
    (folder / "data" / "features" / "store").mkdir(parents=True)
    (folder / "data" / "features" / "store" / "data.mdb").write_bytes(b"")
    for name in ("run", "photos"):
        (folder / name).mkdir()
    Image.new("RGB", (64, 64)).save(folder / "photos" / "COCO_train2014_000000000009.jpg")
    (folder / "run" / "config.json").write_text("{}")
    records = [{"image": "vg/VG_100K_2/107933.jpg", "conversations": []}, {"conversations": []}]
    (folder / "mix.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    coco = [f"coco/train2014/COCO_train2014_{number:012}.jpg" for number in (410707, 9)]
    images = pa.table({"image": [*coco, "a.jpg"]})
    pq.write_table(images, folder / "names.parquet")
    rows = pq.read_table(world / "examples" / "refcoco" / "testA.parquet").to_pylist()
    boxes = [{"sent_id": int(row["example_id"]), "box": row["box"]} for row in rows]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    said = [{"question_id": f"refcoco:{box['sent_id']}", "answer": str(box["box"])} for box in boxes]
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in said))
    commands = [command for _, command in [*RUNS, *REFUSED]]
    return dict(zip(commands, run_light(folder, commands), strict=True))


@pytest.mark.parametrize(("said", "command"), RUNS)
def test_the_core_is_enough(results, said, command):
    code, err, out = results[command]
    assert code == 0 and said in out + err, err


@pytest.mark.parametrize(("said", "command"), REFUSED)
def test_a_command_names_the_extra_that_it_needs(results, said, command):
    code, err, _ = results[command]
    assert code == 2 and said in err and err.count("\n") == 1, err


def test_the_extra_train_is_what_the_error_means():
    names = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in PROJECT["optional-dependencies"]["train"]}
    assert names == TRAIN_EXTRA
    assert not names & {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in PROJECT["dependencies"]}
