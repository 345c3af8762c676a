"""Contradictions between a recipe and the checkpoint that a run starts from.

A checkpoint decides the size of the trunk, and the forms of what it was trained with. A recipe that names another
value (not ``auto``) is refused: no option is ignored silently.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from vlmt_cli.base.errors import UsageError
from vlmt_cli.datasets.table import LABELS, TASKS
from vlmt_cli.evaluation.setup import token_kind
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.runs.tokenizer import read_tokenizer
from vlmt_cli.trunks.table import laid_over, parse_trunk, trunk_module

VERIFICATION_KEYS = {row.head: row.images for row in TASKS.values() if row.head in LABELS}
HEADS_OF = {
    "entailment_head": tuple(head for head, images in VERIFICATION_KEYS.items() if images == 1),
    "verification_loss": tuple(VERIFICATION_KEYS),
}
"""The heads that a form is of; that of the task token is the trunk's."""
RANDOM = "random weights"
"""The beginning of ``Lineage.source`` where nothing was loaded."""
MODEL_SIZES = {"width", "layers", "heads", "feedforward", "co_width", "co_heads", "positions"}
MODEL_SIZES |= {"text_placement", "vision_placement", "text_layers", "vision_layers", "cross_layers"}
"""What a preset decides; the other keys come from the data, or can be changed without new weights."""


class Contradiction(NamedTuple):
    """A choice of a recipe that a checkpoint does not allow.

    Attributes:
        what: both values.
        anew: the setting that honours the choice.
        keep: the settings that keep what the checkpoint has.
    """

    what: str
    anew: str
    keep: tuple[str, ...]


def check_against(recipe: Recipe, checkpoint: Checkpoint, source: str) -> None:
    """Check that a run can start from a checkpoint as its recipe says.

    Raises:
        UsageError: the recipe asks for a size, a form or initial weights that the checkpoint does not have.
    """
    contradictions = [
        *_of_forms(recipe, checkpoint),
        *_of_the_trunk(recipe, checkpoint),
        *_of_initial_weights(recipe, checkpoint),
        *_of_the_tokenizer(recipe, checkpoint),
    ]
    if contradictions:
        anew = _as_options(contradiction.anew for contradiction in contradictions)
        keep = _as_options(setting for contradiction in contradictions for setting in contradiction.keep)
        more = f"; and {len(contradictions) - 3} more" if len(contradictions) > 3 else ""
        raise UsageError(
            f"the recipe contradicts this checkpoint: {'; '.join(case.what for case in contradictions[:3])}{more}",
            where=source,
            todo=f"keep what the checkpoint has with {keep}, or what the recipe asks for with {anew}",
        )
    trunk = checkpoint.config.trunk.model_dump()
    parse_trunk(laid_over(trunk, recipe.model.changes), where="model.changes")  # names keys that do not exist


def forms_of(checkpoint: Checkpoint, recipe: Recipe) -> dict[str, str]:
    """Return the forms that a checkpoint decides: those of heads that the run takes over, and its task token's."""
    config, kept = checkpoint.config, kept_heads(checkpoint, recipe)
    forms = {key: getattr(config, key) for key, heads in HEADS_OF.items() if kept & set(heads)}
    # Pre-training has no task token, so that its weights go with any kind.
    return forms | ({"task_token": token_kind(checkpoint)} if config.heads else {})


def kept_heads(checkpoint: Checkpoint, recipe: Recipe) -> set[str]:
    """Return the heads that a run takes over from a checkpoint."""
    needed = {TASKS[task].head for task in recipe.tasks if task in TASKS}
    return needed & set(checkpoint.config.heads) - set(recipe.model.new_heads)


def _of_forms(recipe: Recipe, checkpoint: Checkpoint) -> Iterator[Contradiction]:
    forms = {} if recipe.pretrains else forms_of(checkpoint, recipe)
    differing = {key: has for key, has in forms.items() if getattr(recipe.model, key) not in ("auto", has)}
    affected = {head for key in differing for head in HEADS_OF.get(key, ())} & kept_heads(checkpoint, recipe)
    heads = ",".join(sorted(affected | set(recipe.model.new_heads)))
    for key, has in differing.items():
        # A new head may have any form, and the task token is the trunk's.
        anew = f"model.new_heads=[{heads}]" if key in HEADS_OF else "start=null"
        what = f"{key} is {has}, but model.{key}={getattr(recipe.model, key)} is asked for"
        yield Contradiction(what, anew, (f"model.{key}=auto",))


def _of_the_trunk(recipe: Recipe, checkpoint: Checkpoint) -> Iterator[Contradiction]:
    has, asked = checkpoint.config.trunk.kind, recipe.model.trunk
    if asked in ("auto", has):
        yield from _of_sizes(recipe, checkpoint)
    else:  # sizes of another trunk are no contradiction of their own
        what = f"its trunk is {has}, but model.trunk={asked} is asked for"
        yield Contradiction(what, "start=null", ("model.trunk=auto",))


def _of_sizes(recipe: Recipe, checkpoint: Checkpoint) -> Iterator[Contradiction]:
    has = dict(_flat(checkpoint.config.trunk.model_dump(mode="json")))
    changes, preset = dict(_flat(recipe.model.changes)), recipe.model.preset
    keep = ("model.changes={}", *(["model.preset=auto"] if preset != "auto" else []))
    for key, asked in changes.items():
        if key in has and has[key] != asked and not (key.endswith("dropout") and recipe.training.dropout is not None):
            what = f"{key} is {_short(has[key])}, but model.changes.{key}={_short(asked)} is asked for"
            yield Contradiction(what, "start=null", keep)
    if preset == "auto":
        return
    for key, asked in _flat(trunk_module(checkpoint.config.trunk.kind).PRESETS[preset].model_dump(mode="json")):
        if key.split(".")[-1] in MODEL_SIZES and key not in changes and has[key] != asked:
            what = f"{key} is {_short(has[key])}, but model.preset={preset} has {_short(asked)}"
            yield Contradiction(what, "start=null", keep)


def _of_initial_weights(recipe: Recipe, checkpoint: Checkpoint) -> Iterator[Contradiction]:
    asked, source = recipe.model.bert, checkpoint.lineage.source or "unknown weights"
    if asked == "auto" or asked == source:
        return
    # Whoever names a checkpoint and no BERT asks for nothing else; beside ``auto``, null asks for random weights.
    if asked is None and (recipe.start != "auto" or source.startswith(RANDOM)):
        return
    wanted = RANDOM if asked is None else asked
    what = f"it began with {source}, but model.bert={'null' if asked is None else asked} asks for {wanted}"
    yield Contradiction(what, "start=null", ("model.bert=auto",))


def _of_the_tokenizer(recipe: Recipe, checkpoint: Checkpoint) -> Iterator[Contradiction]:
    asked = recipe.model.tokenizer
    if asked in ("auto", None) or read_tokenizer(asked, 1 << 31) == checkpoint.tokenizer:
        return
    what = f"its tokenizer is not that of model.tokenizer={asked}"
    yield Contradiction(what, "start=null", ("model.tokenizer=auto",))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


def _as_options(settings: Iterable[str]) -> str:
    return " ".join(f"--set {shlex.quote(setting)}" for setting in dict.fromkeys(settings))


def _short(value: Any) -> str:
    return str(value).replace(" ", "")
