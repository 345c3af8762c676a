"""The model card of a checkpoint: what it is, how large, where it came from, how to use it."""

from collections.abc import Mapping

from vlmt_cli.datasets.table import TASKS
from vlmt_cli.runs.lineage import Lineage
from vlmt_cli.tasks.multitask import MultiTaskModel

HEADER = """---
library_name: vlmt
tags: [vision-and-language, vilbert, multi-task-learning, 12-in-1]
---

# ViLBERT, multi-task (12-in-1)

A ViLBERT with one head a kind of task, after Lu et al., "12-in-1: Multi-Task Vision and Language Representation
Learning" (CVPR 2020). It reads a text and the regions of an image, as a detector describes them.
"""

USE = """## Use

    from vlmt_cli.runs.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(".")  # this folder, or the id of this repository
    checkpoint.model, checkpoint.labels, checkpoint.tokenizer
"""


def model_card(model: MultiTaskModel, labels: Mapping[str, list[str]], lineage: Lineage) -> str:
    """Return the card as Markdown."""
    parts = [HEADER, _sizes(model), _heads(model, labels), _lineage(lineage), USE]
    return "\n".join(parts)


def _sizes(model: MultiTaskModel) -> str:
    config = model.config.trunk
    rows = [
        f"| {name} | {stream.layers} | {stream.width} | {stream.heads} | {stream.feedforward} |"
        for name, stream in (("text", config.text), ("vision", config.vision))
    ]
    rows.append(f"| co-attention | {len(config.text_placement)} | {config.co_width} | {config.co_heads} | |")
    total = sum(parameter.numel() for parameter in model.parameters())
    return "\n".join(
        [
            f"## Size\n\n{total:,} parameters. Region features have {config.region_features} dimensions, the vocabulary"
            f" {config.vocabulary:,} tokens.\n",
            "| stream | layers | width | heads | feed-forward |\n|---|---:|---:|---:|---:|",
            *rows,
            "",
        ]
    )


def _heads(model: MultiTaskModel, labels: Mapping[str, list[str]]) -> str:
    config = model.config
    rows = []
    for head in config.heads:
        tasks = ", ".join(task.title for task in TASKS.values() if task.head == head)
        answers = f"{len(labels[head]):,}" if head in labels else "unknown" if head in config.answers else ""
        rows.append(f"| {head} | {tasks} | {answers} |")
    if config.pretraining:
        rows.append("| pre-training | masked words, masked regions, alignment | |")
    return "\n".join(["## Heads\n\n| head | tasks | answers |\n|---|---|---:|", *rows, ""])


def _lineage(lineage: Lineage) -> str:
    lines = [f"Began with: {lineage.source}." if lineage.source else "Began with: unknown weights."]
    if lineage.extractor:
        lines.append(f"Features: {lineage.extractor.name} ({lineage.extractor.hash}).")
    for stage in lineage.stages:
        split = f"clean split {stage.split_hash}" if stage.split_hash else "an unknown split"
        images = f"its images are in `{stage.images}`" if stage.images else "its images are unknown"
        lines.append(f"Stage {stage.name}: {stage.steps:,} steps on {split}; {images}.")
    if not lineage.stages:
        lines.append("Its training images are unknown: a test image may be among them.")
    return "## Lineage\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"
