"""The model that a run begins with: initial weights, or a checkpoint's."""

from collections.abc import Mapping

import torch

from vlmt_cli.base.errors import UsageError
from vlmt_cli.datasets.table import LABELS, TASKS, VOCABULARIES
from vlmt_cli.evaluation.setup import check_features
from vlmt_cli.features.store import Meta
from vlmt_cli.model.bert import load_bert
from vlmt_cli.model.config import make_config
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.lineage import Extractor, Lineage
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel


def heads_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the heads that a recipe's tasks need."""
    return tuple(dict.fromkeys(row.head for task, row in TASKS.items() if task in recipe.tasks))


def make_start(
    recipe: Recipe,
    checkpoint: Checkpoint | None,
    meta: Meta,
    vocabulary: int,
    answers: Mapping[str, list[str]],
    tokenizer: str,
    seed: int,
) -> Checkpoint:
    """Make the model that a run begins with.

    Args:
        recipe: every choice.
        checkpoint: what ``start_of`` named, loaded; None for initial weights.
        meta: of the feature store.
        vocabulary: the tokenizer's size.
        answers: the vocabulary of each head that answers.
        tokenizer: a ``tokenizer.json``, as text.
        seed: of what is drawn.

    Raises:
        DataError: the features are another extractor's than the checkpoint's.
        UsageError: the checkpoint is of another size than features, tokenizer or answers.
    """
    torch.manual_seed(seed)
    heads = heads_of(recipe)
    named: dict[str, list[str]] = {**LABELS, **answers}
    labels: dict[str, list[str]] = {head: named[head] for head in heads if head in named}
    sizes: dict[str, int] = {head: len(labels[head]) for head in labels if head in VOCABULARIES}
    extractor = Extractor(name=meta.extractor, hash=meta.extractor_hash)
    if checkpoint is not None:
        _check(checkpoint, meta, vocabulary, labels)
        trunk = checkpoint.config.trunk
    else:
        wanted = {"region_features": meta.feature_width, "vocabulary": vocabulary} | recipe.model.changes
        if meta.classes:
            wanted["region_classes"] = meta.classes
        trunk = make_config(recipe.model.preset, **wanted)
    if recipe.training.dropout is not None:
        rate = {"dropout": recipe.training.dropout, "attention_dropout": recipe.training.dropout}
        trunk = trunk.model_copy(
            update={
                "text": trunk.text.model_copy(update=rate),
                "vision": trunk.vision.model_copy(update=rate),
                "fusion_dropout": recipe.training.dropout,
            }
        )
    config = ModelConfig(
        trunk=trunk,
        heads=heads,
        pretraining=recipe.pretrains,
        answers=sizes,
        task_token=recipe.model.task_token,
        entailment_head=recipe.model.entailment_head,
        verification_loss=recipe.model.verification_loss,
    )
    model = MultiTaskModel(config)
    lineage = Lineage(extractor=extractor)
    images: dict[str, bytes] = {}
    if checkpoint is not None:
        known = model.state_dict()
        shared = {
            name: tensor
            for name, tensor in checkpoint.model.state_dict().items()
            if name in known and known[name].shape == tensor.shape
        }
        model.load_state_dict(shared, strict=False)
        lineage = checkpoint.lineage.model_copy(update={"extractor": extractor})
        images = checkpoint.images
    elif recipe.model.bert is not None:
        report = load_bert(model.trunk, model.pretraining, recipe.model.bert)
        lineage = lineage.model_copy(update={"source": report.source})
    else:
        lineage = lineage.model_copy(update={"source": f"random weights, seed {seed}"})
    return Checkpoint(model, labels, tokenizer, lineage, images=images)


def _check(checkpoint: Checkpoint, meta: Meta, vocabulary: int, labels: Mapping[str, list[str]]) -> None:
    check_features(checkpoint, meta, "--set features.store=NAME")
    trunk = checkpoint.config.trunk
    if trunk.vocabulary < vocabulary:
        what = f"the checkpoint knows {trunk.vocabulary:,} tokens, and the tokenizer has {vocabulary:,}"
        raise UsageError(what, todo="take the checkpoint's own tokenizer")
    for head, names in labels.items():
        theirs = checkpoint.labels.get(head)
        if head in checkpoint.config.heads and theirs is not None and theirs != names:
            what = f"the checkpoint's {len(theirs):,} {head} answers are not the {len(names):,} of these datasets"
            raise UsageError(what, todo="prepare the datasets with the recipe that the checkpoint was trained on")
