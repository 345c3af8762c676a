"""Where weights came from: every stage of training behind them, with its clean split and its images.

Whoever tests a model can so ask whether a test image was in any stage's training set.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

LINEAGE_VERSION = 2
"""Version 1 named no datasets."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Beginning(_Model):
    """What a training started from, tensor by tensor.

    Tensors are counted by module: a name is that of a module all of whose tensors went the same way, or of a tensor.

    Attributes:
        source: the checkpoint, the BERT, or ``random weights``.
        taken: tensors of the model that came from the source.
        new: tensors of the model that were initialised at random.
        left_behind: tensors of the source that the model does not have.
    """

    source: str
    taken: dict[str, NonNegativeInt] = {}
    new: dict[str, NonNegativeInt] = {}
    left_behind: dict[str, NonNegativeInt] = {}

    def __str__(self) -> str:
        """Say it in one line."""
        ways = (("taken", self.taken), ("new", self.new), ("left behind", self.left_behind))
        counts = [f"{sum(modules.values()):,} {way}{_named(modules)}" for way, modules in ways]
        return f"Tensors of {self.source}: {', '.join(counts)}"


class Environment(_Model):
    """What a training ran on: beside recipe, data and seed, all that decides the last bits of its weights.

    Attributes:
        seed: of everything that was drawn.
        device: ``cpu`` with its instruction set, such as ``x86_64 AVX512``, or the name of the GPU.
        processes: of all machines together.
        threads: of each process, as PyTorch has them.
        omp_num_threads: the environment variable of this name; None where it was not set.
        versions: of Python and of the packages that compute.
    """

    seed: NonNegativeInt
    device: str
    processes: PositiveInt
    threads: PositiveInt
    omp_num_threads: str | None = None
    versions: dict[str, str] = {}


class Stage(_Model):
    """One training.

    Attributes:
        name: what was trained, such as ``pretrain`` or ``all-tasks``.
        split_hash: of the clean split that it read; None when unknown.
        recipe_hash: of its recipe; None when unknown.
        images: a file beside the weights, parquet or text, with the image keys that it trained on; None when unknown.
        datasets: whose images it trained on, where nothing but their names is known.
        steps: optimizer steps.
        beginning: what it started from; None when unknown, as in lineages of earlier versions.
        environments: what it ran on, the first first; more than one where it went on elsewhere. Empty when unknown.
    """

    name: str
    split_hash: str | None = None
    recipe_hash: str | None = None
    images: str | None = None
    datasets: tuple[str, ...] = ()
    steps: NonNegativeInt = 0
    beginning: Beginning | None = None
    environments: tuple[Environment, ...] = ()

    @property
    def told(self) -> str:
        """Its name, with the datasets that it is known to have trained on."""
        return f"{self.name} ({' and '.join(self.datasets)})" if self.datasets else self.name

    @field_validator("images")
    @classmethod
    def _stands_beside(cls, images: str | None) -> str | None:
        if images is not None and (PurePath(images).name != images or not images.startswith("images")):
            raise ValueError(f"{images!r} is not a file name that starts with images")
        return images


class Extractor(_Model):
    """The detector behind the region features, and where they were.

    Attributes:
        name: of the extractor.
        hash: of the extractor; tells two of the same name apart.
        store: the name of the feature store that was read; None when unknown, as in older lineages.
        candidates: the same of given boxes; None where none was read.
    """

    name: str
    hash: str
    store: str | None = None
    candidates: str | None = None


class Lineage(_Model):
    """Where weights came from.

    Attributes:
        version: of this file.
        stages: every training behind them, the first first.
        extractor: of the features that they were trained on; None when unknown.
        source: the weights that the first stage began with, or that were converted.
    """

    version: PositiveInt = LINEAGE_VERSION
    stages: Annotated[tuple[Stage, ...], Field(max_length=1_000)] = ()
    extractor: Extractor | None = None
    source: str | None = None


def by_module(names: Collection[str], all_names: Iterable[str]) -> dict[str, int]:
    """Count tensors by the largest modules of which all tensors, among ``all_names``, are in ``names``."""
    chosen = Counter(module for name in names for module in _modules(name))
    whole = Counter(module for name in all_names for module in _modules(name))
    largest = (next(module for module in _modules(name) if chosen[module] == whole[module]) for name in names)
    return dict(Counter(largest))


def _modules(name: str) -> list[str]:
    """The names of a tensor's modules, the outermost first, and its own."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _named(modules: Mapping[str, int], most: int = 8) -> str:
    more = f", and {len(modules) - most} more" if len(modules) > most else ""
    return f" ({', '.join(list(modules)[:most])}{more})" if modules else ""


def same_features(extractor_hash: str) -> str:
    """Return the part of an extractor's hash that says how features are made, whatever the boxes."""
    return extractor_hash.partition("-")[0]


def to_json(value: Any) -> str:
    """Lay a file's content out for people."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
