"""The model card of a checkpoint: what it is, how it scored, what it was trained on, where it came from, how to use it.

It begins with metadata as the Hugging Face hub reads them; ``model-index`` holds the scores in its form.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vlmt_cli.datasets.table import DATASETS, TASKS, TWELVE
from vlmt_cli.runs.lineage import Lineage
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.multitask import MultiTaskModel

_INTRODUCTION = """A ViLBERT after Lu et al., "12-in-1: Multi-Task Vision and Language Representation Learning" (CVPR
2020). It reads a text and the regions of an image, as a detector describes them.
"""
_USE = """## Use

    from vlmt_cli.runs.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(".")  # this folder, or the id of this repository
    checkpoint.model, checkpoint.labels, checkpoint.tokenizer
"""
_LICENCE = ("license", "license_name", "license_link")
_VQA = "visual-question-answering"
_KINDS = {"boxes": "referring-expression-comprehension", "ranking": "image-text-retrieval"}


@dataclass(frozen=True)
class Result:
    """A score as the card shows it.

    Attributes:
        task, split, metric: what it is.
        value, low, high: from 0 to 1, with the 95% interval.
        n: examples.
        mark: what stands behind it (``evaluation.marks.mark_of``).
        meaning: of the mark, in words.
    """

    task: str
    split: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    mark: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Described:
    """What a card tells beside the weights.

    Attributes:
        name: of the run.
        recipe: that made it; None where it is not known.
        results: of an evaluation.
        remark: what to say above them, such as which weights they are of.
        licence: the ``license`` keys that somebody chose.
    """

    name: str
    recipe: Recipe | None = None
    results: Sequence[Result] = ()
    remark: str = ""
    licence: Mapping[str, str] | None = None


def model_card(model: MultiTaskModel, labels: Mapping[str, list[str]], lineage: Lineage, described: Described) -> str:
    """Return the card as Markdown, with YAML in front."""
    trained = _trained(described.recipe)
    metadata = yaml.safe_dump(_metadata(described, trained), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{metadata}---\n",
        f"# {_title(model, described.recipe)}\n",
        _INTRODUCTION,
        *([_scores(described)] if described.results else []),
        *([_data(described.recipe, trained)] if described.recipe else []),
        _heads(model, labels, trained),
        _sizes(model),
        _lineage(lineage),
        _USE,
    ]
    return "\n".join(parts)


def chosen_licence(card: Path) -> dict[str, str]:
    """Return the licence that somebody wrote into a card; nothing where there is no card, or none that can be read."""
    try:
        front = card.read_text(encoding="utf-8").split("---\n", 2)[1]
        values = yaml.safe_load(front)
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return {}
    known = values if isinstance(values, dict) else {}
    return {key: known[key] for key in _LICENCE if isinstance(known.get(key), str)}


def _trained(recipe: Recipe | None) -> tuple[str, ...]:
    return tuple(task for task in recipe.tasks if task in DATASETS) if recipe else ()


def _title(model: MultiTaskModel, recipe: Recipe | None) -> str:
    if recipe is None:
        heads = len(model.config.heads)
        return f"ViLBERT with {heads} head{'s' * (heads != 1)}" if heads else "ViLBERT"
    if recipe.pretrains:
        return f"ViLBERT, pre-trained on {DATASETS[recipe.tasks[0]].title}"
    if set(recipe.tasks) == set(TWELVE):
        return "ViLBERT, multi-task (12-in-1)"
    titles = [TASKS[task].title for task in recipe.tasks]
    return f"ViLBERT on {' and '.join(titles) if len(titles) < 4 else f'{len(titles)} tasks'}"


def _metadata(described: Described, trained: Sequence[str]) -> dict[str, Any]:
    tags = ["vision-and-language", "vilbert"] + ["multi-task-learning"] * (len(trained) > 1)
    tags += ["12-in-1"] * (set(trained) == set(TWELVE))
    metadata: dict[str, Any] = {"license": "unknown", **(described.licence or {}), "library_name": "vlmt", "tags": tags}
    if trained:
        metadata["datasets"] = [_identifier(task) for task in trained]
    if trained and all(_kind(task) == _VQA for task in trained):
        metadata["pipeline_tag"] = _VQA
    if described.results:
        results = [_indexed(result) for result in described.results]
        metadata["model-index"] = [{"name": described.name, "results": results}]
    return metadata


def _indexed(result: Result) -> dict[str, Any]:
    """Return a score as ``model-index`` has it."""
    title = TASKS[result.task].title
    metric = f"{result.metric} ({result.mark} {result.meaning})" if result.mark else result.metric
    return {
        "task": {"type": _kind(result.task), "name": title},
        "dataset": {"type": _identifier(result.task), "name": title, "split": result.split},
        "metrics": [{"type": _identifier(result.metric.lower()), "value": result.value, "name": metric}],
    }


def _kind(task: str) -> str:
    """Return the hub's name of a kind of task, where it has any."""
    if task not in TASKS:
        return "image-text-retrieval"
    return _VQA if TASKS[task].vocabulary else _KINDS.get(rules_of(task).PREDICTS, "image-text-classification")


