"""Wrong bytes in every file that is read: 2,000 mutated annotation files, recipes, logs, configs and lists.

    python benchmarks/fuzz.py --count 2000 --seed 0

Each input is a file of the synthetic world, of a small run or of a clean split, changed by one seeded mutation, and
read in a child process with limits on memory and time. What is read must be accepted or refused by one short line; the
table counts that, and what must not be: internal errors, crashes and hangs. Where ``VLMT_REAL_DATA`` is set, the first
records of real files join.
"""

import argparse
import gzip
import json
import os
import pickle
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 20
"""For one input."""
MEMORY = 3 << 30
OUTCOMES = ("accepted", "tidy errors", "internal errors", "crashes", "hangs")
RUN = ("config.json", "labels.json", "lineage.json", "tokenizer.json", "validation.json", "recipe.yaml",
       "metrics.jsonl", "scores.json")  # fmt: skip
SPLIT = ("report.json", "verdicts.txt", "images.txt", "data.yaml", "manifest.json", "answers.json")
RECIPE = """version: 1
tasks: [vqa, refcoco]
split: clean
training: &training {iterations: 10, learning_rate: 4.0e-5, learning_rates: {vqa: 1.0e-5}, curriculum: [G3]}
model: {preset: tiny, changes: {co_heads: 2}}
"""


def make_inputs(folder: Path) -> None:
    """Write the files that are mutated: ``raw/<dataset>/``, ``run/`` and ``split/``."""
    from vlmt_cli.miniworld.plan import make_plan
    from vlmt_cli.miniworld.sizes import LEAST, LEAST_OF_OTHERS, Sizes
    from vlmt_cli.miniworld.world import write_annotations

    sizes = dict.fromkeys(Sizes.__dataclass_fields__, LEAST_OF_OTHERS) | LEAST
    write_annotations(make_plan(Sizes(**sizes), 0), folder / "raw")
    _write_run(folder / "run")
    _write_split(folder / "split")
    _write_mixtures(folder / "mixtures")
    _write_predictions(folder / "predictions")
    if real := os.environ.get("VLMT_REAL_DATA"):
        _excerpt(Path(real) / "raw", folder / "real")


def _write_run(run: Path) -> None:
    import torch

    from vlmt_cli.evaluation.bootstrap import Estimate
    from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores
    from vlmt_cli.runs.checkpoint import Checkpoint
    from vlmt_cli.runs.checkpoint_writer import save_pretrained
    from vlmt_cli.runs.lineage import Beginning, Environment, Extractor, Lineage, Stage
    from vlmt_cli.tasks.config import ModelConfig
    from vlmt_cli.tasks.multitask import MultiTaskModel
    from vlmt_cli.tasks.text import word_tokenizer
    from vlmt_cli.trunks.config import make_config

    torch.manual_seed(0)
    sizes = {"region_features": 8, "vocabulary": 100}
    config = ModelConfig(trunk=make_config("tiny", **sizes), heads=("vqa", "snli_ve"), answers={"vqa": 2})
    there = Environment(seed=0, device="cpu", processes=1, threads=1, versions={"python": "3.12"})
    stage = Stage(name="vqa", split_hash="ab" * 32, beginning=Beginning(source="random weights", new={"trunk": 9}),
                  environments=(there,))  # fmt: skip
    labels = {"vqa": ["yes", "no"], "snli_ve": ["contradiction", "neutral", "entailment"]}
    lineage = Lineage(stages=(stage,), extractor=Extractor(name="pixels", hash="cd" * 32))
    save_pretrained(run, Checkpoint(MultiTaskModel(config), labels, word_tokenizer(["is it a dog"]), lineage))
    (run / "recipe.yaml").write_text(RECIPE)
    (run / "validation.json").write_text(
        json.dumps({"version": 1, "iteration": 5, "score": 0.5, "tasks": {"vqa": 0.5}})
    )
    lines = [{"kind": "start", "iteration": 0, "seed": 0, "tasks": {"vqa": {}}},
             {"kind": "train", "iteration": 1, "task": "vqa", "loss": 1.5},
             {"kind": "validation", "iteration": 5, "task": "vqa", "score": 0.5, "state": "go", "n": 10},
             {"kind": "save", "iteration": 5}, {"kind": "end", "iteration": 10, "seconds": 9.5}]  # fmt: skip
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score = TaskScore(metric="VQA accuracy", split="test", score=Estimate(value=0.5, low=0.4, high=0.6, n=10, groups=5))
    scores = make_scores("run", {"vqa": score}, split_hash="ab" * 32, recipe_hash=None, leaks_allowed=False,
                         resamples=9, resampled="image", seed=0)  # fmt: skip
    write_scores(run / "scores.json", scores)


