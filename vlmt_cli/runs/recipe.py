"""What a training recipe says: every choice that makes a run.

``recipes/*.yaml`` are such recipes, one a row of the paper's tables; ``--set training.gap=8`` overrides any key.
"""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import model_validator

from vlmt_cli.base.documents import read_yaml
from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.recipes import RECIPE_VERSION, load_recipe
from vlmt_cli.base.schema import check_version, nearest, parse, version_of
from vlmt_cli.datasets.table import GROUPS, TASKS, TWELVE, free_tokens
from vlmt_cli.runs.recipe_sections import (
    DEFAULTS,
    FeatureChoices,
    MaskingChoices,
    ModelChoices,
    Section,
    TrainingChoices,
)

RECIPE = "recipe.yaml"
"""Its file in a run folder."""
PRETRAINING = "conceptual_captions"
_LOGGING = {"log_every", "save_every", "save_minutes", "tensorboard", "wandb", "affinity_every"}
"""Keys of ``training`` that affect logging and saving only."""
_SAME_ROW = {f"training.{key}" for key in (*_LOGGING, "workers", "accumulate")} | {"split"}
"""Keys that may be overridden in a run that still reproduces the recipe's row: how it computes. Rows of both splits are
named with them."""
_LENGTH = ("iterations", "epochs", "limit")