def _identifier(name: str) -> str:
    """Return a name in the letters that the hub's identifiers may have: ``refcoco+`` is ``refcoco-plus``."""
    return re.sub(r"[^\w.-]+", "-", name.replace("+", "-plus")).strip("-")


def _scores(described: Described) -> str:
    rows = [
        f"| {TASKS[result.task].title} | {result.split} | {result.metric} | {100 * result.value:.2f}{result.mark} |"
        f" {100 * result.low:.2f} to {100 * result.high:.2f} | {result.n:,} |"
        for result in described.results
    ]
    head = "| task | split | metric | score, % | 95% interval | examples |\n|---|---|---|---:|---:|---:|"
    return "\n".join([f"## Scores\n\n{described.remark}\n\n{head}", *rows, ""])


def _data(recipe: Recipe | None, trained: Sequence[str]) -> str:
    """Say what the last training read, and where its official files come from."""
    assert recipe is not None
    split = {
        "clean": "The clean split: none of its training images is a test image of the datasets cleaned with it.",
        "full": "The full split: test images of other tasks, or of its own, may be among its training images.",
    }[recipe.split]
    rows = []
    for task in trained:
        addresses = dict.fromkeys(filter(None, DATASETS[task].files.values()))
        rows.append(f"- {DATASETS[task].title}: {', '.join(f'<{address}>' for address in addresses)}")
    licence = "These datasets have licences of their own; choose one for the weights with `license` at the top."
    return "\n".join([f"## Training data\n\n{split}\n", *rows, f"\n{licence}\n"])


def _sizes(model: MultiTaskModel) -> str:
    config = model.config.trunk
    rows = [
        f"| {name} | {layers} | {width} | {heads} | {'' if feedforward is None else f'{feedforward} '}|"
        for name, layers, width, heads, feedforward in config.streams()
    ]
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


def _heads(model: MultiTaskModel, labels: Mapping[str, list[str]], trained: Sequence[str]) -> str:
    """List the heads with the tasks that trained them; of weights without a recipe, those that they may be of."""
    config = model.config
    rows = []
    for head in config.heads:
        tasks = ", ".join(row.title for name, row in TASKS.items() if row.head == head and name in (trained or TASKS))
        answers = f"{len(labels[head]):,}" if head in labels else "unknown" if head in config.answers else ""
        rows.append(f"| {head} | {tasks or 'none of this training'} | {answers} |")
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
        images += f", of {' and '.join(stage.datasets)}" if stage.datasets else ""
        lines.append(f"Stage {stage.name}: {stage.steps:,} steps on {split}; {images}.")
    if not lineage.stages:
        lines.append("Its training images are unknown: a test image may be among them.")
    return "## Lineage\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"
