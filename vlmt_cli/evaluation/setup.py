"""What running a model on prepared data needs: its tokenizer, its recipe, and features of the same extractor."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.datasets.table import AMONG_CANDIDATES
from vlmt_cli.features.reader import RegionReader, find_stores, named_store
from vlmt_cli.features.store import FeatureStore, Meta
from vlmt_cli.runs.best import BestOrLast, Weights, find_weights
from vlmt_cli.runs.checkpoint import Checkpoint, load_checkpoint
from vlmt_cli.runs.lineage import Extractor, same_features
from vlmt_cli.runs.recipe import RECIPE, Recipe, read_recipe, task_token
from vlmt_cli.runs.recipe_sections import FeatureChoices
from vlmt_cli.tasks.text import TextEncoder

STORE_OPTION = "--set features.store=NAME"
FEATURES_OPTION = "--features NAME"


class TrainedOn(NamedTuple):
    """The features that a checkpoint was trained on.

    Attributes:
        extractor: of its lineage; None when unknown.
        width: of the features.
    """

    extractor: Extractor | None
    width: int

    def likeness(self, store: FeatureStore) -> int:
        """Say how surely a store is the one that was read: 4 by name and hash, 3 by hash, 2 by features, 0 never."""
        if store.meta.feature_width != self.width:
            return 0
        if self.extractor is None:
            return 1
        if store.meta.extractor_hash == self.extractor.hash:
            return 4 if store.path.name == self.extractor.store else 3
        return 2 if same_features(store.meta.extractor_hash) == same_features(self.extractor.hash) else 0


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint with what it takes to run it.

    Attributes:
        source: the run folder, file or hub id that was named.
        weights: which of its weights these are.
        checkpoint: the model, with its labels and lineage.
        recipe: of its run; None of weights that came without one.
        encoder: its tokenizer.
    """

    source: str
    weights: Weights
    checkpoint: Checkpoint
    recipe: Recipe | None
    encoder: TextEncoder

    @property
    def features(self) -> FeatureChoices:
        """The features that its run read; defaults where there is no recipe."""
        return self.recipe.features if self.recipe else FeatureChoices()

    def token(self, task: str) -> int | None:
        """Return the task token that it takes for a task; None for none."""
        return task_token(task, token_kind(self.checkpoint))

    def reader(self, data: Path, features: str | None = None) -> RegionReader:
        """Open the stores of its features.

        Args:
            data: the data folder.
            features: the store; by default the recipe's, or the one that the model was trained on.

        Raises:
            UsageError: no store, or several, could be meant, or features have another width.
            DataError: features are another extractor's.
        """
        choices = self.features.model_copy(update={"store": features} if features else {})
        reader = open_stores(choices, data, FEATURES_OPTION, trained=trained_on(self.checkpoint))
        for store in reader.stores:
            check_features_fit(self.checkpoint, store.meta, FEATURES_OPTION)
        return reader


def open_model(source: str, weights: BestOrLast = "best") -> LoadedModel:
    """Load a checkpoint with its recipe and tokenizer. Errors are ``load_model``'s."""
    checkpoint = load_model(source, weights)
    assert checkpoint.tokenizer is not None
    encoder = TextEncoder(checkpoint.tokenizer)
    return LoadedModel(source, find_weights(source, weights), checkpoint, recipe_of(source), encoder)


def load_model(source: str, weights: BestOrLast = "best") -> Checkpoint:
    """Load a checkpoint that can read texts; of a run, its best weights or its last.

    Raises:
        UsageError: it has no tokenizer.
    """
    checkpoint = load_checkpoint(find_weights(source, weights).source)
    if checkpoint.tokenizer is None:
        raise UsageError("has no tokenizer", where=source, todo="give one to vlmt convert with --tokenizer")
    return checkpoint


def recipe_of(source: str) -> Recipe | None:
    """Read the recipe of a run folder; None of weights that came without one."""
    return read_recipe(Path(source)) if (Path(source) / RECIPE).exists() else None


def token_kind(checkpoint: Checkpoint) -> str:
    """Say which task tokens a model takes: the datasets', their groups', or none."""
    return checkpoint.config.task_token if checkpoint.config.trunk.task_tokens else "none"


