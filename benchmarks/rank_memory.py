"""What eight processes of a training take in memory, at the paper's size: what they import, and their tables.

    python benchmarks/rank_memory.py                        write the tables (once), measure, note it in RESULTS.md
    python benchmarks/rank_memory.py --before CHECKOUT      beside it the package in another checkout, an older one

Synthetic example tables have the sizes of the paper's cleaned training splits (table 8), random words and boxes, and
hard negatives for both retrieval tasks. Processes are started as ``vlmt train --gpus 8`` starts them; each imports
what a training imports and loads all twelve splits. Then the proportional set sizes (PSS) of all are added, of the
parent and its helpers, too: a page that several processes map counts once. Nothing else of a training is there: the
model and the optimizer are on the GPU, and batches are as large as they were.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROCESSES = 8
VAL = 100  # a task needs a validation split, too
MB, GB = 1e6, 1e9
ANSWERS = {"vqa": 3129, "gqa": 1533}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/vlmt-rank-memory"))
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--load", type=int, default=0, help="(as many processes, which are measured)")
    options = parser.parse_args()
    if options.load:
        print(json.dumps(measure(options.folder, options.load)))
        return
    if not (options.folder / "complete").exists():
        write_tables(options.folder, options.scale)
    forms = [("before", options.before)] if options.before else []
    forms.append(("now", here()))
    lines, digests = [], set()
    for name, package in forms:
        write_tokens(options.folder)
        environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--load", str(PROCESSES), "--folder", str(options.folder)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        digests.add(result["digest"])
        print(name, result, flush=True)
        imports, total, mapped = (result[part] / GB for part in ("imports", "total", "mapped"))
        figures = [f"{imports:.2f}", f"{mapped:.2f}", f"{total - imports - mapped:.2f}", f"**{total:.2f}**"]
        lines.append(f"| {name} | {' | '.join([result['start'], *figures, format(result['cpu'], '.0f')])} |")
    assert len(digests) == 1, "batches differ"
    if options.scale == 1:
        from results import write_section

        write_section("rank-memory", [*HEAD.format(count=result["examples"]).splitlines(), *lines])


def here() -> Path:
    return Path(__file__).parents[1]


HEAD = """## Memory of the processes of a training

`python benchmarks/rank_memory.py --before CHECKOUT`: eight processes, started as `vlmt train --gpus 8` starts them,
load {count:,} training examples of twelve tasks, whose tokens (6 to 23 a text) are there. GB by PSS, in which a page
that several processes map counts once, of all of them: the parent, its helpers and the eight. "Imports" is what they
take before they load anything, "mapped" the tables that they share, "own" what each keeps of its own. All gave the
same first two batches of every task.

