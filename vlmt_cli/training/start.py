"""The model that a run starts from: initial weights, or a checkpoint's. Every tensor is accounted for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vlmt_cli.base.errors import UsageError
from vlmt_cli.datasets.table import LABELS, TASKS, VOCABULARIES
from vlmt_cli.evaluation.setup import check_features_fit, token_kind
from vlmt_cli.features.store import Meta
from vlmt_cli.runs.best import BEST
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.lineage import Beginning, Extractor, Lineage, by_module
from vlmt_cli.runs.recipe import Recipe, task_token
from vlmt_cli.runs.recipe_sections import ModelChoices
from vlmt_cli.runs.tensors import compare_tensors
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.training.contradictions import RANDOM, check_against, forms_of, kept_heads
from vlmt_cli.trunks.bert import load_bert
from vlmt_cli.trunks.config import PRESETS, TrunkConfig
from vlmt_cli.trunks.table import trunk_config


def heads_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the heads that a recipe's tasks need."""
    return tuple(dict.fromkeys(row.head for task, row in TASKS.items() if task in recipe.tasks))


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint to start from, and the path or hub id that it has."""

    checkpoint: Checkpoint
    name: str


def make_start(
    recipe: Recipe,
    source: StartingPoint | None,
    meta: Meta,
    vocabulary: int,
    answers: Mapping[str, list[str]],
    tokenizer: str,
    seed: int,
) -> tuple[Checkpoint, Beginning]:
    """Make the model that a run starts from.

    Args:
        recipe: every choice.
        source: what ``start_of`` named, loaded; None for initial weights.
        meta: of the feature store.
        vocabulary: the tokenizer's size.
        answers: the vocabulary of each head that answers.
        tokenizer: a ``tokenizer.json``, as text.
        seed: of what is drawn.

    Returns:
        The model with its lineage so far, and where each of its tensors comes from.

    Raises:
        DataError: the features are another extractor's than the checkpoint's.
        UsageError: the checkpoint contradicts the recipe, or is of another size than features, tokenizer or answers.
    """
    torch.manual_seed(seed)
    heads = heads_of(recipe)
    named: dict[str, list[str]] = {**LABELS, **answers}
    labels: dict[str, list[str]] = {head: named[head] for head in heads if head in named}
    forms: dict[str, str] = {}
    if source is not None:
        check_against(recipe, source.checkpoint, source.name)
        _check_data(recipe, source, meta, vocabulary, labels)
        forms = forms_of(source.checkpoint, recipe)
        trunk: TrunkConfig = source.checkpoint.config.trunk
        if not (source.checkpoint.config.heads or recipe.pretrains or trunk.task_tokens):
            # The authors' pre-training weights have no task tokens: they are new.
            trunk = trunk.model_copy(update={"task_tokens": PRESETS["base"].task_tokens})
    else:
        wanted = {"region_features": meta.feature_width, "vocabulary": vocabulary} | recipe.model.changes
        if meta.classes:
            wanted["region_classes"] = meta.classes
        settled = recipe.model.settled()
        trunk = trunk_config(settled.trunk, settled.preset, **wanted)
        if not trunk.task_tokens:
            forms["task_token"] = "none"
    choices = recipe.model.settled(trunk=trunk.kind, **forms)
    _check_task_tokens(recipe, trunk, choices.task_token)
    config = ModelConfig(
        trunk=trunk if recipe.training.dropout is None else trunk.with_dropout(recipe.training.dropout),
        heads=heads,
        pretraining=recipe.pretrains,
        answers={head: len(labels[head]) for head in labels if head in VOCABULARIES},
        **choices.model_dump(include={"task_token", "entailment_head", "verification_loss"}),
    )
    model = MultiTaskModel(config)
    extractor = Extractor(name=meta.extractor, hash=meta.extractor_hash)
    if source is not None:
        beginning = _take_over(model, source, recipe)
        lineage = source.checkpoint.lineage.model_copy(update={"extractor": extractor})
        return Checkpoint(model, labels, tokenizer, lineage, images=source.checkpoint.images), beginning
    beginning = _initialise(model, choices.bert, seed)
    return Checkpoint(model, labels, tokenizer, Lineage(extractor=extractor, source=beginning.source)), beginning


def settled_by(checkpoint: Checkpoint, recipe: Recipe) -> ModelChoices:
    """Return a recipe's choices of the model as the model of its run has them."""
    config = checkpoint.config
    return recipe.model.settled(
        trunk=config.trunk.kind,
        task_token=token_kind(checkpoint),
        entailment_head=config.entailment_head,
        verification_loss=config.verification_loss,
    )