class Recipe(Section):
    """One training.

    Attributes:
        tasks: datasets and groups (``G1``), or ``all``.
        split: ``clean``, or ``full`` with every test image that cleaning would take out.
        start: the weights to begin with: a checkpoint, or null for initial ones. ``auto`` is the run ``pretrain``
            beside this one where there is one, else initial weights; where ``model.trunk`` names a trunk, the run
            ``pretrain-lxmert``, say, or ``pretrain`` if its trunk is the same.
        start_weights: which weights of a run to begin with, where it has both: its best, or its last.
        reproduces: the rows of the paper's tables that it is, such as ``table2 AT clean``; of one table those of both
            splits, where the paper has both.
        changed: the keys by which ``--set`` or ``--limit`` made another experiment of it, which reproduces none of
            these rows; None in recipes of runs of an older vlmt, which did not say.
    """

    tasks: tuple[str, ...] = TWELVE
    split: Literal["clean", "full"] = "clean"
    start: str | None = "auto"
    start_weights: Literal["best", "last"] = "best"
    reproduces: tuple[str, ...] = ()
    changed: tuple[str, ...] | None = None
    model: ModelChoices = ModelChoices()
    features: FeatureChoices = FeatureChoices()
    masking: MaskingChoices = MaskingChoices()
    training: TrainingChoices = TrainingChoices()

    @model_validator(mode="before")
    @classmethod
    def _names_tasks(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "tasks" not in values:
            return values
        tasks = values["tasks"]
        named: list[str] = []
        for task in tasks.replace(",", " ").split() if isinstance(tasks, str) else tasks or ():
            named += TWELVE if task == "all" else GROUPS.get(task, (task,))
        for task in named:
            if task not in TASKS and task != PRETRAINING:
                raise ValueError(f"there is no task {task!r}; {nearest(task, [*TASKS, *GROUPS, 'all'])}")
        return values | {"tasks": tuple(dict.fromkeys(named))}

    @model_validator(mode="after")
    def _has_tasks(self) -> "Recipe":
        if not self.tasks:
            raise ValueError("tasks names none")
        by_task: dict[str, dict[str, Any]] = {
            "features.candidates": self.features.candidates if isinstance(self.features.candidates, dict) else {},
            "training.learning_rates": self.training.learning_rates,
        }
        for key, named in by_task.items():
            for task in named:
                if task not in TASKS:
                    raise ValueError(f"{key}: there is no task {task!r}; {nearest(task, TASKS)}")
        heads = {TASKS[task].head for task in self.tasks if task in TASKS}
        if unused := [head for head in self.model.new_heads if head not in heads]:
            raise ValueError(f"model.new_heads: no task of this recipe uses the head {unused[0]}")
        if PRETRAINING in self.tasks and len(self.tasks) > 1:
            raise ValueError("pre-training goes alone")
        for group in self.training.curriculum:
            if not any(task in TASKS and TASKS[task].group == group for task in self.tasks):
                todo = f"leave it out, or add one of {', '.join(GROUPS[group])} to the tasks"
                raise ValueError(f"training.curriculum names {group}, of which no task is trained; {todo}")
        if self.pretrains and None in (self.training.batch_size, self.training.learning_rate):
            raise ValueError("pre-training is not in table 8: give training.batch_size and training.learning_rate")
        return self

    @property
    def pretrains(self) -> bool:
        """Whether this is pre-training."""
        return self.tasks == (PRETRAINING,)

    def overridden(self, keys: Sequence[str], plain: "Recipe | None" = None) -> "Recipe":
        """Return the recipe with the keys of ``--set`` that make another experiment of it, in ``changed``.

        Args:
            keys: laid over it, ``training.gap=8``.
            plain: the recipe without them: a key that has the same value there changes nothing.
        """
        named = dict.fromkeys(key.partition("=")[0] for key in keys)
        changed = (key for key in named if key not in _SAME_ROW)
        return self.model_copy(
            update={
                "changed": tuple(key for key in changed if plain is None or _value(self, key) != _value(plain, key))
            }
        )

    def paper_row(self, table: str) -> str | None:
        """Return the row of a table of the paper, such as ``AT clean`` of ``table2``, that this reproduces, if any.

        The tasks are the row's own: one task for ``ST``, a whole group for ``GT``, all twelve for ``AT``; and nothing
        that makes an experiment is ``changed``.
        """
        return None if self.changed else self.recipes_row(table)

    def recipes_row(self, table: str) -> str | None:
        """Return the row that this would reproduce if none of its keys were changed; see ``paper_row``."""
        rows = [row.removeprefix(f"{table} ") for row in self.reproduces if row.startswith(f"{table} ")]
        rows = [row for row in rows if row.endswith(f" {self.split}") or not row.endswith((" clean", " full"))]
        return next((row for row in rows if self._has_tasks_of(table, row)), None)

    def _has_tasks_of(self, table: str, row: str) -> bool:
        if table == "table5":
            return set(self.tasks) == {"vqa", "coco", "flickr30k", "flickr30k_entities"}
        name = row.removesuffix(" clean").removesuffix(" full")
        if name.endswith("ST"):
            return len(self.tasks) == 1 and self.tasks[0] in TWELVE
        if name == "GT":
            return self.tasks in GROUPS.values()
        return set(self.tasks) == {task for task in TWELVE if "w/o G4" not in name or TASKS[task].group != "G4"}

    def hash(self) -> str:
        """Return the SHA-256 of all choices; their order does not matter."""
        choices = self.model_dump(mode="json", exclude={"reproduces", "changed"})
        # As in recipes of earlier versions, whose hashes stand in files of scores.
        if choices["model"]["trunk"] in ("auto", DEFAULTS["trunk"]):
            del choices["model"]["trunk"]
        if choices["training"]["temperature"] is None:
            del choices["training"]["temperature"]
        return hashlib.sha256(json.dumps(choices, sort_keys=True).encode()).hexdigest()


def _value(recipe: Recipe, key: str) -> Any:
    """Return the value of a key, ``training.gap``."""
    value: Any = recipe.model_dump(mode="json")
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def load_training(name: str, keys: Sequence[str] = (), scale: str | None = None, **values: Any) -> Recipe:
    """Read the recipe of a training; ``changed`` says what ``keys`` make of it. Arguments are ``load_recipe``'s."""
    recipe, plain = load_recipe(name, Recipe, keys, scale, **values), None
    with contextlib.suppress(VlmtError):  # a recipe that is none without the keys
        plain = load_recipe(name, Recipe, (), scale, **values)
    return recipe.overridden(keys, plain)


def other_length(recipe: Recipe, preset: str) -> str:
    """Say how a run of an older vlmt, which did not say what ``--set`` changed, was trained longer or shorter than its
    recipe has it, at the whole size or at ``mini``; nothing where it was not."""
    if recipe.changed is not None:
        return ""
    lengths = [
        load_recipe(preset, Recipe, (), scale, tasks=list(recipe.tasks)).training.model_dump(include=set(_LENGTH))
        for scale in (None, "mini")
    ]
    own = recipe.training.model_dump(include=set(_LENGTH))
    return "" if own in lengths else ", ".join(f"{key} {own[key]}" for key in _LENGTH if own[key] != lengths[-1][key])


def write_recipe(run: Path, recipe: Recipe) -> None:
    """Write the recipe of a run, with every choice."""
    content = {"version": RECIPE_VERSION, **recipe.model_dump(mode="json")}
    write_text(run / RECIPE, yaml.safe_dump(content, sort_keys=False))


def read_recipe(run: Path) -> Recipe:
    """Read the recipe of a run. Raises a DataError when there is none, or it is damaged or of a newer vlmt."""
    path = run / RECIPE
    try:
        values = read_yaml(path)
    except FileNotFoundError as error:
        raise DataError("holds no run", where=run, todo="name a folder that vlmt train made") from error
    if not isinstance(values, dict):
        raise DataError("is damaged (it holds no keys and values)", where=path)
    check_version(version_of(values) or 1, RECIPE_VERSION, path)
    values.pop("version", None)
    return parse(Recipe, values, path)


def keys_of(recipe: Recipe) -> dict[str, Any]:
    """Return the keys that make a run what it is, with their values; how it began, its lineage says better."""
    flat: dict[str, Any] = {}
    for key, value in recipe.model_dump(
        mode="json", exclude={"start": True, "reproduces": True, "changed": True, "training": _LOGGING}
    ).items():
        section = value if isinstance(value, dict) else {None: value}
        flat |= {f"{key}.{name}" if name else key: choice for name, choice in section.items()}
    return flat


def difference_of(asked: Recipe, recorded: Recipe) -> str | None:
    """Name the first key in which a run differs from the requested recipe; None where there is none."""
    now, before = keys_of(asked), keys_of(recorded)
    different = (key for key in now if now[key] != before[key])
    return next((f"{key} is {before[key]} in the run, not {now[key]}" for key in different), None)


def task_token(task: str, kind: str) -> int | None:
    """Return a task's token: its dataset's own, its group's (that of the group's first task), or None (table 6)."""
    if kind == "none" or task == PRETRAINING:
        return None
    if kind == "dataset":
        return TASKS[task].token
    group = GROUPS.get(TASKS[task].group, (task,))
    return min(TASKS[name].token for name in group)


def check_tokens(tasks: Sequence[str], kind: str, rows: int) -> None:
    """Check that no two tasks share a task token, but for those of one group where tokens are of groups.

    Args:
        tasks: of a recipe.
        kind: ``dataset``, ``group`` or ``none``.
        rows: how many task tokens the model has.

    Raises:
        UsageError: two do.
    """
    first: dict[int, str] = {}
    for task in tasks:
        if (token := task_token(task, kind)) is None:
            continue
        other = first.setdefault(token, task)
        if other != task and (kind == "dataset" or TASKS[other].group != TASKS[task].group):
            free = ", ".join(map(str, free_tokens(rows))) or "none"
            todo = f"give one of them a free row in datasets/table.py ({free}), or train them in two runs"
            raise UsageError(f"{other} and {task} have the same task token, row {token}", todo=todo)
