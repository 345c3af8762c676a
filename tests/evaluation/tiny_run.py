"""A run folder of random weights that fits a small world, and what evaluation reads and writes there."""

import io
import shutil
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vlmt_cli.datasets import nlvr2, snli_ve
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.runs.lineage import Extractor, Lineage, Stage
from vlmt_cli.tasks.config import HEADS, ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.text import word_tokenizer
from vlmt_cli.trunks.config import make_config


def make_data(world, folder):
    """A world's data with example tables of its own, where COCO's test set is large enough to rank."""
    shutil.copytree(world / "examples", folder / "examples")
    (folder / "features").symlink_to((world / "features").resolve())
    coco = folder / "examples" / "coco"
    pq.write_table(pq.read_table(coco / "train.parquet").slice(0, 60), coco / "test.parquet")
    return folder


def make_checkpoint(data, trained=(), heads=HEADS, **changes):
    """Random weights, so large that outputs differ, with few answers, so that some are right.

    ``trained`` are the images of the only stage.
    """
    torch.manual_seed(2)
    meta = FeatureStore(data / "features" / "pixels").meta
    paths = sorted((data / "examples").glob("*/train.parquet"))
    tokenizer = word_tokenizer(text for path in paths for text in pq.read_table(path)["text"].to_pylist())
    sizes = {"region_features": meta.feature_width, "positions": 300, "init_std": 0.8}
    labels = {"vqa": frequent(data, ("vqa", "val"), ("vg_qa", "test")), "gqa": frequent(data, ("gqa", "testdev"))}
    labels |= {"nlvr2": list(nlvr2.LABELS), "snli_ve": list(snli_ve.LABELS)}
    config = ModelConfig(
        trunk=make_config("tiny", **sizes), heads=heads, answers={head: len(labels[head]) for head in ("vqa", "gqa")}
    )
    checkpoint = Checkpoint(
        MultiTaskModel(config).eval(),
        {head: names for head, names in labels.items() if head in heads},
        tokenizer,
        Lineage(
            stages=(Stage(name="all-tasks", split_hash="ab" * 32, images="images-1.parquet"),),
            extractor=Extractor(name=meta.extractor, hash=meta.extractor_hash),
        ),
        images={"images-1.parquet": image_list(trained)},
    )
    return replace(checkpoint, **changes)


def frequent(data, *splits):
    """The most frequent answers of some splits."""
    counts = [Counter(row["answers"][0] for row in table(data, *split)).most_common(3) for split in splits]
    return list(dict.fromkeys(answer for most in counts for answer, _ in most))


def make_run(folder, data, *arguments, **changes):
    """Write such a checkpoint; returns its folder as the command line names it."""
    save_pretrained(folder, make_checkpoint(data, *arguments, **changes))
    return str(folder)


def image_list(keys):
    """A stage's images, as training writes them."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": pa.array(sorted(keys), pa.string())}), buffer)
    return buffer.getvalue()


def table(data, task, split):
    """The rows of an example table."""
    return pq.read_table(data / "examples" / task / f"{split}.parquet").to_pylist()


def predictions(folder, task, split):
    """The rows of a file of predictions."""
    return pq.read_table(folder / "predictions" / f"{task}-{split}.parquet").to_pylist()