def trained_on(checkpoint: Checkpoint) -> TrainedOn:
    """Return the features that a checkpoint was trained on."""
    return TrainedOn(checkpoint.lineage.extractor, checkpoint.config.trunk.region_features)


def make_reader(recipe: Recipe, data: Path, fixed: bool = False, trained: TrainedOn | None = None) -> RegionReader:
    """Open the feature stores that a recipe names, or those in the data folder that fit what a model was trained on.

    Raises:
        UsageError: no store, or several, could be meant; or a task needs candidates' features and there are none.
    """
    reader = open_stores(recipe.features, data, fixed=fixed, trained=trained)
    needed = [task for task in recipe.tasks if task in AMONG_CANDIDATES and reader.of(task).candidates is None]
    if needed:
        what = f"{' and '.join(needed)} choose among given boxes, and there is no store of their features"
        todo = f"make one with vlmt extract --boxes candidates --data {data}"
        raise UsageError(what, where=data / "features", todo=todo)
    return reader


def open_stores(
    choices: FeatureChoices,
    data: Path,
    option: str = STORE_OPTION,
    fixed: bool = False,
    trained: TrainedOn | None = None,
) -> RegionReader:
    """Open the feature stores that are named, or those that are there and fit.

    Args:
        choices: of a recipe.
        data: the data folder.
        option: how to name a store, for the error.
        fixed: as the reader has it.
        trained: what a model was trained on; its own store goes before all others. None for a new model.

    Raises:
        UsageError: no store, or several, could be meant.
        DataError: features of given boxes are another extractor's than those of detected ones.
    """
    folder, candidates = data / "features", choices.candidates
    of_all, own = (candidates, {}) if isinstance(candidates, str) else (None, candidates or {})

    def likeness(store: FeatureStore) -> int:
        if store.meta.cells**2 > choices.regions:
            return 0
        return trained.likeness(store) if trained else 1

    def beside_it(store: FeatureStore, given: FeatureStore) -> int:
        own = trained.extractor.candidates if trained and trained.extractor else None
        return 1 + (given.path.name == own) if _fit(store, given) else 0

    path, beside = find_stores(folder, choices.store, of_all, option, likeness, beside_it)
    store, given = FeatureStore(path), FeatureStore(beside) if beside else None
    if given is not None and of_all is None and not _fit(store, given):
        given = None  # nobody named it
    if store.meta.cells**2 > choices.regions:
        side = store.meta.cells
        what = f"holds {side} x {side} cells an image, and features.regions is {choices.regions}"
        raise UsageError(what, where=path, todo=f"take them all with --set features.regions={side**2}")
    own_stores = {task: FeatureStore(named_store(folder, name)) for task, name in own.items()}
    reader = RegionReader(store, given, choices.regions, fixed, own_stores)
    for other in reader.stores:
        if not _fit(store, other):
            what = f"holds features of {other.meta.extractor}, and {path} has those of {store.meta.extractor}"
            raise DataError(what, where=other.path, todo="let one extractor make both")
    return reader


def _fit(first: FeatureStore, second: FeatureStore) -> bool:
    """Tell whether features of two stores mean the same."""
    widths = {store.meta.feature_width for store in (first, second)}
    return len({same_features(store.meta.extractor_hash) for store in (first, second)}) == len(widths) == 1


def check_features_fit(checkpoint: Checkpoint, meta: Meta, option: str) -> None:
    """Refuse features that a checkpoint was not trained on; ``option`` says how to name others.

    Raises:
        DataError: the features are another extractor's than the checkpoint's.
        UsageError: they are of another width.
    """
    trunk, extractor = checkpoint.config.trunk, checkpoint.lineage.extractor
    if trunk.region_features != meta.feature_width:
        what = (
            f"the checkpoint takes features of width {trunk.region_features}, and the store's have {meta.feature_width}"
        )
        raise UsageError(what, todo=f"take the features that it was trained on with {option}")
    if extractor is not None and same_features(extractor.hash) != same_features(meta.extractor_hash):
        what = f"the checkpoint was trained on features of {extractor.name}, and the store's are of {meta.extractor}"
        raise DataError(what, todo=f"features of another extractor mean nothing to it: name its own with {option}")