def _write_split(folder: Path) -> None:
    folder.mkdir()
    matrix = {"vqa": {"gqa": {"hit": 1, "of": 10}}}
    names = ["test_images_before", "test_images_before_under_paper_identity", "test_images_after", "examples_before",
             "examples_after", "texts"]  # fmt: skip
    counts = {"examples": 9, "kept": 8, "removed": 1, "removed_under_paper_identity": 1}
    split = {"dataset": "vqa", "split": "train", "role": "train", "by_test_set": {"gqa": 1}, "by_relation": {"id": 1}}
    images = {"dataset": "vqa", "train_val": 9, "cleaned_train_val": 8, "cleaned_train_val_under_paper_identity": 8,
              "test": 3}  # fmt: skip
    report = {
        "version": 2, "vlmt": "1", "question": {"datasets": ["vqa"], "identity": "strict", "options": None},
        "files": {"vqa/a.json": "ab"}, "identity": "strict", "union": ["gqa"], "split_hash": "ab", "warnings": ["a"],
        "splits": [split | counts], "images": [images], **dict.fromkeys(names, matrix), "links": {"id": 1},
        "compared_by": ["id"], "images_compared": 9, "absent_test_files": [], "notes": {"vqa": {"odd": 3}},
    }  # fmt: skip
    manifest = {"options": "{}", "raw": {"a.json": [1, 2]}, "splits": {"train": 3}, "links": 0, "notes": {"odd": 1}}
    for name, content in (("report", report), ("manifest", manifest), ("answers", ["yes", "no"])):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "verdicts.txt").write_text("same coco:9 vg:2410  # a crop\ndifferent coco:17 vg:88\ncoco:18 vg:89\n")
    (folder / "images.txt").write_text("coco:9\nvg:2410\n\n# more\nnlvr2:dev-850-0-img0\nflickr30k:1000092795\n")
    (folder / "data.yaml").write_text("vqa: {minval: 10}\ngqa:\n  vocabulary: 5\nclean: {test_files: all}\n")