| form | started by | imports | mapped | own | all | CPU s of the eight |
|---|---|---:|---:|---:|---:|---:|"""


def measure(folder: Path, count: int) -> dict[str, Any]:
    """Load the tables in all processes, and add up what these take, and this one and its helpers."""
    import vlmt_cli.training.train
    from vlmt_cli.base import processes
    from vlmt_cli.evaluation import processes as starting

    # As older packages had it, for a GPU; on a CPU they forked processes, too.
    start = starting._beginning() if hasattr(processes, "keep_shared") else "spawn"
    processes.fork_server(vlmt_cli.training.train.__name__)
    context = multiprocessing.get_context(start)
    barrier, results = context.Barrier(count + 1), context.SimpleQueue()
    ranks = [context.Process(target=run, args=(folder, number, barrier, results)) for number in range(count)]
    for process in ranks:
        process.start()
    barrier.wait()  # all have imported
    imports, _ = total_pss()
    barrier.wait()
    told = [results.get() for _ in ranks]
    total, mapped = total_pss()
    barrier.wait()
    for process in ranks:
        process.join()
    seconds, digests = zip(*((each[2], each[:2]) for each in told), strict=True)
    ((examples, digest),) = set(digests)
    return {
        "start": start,
        "imports": imports,
        "total": total,
        "mapped": mapped,
        "cpu": sum(seconds),
        "examples": examples,
        "digest": digest,
    }


def total_pss() -> tuple[int, int]:
    """Return the bytes of this process and all that came of it, and those of mapped tables among them."""
    total = mapped = 0
    for process in [os.getpid(), *descendants(os.getpid())]:
        is_table = False
        for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes = int(line.split()[1])
                total, mapped = total + kilobytes, mapped + kilobytes * is_table
            elif not line.split(maxsplit=1)[0].endswith(":"):  # where a mapping begins
                is_table = line.endswith(".arrow")
    return 1024 * total, 1024 * mapped


def descendants(process: int) -> list[int]:
    children = [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in words(task / "children")]
    return [*children, *(further for child in children for further in descendants(child))]


def words(path: Path) -> list[str]:
    return path.read_text().split()


def run(folder: Path, rank: int, barrier: Any, results: Any) -> None:
    """Be one process: import, load, make batches, and wait to be measured.

    Processes begin with different tasks, so that all have something to do. A training loads them in one order.
    """
    import hashlib

    from vlmt_cli.base import processes

    if hasattr(processes, "keep_shared"):  # older packages have none
        processes.keep_shared()
    import numpy as np

    import vlmt_cli.training.train
    from vlmt_cli.datasets.table import TASKS, TWELVE
    from vlmt_cli.tasks.groups import head_of
    from vlmt_cli.tasks.load import answers_of, load_examples
    from vlmt_cli.training.batches import BatchOrder

    assert vlmt_cli.training.train.__file__
    barrier.wait()
    barrier.wait()
    encoder = encoder_of()
    store = SimpleNamespace(
        keys=lambda: [f"coco:{number}" for number in range(IMAGES)],
        path=folder / "store.mdb",
        meta=SimpleNamespace(checksum="0", images=IMAGES, holds="detected"),
    )
    reader = SimpleNamespace(store=store, candidates=store, stores=[store, store])
    reader.of = lambda task: reader
    digests, count, loaded = {}, 0, []
    for task in (*TWELVE[rank:], *TWELVE[:rank]):
        digest = hashlib.sha256()
        for split, purpose in (("train", "train"), ("val", "validate")):
            answers = answers_of(folder, task)
            examples = load_examples(folder, task, split, encoder, reader, purpose, clean=False, answers=answers)
            loaded.append(examples)
            if split == "train":
                count += len(examples)
                order = BatchOrder(examples.lengths, min(TASKS[task].batch_size, len(examples)), 0, task)
                loaded.append(order)
                for number in (0, 1):
                    rows = order.rows(number)
                    draw = head_of(task).draw
                    drawn = draw(examples, rows, order.generator(number)) if draw else None
                    taken = head_of(task).inputs(examples, rows, drawn)
                    tokens, mask = examples.tokens.batch(examples.rows[taken.texts])
                    for array in (rows, tokens.numpy(), mask.numpy(), *(taken.pairs or ())):
                        digest.update(np.ascontiguousarray(array).tobytes())
                    digest.update(" ".join(taken.images).encode())
        digests[task] = digest.hexdigest()
    results.put((count, str(sorted(digests.items())), time.process_time()))
    barrier.wait()


def encoder_of() -> Any:
    from vlmt_cli.tasks.text import TextEncoder, word_tokenizer

    return TextEncoder(word_tokenizer(iter([" ".join(WORDS)])))


def write_tokens(folder: Path) -> None:
    """Write random tokens, as if all texts had been tokenised, in today's form and in that of older versions."""
    import hashlib

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vlmt_cli.datasets.table import TASKS, TWELVE
    from vlmt_cli.tasks.mapped import name_of, stamp, write_arrays

    shutil.rmtree(folder / "tokens", ignore_errors=True)
    rng, encoder = np.random.default_rng(1), encoder_of()
    for task in TWELVE:
        for split in ("train", "val"):
            table, longest = folder / "examples" / task / f"{split}.parquet", TASKS[task].max_tokens
            lengths = rng.integers(6, min(longest, 24), pq.read_metadata(table).num_rows)
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            ids = rng.integers(5, len(WORDS), int(offsets[-1])).astype(np.int32)
            stem = folder / "tokens" / task / f"{split}-"
            write_arrays(
                Path(f"{stem}{name_of(encoder.hash, longest, stamp(table))}.arrow"),
                {"ids": ids, "offsets": offsets},
                {},
            )
            size, changed = stamp(table)
            older = hashlib.sha256(f"{encoder.hash} {longest} {size} {changed}".encode()).hexdigest()[:16]
            lists = pa.table({"tokens": pa.LargeListArray.from_arrays(offsets, ids)})
            pq.write_table(lists, f"{stem}{older}.parquet")