def _take_over(model: MultiTaskModel, source: StartingPoint, recipe: Recipe) -> Beginning:
    """Fill a model with the tensors of a checkpoint that it has, too, but those of heads that should be new."""
    checkpoint = source.checkpoint
    own, given = model.state_dict(), checkpoint.model.state_dict()
    new_heads = tuple(f"heads.{head}." for head in model.config.heads if head not in kept_heads(checkpoint, recipe))
    taken = {name: tensor for name, tensor in given.items() if name in own and not name.startswith(new_heads)}
    misfits = compare_tensors({name: tensor.shape for name, tensor in own.items()}, taken)
    if misfits.misshapen:
        what = f"its tensors do not fit the model of this recipe: {'; '.join(misfits.misshapen)}"
        raise UsageError(what, where=source.name, todo="start from other weights, or from none with --set start=null")
    model.load_state_dict(own | taken)
    left = [name for name in (*given, *checkpoint.unread) if name not in taken]
    path = Path(source.name)
    own_name = f"{path.parent.name}/{BEST}" if path.name == BEST else path.name
    return Beginning(
        source=own_name if path.exists() else source.name,
        taken=by_module(taken, own),
        new=by_module(misfits.missing, own),
        left_behind=by_module(left, (*given, *checkpoint.unread)),
    )


def _initialise(model: MultiTaskModel, bert: str | None, seed: int) -> Beginning:
    """Fill the text stream of a model from a BERT, if any; everything else stays as it was drawn."""
    names = list(model.state_dict())
    if bert is None:
        return Beginning(source=f"{RANDOM}, seed {seed}", new=by_module(names, names))
    report = load_bert(model.trunk, model.pretraining, bert)
    return Beginning(
        source=report.source,
        taken=by_module(report.loaded, names),
        new=by_module([name for name in names if name not in report.loaded], names),
        left_behind=by_module(report.unused, {*report.unused, *(t for names in report.loaded.values() for t in names)}),
    )


def _check_task_tokens(recipe: Recipe, trunk: TrunkConfig, kind: str) -> None:
    tokens = [token for task in recipe.tasks if (token := task_token(task, kind)) is not None]
    if tokens and max(tokens) >= trunk.task_tokens:
        what = f"the model has {trunk.task_tokens} task tokens, and the tasks need number {max(tokens)}"
        raise UsageError(what, todo="leave task tokens out with --set model.task_token=none")


def _check_data(
    recipe: Recipe, source: StartingPoint, meta: Meta, vocabulary: int, labels: Mapping[str, list[str]]
) -> None:
    checkpoint = source.checkpoint
    check_features_fit(checkpoint, meta, "--set features.store=NAME")
    trunk = checkpoint.config.trunk
    if trunk.vocabulary < vocabulary:
        what = f"the checkpoint knows {trunk.vocabulary:,} tokens, and the tokenizer has {vocabulary:,}"
        raise UsageError(what, todo="take the checkpoint's own tokenizer")
    for head in sorted(kept_heads(checkpoint, recipe) & labels.keys()):
        names, given = labels[head], checkpoint.labels.get(head)
        if given == names or (given is None and head in LABELS):
            continue
        heads = ",".join(sorted({*recipe.model.new_heads, head}))
        new = f"initialise a new head with --set 'model.new_heads=[{heads}]'"
        if given is None:
            what = f"the checkpoint does not say which answers the {len(names):,} outputs of its {head} head are"
            todo = f"give them to vlmt convert with --answers {head}=FILE, or {new}"
        else:
            what = f"the checkpoint's {len(given):,} {head} answers are not the {len(names):,} of these datasets"
            todo = f"prepare the datasets with the recipe that the checkpoint was trained on, or {new}"
        raise UsageError(what, where=source.name, todo=todo)