def _write_mixtures(folder: Path) -> None:
    """Write a small mixture in each form that is not text, and tables."""
    import io
    import tarfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "saved").mkdir(parents=True)
    (folder / "images").mkdir()
    rows = [
        {"id": f"{n}", "image": {"bytes": b"x" * n, "path": f"coco/{n}.jpg"}, "texts": [{"user": "a", "gpt": "b"}]}
        for n in range(20)
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "a.parquet", row_group_size=8)
    with pa.ipc.new_stream(str(folder / "saved/data.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=8)
    (folder / "saved/state.json").write_text('{"_data_files": [{"filename": "data.arrow"}], "_split": "train"}')
    with tarfile.open(folder / "a.tar", "w") as tar:
        for name, data in (("1.jpg", b"x" * 700), ("1.json", b'{"url": "http://a/1.jpg"}'), ("é.png", b"y")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (folder / "a.csv").write_text("url,caption\n" + 'http://a/1.jpg,"a ""b"",\nc"\nhttp://a/2.jpg,d\n' * 9)
    (folder / "a.tsv").write_text('"a\thttp://a/1.jpg\nb\thttp://a/2.jpg\n' * 9)
    (folder / "images/1.jpg").write_bytes(b"x")
    (folder / "images/metadata.jsonl").write_text('{"file_name": "1.jpg", "text": "a"}\n{"file_names": ["1.jpg"]}\n')


PREDICTIONS = {
    "questions.jsonl": {"question_id": 9, "image": "COCO_val2014_000000000009.jpg", "text": "Is it?", "label": "yes"},
    "boxed.jsonl": {
        "image": "a/COCO_train2014_000000000009.jpg",
        "sent": "man",
        "bbox": [1, 2, 30, 40],
        "height": 48,
        "width": 64,
    },
    "llava.jsonl": {"question_id": 9, "prompt": "Is it?\nUse a word.", "text": "Yes.", "answer_id": "a"},
    "lmms.jsonl": {"doc_id": 0, "target": "yes", "filtered_resps": ["Yes"], "doc_hash": "7", "input": "Is it?"},
    "kit.json": [{"index": 0, "question": "Is it?", "answer": "yes", "prediction": "no"}],
    "vqa.json": [{"question_id": 9, "answer": "yes"}],
    "list.json": [{"answer": "it[[1, 2, 900, 990]]", "gt_bbox": [1, 2, 30, 40], "hw": [48, 64]}],
    "boxes.json": [
        {"sent_id": 1, "sent": "man", "file_name": "COCO_train2014_000000000009.jpg", "bbox_2d": [1, 2, 30, 40]}
    ],
}
"""A benchmark's two files, and a record of each form of predictions."""


def _write_predictions(folder: Path) -> None:
    folder.mkdir()
    for name, record in PREDICTIONS.items():
        (folder / name).write_text(json.dumps(record) + "\n")


def _scored(path: Path) -> object:
    from vlmt_cli.evaluation.answers import text_boxes
    from vlmt_cli.evaluation.answers.score import Asked, score_files

    is_boxed = path.name in ("list.json", "boxes.json")
    rows = path.parent / ("boxed.jsonl" if is_boxed else "questions.jsonl")
    benchmark, boxes = ("refcoco:val", "pixels") if is_boxed else ("pope", text_boxes.AUTO)
    return score_files([path], Asked(benchmark, (rows,), boxes=boxes, data=path.parent / "none", resamples=10))


def _mixture(path: Path, form: str) -> object:
    """Read a mixture, and write every second record of it."""
    import numpy as np

    from vlmt_cli.mixtures.batch import Kept, Source, Wanted
    from vlmt_cli.mixtures.forms import FORMS

    source = Source(path, form)
    for wanted in (Wanted(), Wanted(texts=True, data=True)):
        records = sum(batch.records for batch in FORMS[form].read(source, wanted))
    FORMS[form].write(source, Kept(np.arange(records) % 2 == 0), path.parent / "written" / path.name)
    shutil.rmtree(path.parent / "written")
    return records


def _excerpt(raw: Path, target: Path, most: int = 1 << 16) -> None:
    """Copy the first records of real files of JSON lines and lists."""
    for path in sorted(raw.glob("*/*.json*")):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(most)
        name = path.name.removesuffix(".gz")
        lines = head.rsplit(b"\n", 1)[0] + b"\n"
        if head.startswith(b"["):
            lines = _whole_records(head)
        if lines.count(b"\n") > 1:
            (target / path.parent.name).mkdir(parents=True, exist_ok=True)
            (target / path.parent.name / name).write_bytes(lines)


def _whole_records(head: bytes) -> bytes:
    """Return the records of a list that is cut off, as a list."""
    text, start, records = head.decode("utf-8", "ignore"), 1, []
    while True:
        try:
            record, start = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            return json.dumps(records, indent=0).encode()
        records.append(record)
        start += len(text[start:]) - len(text[start:].lstrip(", \r\n"))


def readers(folder: Path) -> dict[str, tuple[list[Path], Callable[[], object]]]:
    """List what is read: by name, its files and the function that reads them."""
    from vlmt_cli.base.recipes import load_recipe
    from vlmt_cli.clean.image_lists import image_list
    from vlmt_cli.clean.markdown import render
    from vlmt_cli.clean.question import read_answer
    from vlmt_cli.clean.split_folder import read_report
    from vlmt_cli.clean.verdicts import read_verdicts
    from vlmt_cli.datasets.official import all_datasets
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.prepared import read_manifest
    from vlmt_cli.evaluation.score_tables import by_task
    from vlmt_cli.evaluation.scores import read_scores
    from vlmt_cli.runs.best import read_best
    from vlmt_cli.runs.checkpoint import load_checkpoint
    from vlmt_cli.runs.metrics import cut_metrics, first_seed, is_finished, read_metrics
    from vlmt_cli.runs.recipe import read_recipe
    from vlmt_cli.runs.tokenizer import read_tokenizer

    run, split = folder / "run", folder / "split"

    def metrics() -> object:
        lines = [read_metrics(run), is_finished(run), first_seed(run, 0)]
        before = (run / "metrics.jsonl").read_bytes()
        cut_metrics(run, 3)
        (run / "metrics.jsonl").write_bytes(before)
        return lines

    result: dict[str, tuple[list[Path], Callable[[], object]]] = {
        "config, labels, lineage": ([run / name for name in RUN[:3]], lambda: load_checkpoint(run)),
        "tokenizer.json": ([run / "tokenizer.json"], lambda: read_tokenizer(str(run / "tokenizer.json"), 100)),
        "validation.json": ([run / "validation.json"], lambda: read_best(run)),
        "recipe.yaml": ([run / "recipe.yaml"], lambda: read_recipe(run).hash()),
        "metrics.jsonl": ([run / "metrics.jsonl"], metrics),
        "scores.json": ([run / "scores.json"], lambda: by_task(read_scores(run).tasks)),
        "report.json": ([split / "report.json"], lambda: (render(read_report(split)), read_answer(split))),
        "verdicts": ([split / "verdicts.txt"], lambda: read_verdicts(split / "verdicts.txt")),
        "image list": ([split / "images.txt"], lambda: image_list("list", "train", str(split / "images.txt"))),
        "data recipe": ([split / "data.yaml"], lambda: load_recipe(str(split / "data.yaml"), Options)),
        "manifest.json": ([split / "manifest.json"], lambda: read_manifest(split)),
    }
    mixtures = folder / "mixtures"
    for name, form in (("a.parquet", "parquet"), ("saved", "arrow"), ("a.tar", "webdataset"), ("a.csv", "table"),
                       ("a.tsv", "table"), ("images", "image_folder")):  # fmt: skip
        path = mixtures / name
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        result[f"mixture {name}"] = (files, lambda path=path, form=form: _mixture(path, form))
    for name in list(PREDICTIONS)[2:]:
        rows = folder / "predictions" / ("boxed.jsonl" if name in ("list.json", "boxes.json") else "questions.jsonl")
        path = folder / "predictions" / name
        result[f"predictions {name}"] = ([path, rows], lambda path=path: _scored(path))
    for name, dataset in all_datasets().items():
        for base in (folder / "raw", folder / "real"):
            raw = base / (dataset.folder or name)
            known = {file for names in (*dataset.files, *dataset.also) for file in names.split("|")}
            files = [path for path in sorted(raw.rglob("*")) if path.relative_to(raw).parts[0] in known]
            if files := [path for path in files if path.is_file()]:
                result[f"{name} ({base.name})"] = (files, lambda raw=raw, dataset=dataset: _prepare(dataset, raw))
    return result


def _prepare(dataset: Any, raw: Path) -> object:
    """Do with a dataset's files what ``prepare`` does: read, tidy, and lay out for the disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vlmt_cli.base.opening import check_file
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.texts import tidy

    for path in raw.rglob("*"):
        if not path.is_dir():
            check_file(path)
    examples = dataset.read(raw, Options())
    tidy(examples)
    for table in (*examples.splits.values(), examples.links):
        table.validate(full=True)
        pq.write_table(table, pa.BufferOutputStream())
    return json.dumps([examples.notes, examples.answers]).encode()


STRANGE: tuple[Any, ...] = (
    None, True, [], {}, "", " ", "\0", "\ud800", "\x1b[2J", "x" * 10**6, "7", "7.0", "nan", "../../etc/passwd", -1, 0,
    7.0, 7.5, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e38, 1e308, -1e308, float("nan"), float("inf"), [[]],
    [None], {"a": 1},
)  # fmt: skip
TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\\ud800"', b'"\\u0000"', b"\0", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xed\xa0\x80", b"\x1b[31m", b"[" * 10**5, b'{"a":' * 10**5, b"{", b"}", b"[", b"]", b'"', b"\\",
    b",", b"\n", b"\r", b"\t", b"\t\t", b"null", b"*a", b"&a ", b"- " * 5000, b"!!python/name:os.system ", b"<script>",
    b"\xe2\x80\xa8", b"|", b": ",
    b"#",
)  # fmt: skip


def mutate(path: Path, rng: random.Random) -> None:
    """Change a file in one of many ways."""
    data = path.read_bytes()
    kinds = [_flip, _cut, _repeat, _insert, _recode, _replace, _restructure, _restructure]
    kind = rng.choice([*kinds, _remove]) if rng.random() < 0.3 else rng.choice(kinds)
    changed = kind(data, rng, path)
    if changed is not None:
        path.write_bytes(changed)


def _flip(data: bytes, rng: random.Random, path: Path) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random, path: Path) -> bytes:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:start], data[start:], data[:start] + data[end:], b""))


def _repeat(data: bytes, rng: random.Random, path: Path) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 10, 100, 1000))]
    return data[:start] + part * rng.choice((2, 3, 100)) + data[start:]


def _insert(data: bytes, rng: random.Random, path: Path) -> bytes:
    start = rng.choice((0, len(data), rng.randrange(len(data) + 1)))
    return data[:start] + rng.choice(TOKENS) + data[start:]


def _replace(data: bytes, rng: random.Random, path: Path) -> bytes:
    """Put something strange in place of a word, a number or a text."""
    import re

    words = [match.span() for match in re.finditer(rb'"[^"\\]*"|[\w.+-]+', data[: 1 << 20])]
    if not words:
        return data + rng.choice(TOKENS)
    start, end = rng.choice(words)
    return data[:start] + rng.choice(TOKENS) + data[end:]


def _recode(data: bytes, rng: random.Random, path: Path) -> bytes:
    text = data.decode("utf-8", "replace")
    codes = [lambda: b"\xef\xbb\xbf" + data, lambda: text.encode("utf-16"),
             lambda: text.encode("latin-1", "replace") + b"\xe9",
             lambda: text.replace("\n", "\r\n").encode(), lambda: gzip.compress(data), lambda: b"PK\x03\x04" + data,
             lambda: pickle.dumps(text), lambda: b"<!doctype html>" + data]  # fmt: skip
    return rng.choice(codes)()


def _remove(data: bytes, rng: random.Random, path: Path) -> None:
    """Put nothing, a folder, a pipe or a device in place of a file."""
    path.unlink()
    kind = rng.randrange(4)
    if kind == 1:
        path.mkdir()
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        path.symlink_to("/dev/zero")


def _restructure(data: bytes, rng: random.Random, path: Path) -> bytes:
    """Change one value of a JSON file, of one of its lines, or of a pickle: its kind, its name, or how often it is."""
    from vlmt_cli.base.pickles import loads

    try:
        if path.suffix == ".p":
            return pickle.dumps(_changed(loads(data, path), rng), rng.choice((0, 2, 4)))
        lines = data.split(b"\n")
        number = rng.randrange(len(lines)) if len(lines) > 2 else 0
        whole = lines[number] if len(lines) > 2 else data
        text = json.dumps(_changed(json.loads(whole), rng))
    except (ValueError, OverflowError, RecursionError):
        return _replace(data, rng, path)
    if rng.random() < 0.2 and (start := text.find('"', rng.randrange(len(text) + 1))) >= 0:  # a key that stands twice
        brace = text.rfind("{", 0, start) + 1
        end = text.find(",", brace)
        text = text[:brace] + text[brace : end + 1] + text[brace:] if end > 0 else text
    return b"\n".join([*lines[:number], text.encode(), *lines[number + 1 :]]) if len(lines) > 2 else text.encode()


def _changed(value: Any, rng: random.Random) -> Any:
    part = value
    while isinstance(part, dict | list) and part:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = rng.choice(keys[:50])
        if not isinstance(part[key], dict | list) or not part[key] or rng.random() < 0.15:
            way = rng.randrange(6)
            if way == 0:
                del part[key]
            elif way == 1 and isinstance(part, list):
                part.append(part[key])
            elif way == 2 and isinstance(part, dict):
                part[str(rng.choice(STRANGE))[:1000]] = part[key]
            else:
                part[key] = rng.choice(STRANGE)
            return value
        part = part[key]
    return rng.choice(STRANGE)


def child(folder: Path, seed: int, numbers: range) -> None:
    """Make the inputs, read mutated ones one after another, and say before and after each which and how it went."""
    from vlmt_cli.base.errors import VlmtError

    make_inputs(folder)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("error", RuntimeWarning)
    every = readers(folder)
    for _, read in every.values():
        read()  # sound files are accepted
    kept = folder / ".kept"
    for number in numbers:
        rng = random.Random(f"{seed}:{number}")
        name = list(every)[number % len(every)]
        files, read = every[name]
        path = rng.choice(files)
        shutil.copyfile(path, kept)
        print(json.dumps(["start", number, f"{name}: {path.name}"]), flush=True)
        outcome, said = "accepted", ""
        try:
            mutate(path, rng)
            read()
        except VlmtError as error:
            said = str(error)
            # Beside a path, an error quotes 80 characters of a file and has words of its own.
            is_short = len(said.replace(str(folder), "")) < 600 and said.isprintable()
            outcome = "tidy errors" if is_short else "internal errors"
        except BaseException:
            outcome, said = "internal errors", traceback.format_exc()[-3000:]
        finally:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            path.unlink(missing_ok=True)
            shutil.copyfile(kept, path)
        print(json.dumps(["end", number, outcome, said[:3000]]), flush=True)


def fuzz(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Read ``count`` mutated inputs in a child process, and in another one after each that crashes or hangs.

    Returns:
        How often each of ``OUTCOMES`` came, and what is wrong, with the number that makes it again.
    """
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    numbers = range(count)
    while numbers:
        numbers = range(_watch(seed, numbers, outcomes, wrong) + 1, count)
    return outcomes, wrong


def _watch(seed: int, numbers: range, outcomes: Counter[str], wrong: list[str]) -> int:
    """Run one child until it ends, dies or hangs; return the last number that it began."""
    with tempfile.TemporaryDirectory(prefix="vlmt-fuzz-") as temporary:
        command = [sys.executable, __file__, "--child", temporary, str(seed), str(numbers.start), str(numbers.stop)]
        root = str(Path(__file__).parents[1])
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        last, what, is_hanging = numbers.start - 1, "starting", False
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
            assert process.stdout is not None
            buffer = b""
            while True:
                # Importing everything and reading the sound files may take longer than one input.
                ready, _, _ = select.select([process.stdout], [], [], SECONDS if what != "starting" else 10 * SECONDS)
                if not ready:
                    is_hanging = True
                    process.kill()
                    break
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event, number, *rest = json.loads(line)
                    if event == "start":
                        last, what = number, rest[0]
                    else:
                        outcomes[rest[0]] += 1
                        what = "between"
                        if rest[0] == "internal errors":
                            wrong.append(f"seed {seed}, input {number}: {rest[1]}")
        if what == "starting":
            raise RuntimeError("the sound files cannot be read")
        if is_hanging or process.returncode:
            outcome = "hangs" if is_hanging else "crashes"
            outcomes[outcome] += 1
            wrong.append(f"seed {seed}, input {last} ({what}): {outcome}, code {process.returncode}")
    return last


def main() -> None:
    """Write the table to stdout, and what is wrong to stderr."""
    parser = argparse.ArgumentParser(description="Read files with wrong bytes.")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes, wrong = fuzz(options.count, options.seed)
    print("| seed | inputs |", " | ".join(OUTCOMES), "|")
    print("| ---: " * (2 + len(OUTCOMES)) + "|")
    print(f"| {options.seed} | {sum(outcomes.values())} |", " | ".join(str(outcomes[name]) for name in OUTCOMES), "|")
    for each in wrong:
        print(each, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), range(int(sys.argv[4]), int(sys.argv[5])))
    else:
        main()