WORDS = [f"w{number}" for number in range(10_000)]
IMAGES = 250_000


def write_tables(folder: Path, scale: float) -> None:
    """Write example tables of the paper's sizes, and hard negatives."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from vlmt_cli.datasets.table import DATASETS, TWELVE
    from vlmt_cli.paper import numbers

    train = numbers("table8_samples", "dataset", "cleaned_train")
    pictures = numbers("table7_images", "dataset", "cleaned_train_val")
    rng = np.random.default_rng(0)
    words, keys = pa.array(WORDS), pa.array([f"coco:{number}" for number in range(IMAGES)])
    answers = {name: pa.array([f"answer {number}" for number in range(count)]) for name, count in ANSWERS.items()}
    for name, listed in answers.items():
        (folder / "examples" / name).mkdir(parents=True, exist_ok=True)
        (folder / "examples" / name / "answers.json").write_text(json.dumps(listed.to_pylist()))

    def lists(values: Any, lengths: Any) -> Any:
        return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), values)

    def boxes(count: int) -> Any:
        corner = rng.random((count, 2), np.float32) * 300
        corners = np.hstack([corner, corner + 20 + rng.random((count, 2), np.float32) * 200])
        return pa.FixedSizeListArray.from_arrays(pa.array(corners.reshape(-1)), 4)

    for task in TWELVE:
        row = DATASETS[task]
        images = int(pictures[task] * scale)
        for split, count in (("train", int(train[task] * scale)), ("val", VAL)):
            lengths = rng.integers(4, max(5, min(row.max_tokens, 24)) - 1, count)
            if task == "guesswhat":
                lengths = rng.integers(20, 90, count)
            flat = words.take(pa.array(rng.integers(len(WORDS), size=int(lengths.sum()))))
            text = pa.compute.binary_join(lists(flat, lengths), " ")
            shown = keys.take(pa.array(rng.integers(images, size=count * row.images)))
            columns = {
                "example_id": pa.array([f"{task}-{split}-{number}" for number in range(count)]),
                "images": lists(shown, np.full(count, row.images)),
                "text": text,
            }
            if row.group == "G1":
                vocabulary = answers[row.vocabulary]
                each = rng.integers(1, 5, count) if task == "vqa" else np.ones(count, int)
                columns["answers"] = lists(
                    vocabulary.take(pa.array(rng.integers(len(vocabulary), size=each.sum()))), each
                )
                columns["counts"] = lists(pa.array(rng.integers(1, 10, each.sum()), pa.int8()), each)
                columns["unanimous"] = pa.nulls(count, pa.string())
            if row.group == "G3":
                each = rng.integers(2, 14, count)
                columns["box"], columns["candidates"] = boxes(count), lists(boxes(int(each.sum())), each)
                columns["target"] = pa.array(rng.integers(each), pa.int32())
                columns["category"] = pa.nulls(count, pa.string())
            if row.group == "G4":
                columns["label"] = pa.array(rng.integers(2, size=count), pa.int8())
                columns["premise"] = pa.nulls(count, pa.string())
            path = folder / "examples" / task / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), path)
        if row.group == "G2":
            (folder / "features").mkdir(exist_ok=True)
            near = keys.take(pa.array(rng.integers(images, size=100 * images)))
            table = pa.table({"image": keys[:images], "neighbours": lists(near, np.full(images, 100))})
            pq.write_table(table, folder / "features" / f"hard_negatives_{task}.parquet")
        print(f"wrote {task}", flush=True)
    (folder / "store.mdb").touch()
    (folder / "complete").touch()


if __name__ == "__main__":
    main()
