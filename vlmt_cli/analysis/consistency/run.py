"""MT-VGC of models (sections 5 and 8.8): from checkpoints and prepared data to ``vgc.json`` and galleries.

Everything is chosen and checked before the first batch runs; what a model says is kept, so that another tagger, another
rule of what counts as right, or one more model costs no second run.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from vlmt_cli.analysis.consistency.compare import compare, make_report
from vlmt_cli.analysis.consistency.concepts import LEXICON, load_tagger
from vlmt_cli.analysis.consistency.models import (
    ExaminedCheckpoint,
    Load,
    PredictedPart,
    examine_checkpoint,
    parts_of,
    predict_part,
)
from vlmt_cli.analysis.consistency.names import TASK_SPLITS, NamedModel, find_models, home
from vlmt_cli.analysis.consistency.outcome import judge_outcome
from vlmt_cli.analysis.consistency.pairings import VQA_REFCOCO, pair_texts
from vlmt_cli.analysis.consistency.report import (
    ConsistencyReport,
    Measured,
    Sight,
    TakenWeights,
    write_report,
)
from vlmt_cli.analysis.consistency.texts import Texts, find_texts, singles, within
from vlmt_cli.analysis.consistency.vgc import DEFAULT_RIGHT, rule_of
from vlmt_cli.base.progress import Progress
from vlmt_cli.evaluation.contamination import seen_in_training
from vlmt_cli.evaluation.leaks import read_links
from vlmt_cli.evaluation.run import tensor_cores
from vlmt_cli.evaluation.setup import open_model
from vlmt_cli.features.coverage import examples_with_features
from vlmt_cli.runs.best import BestOrLast, find_weights
from vlmt_cli.runs.trained import trained_of
from vlmt_cli.tasks.process import ALONE, Process

GALLERY = 60


def run_vgc(
    models: Sequence[NamedModel],
    data: Path,
    folder: Path | None = None,
    *,
    weights: BestOrLast = "best",
    tagger: str = LEXICON,
    right: str = DEFAULT_RIGHT,
    features: str | None = None,
    partial: bool = False,
    process: Process = ALONE,
    batch_size: int = 64,
    gallery: int = GALLERY,
    progress: Progress = lambda name, done, total: None,
) -> ConsistencyReport | None:
    """Measure how consistent models are, side by side on the same pairs.

    Args:
        models: from ``vgc_names.parse_models``.
        data: the data folder.
        folder: where ``vgc.json``, ``vgc_gallery.html`` (one a model) and ``predictions/vgc/`` go. By default the run
            folder, or one beside the file; of several checkpoints ``vgc`` beside the first, while each keeps its own
            predictions, so that one more model does not run the others again.
        weights: which of a run to take.
        tagger: ``lexicon``, ``spacy`` or ``spacy:NAME``.
        right: when a question counts as answered, a key of ``vgc.RIGHT``; blanks do not matter.
        features: the store; by default each run's own, or the only one there.
        partial: whether images without features are left out, for all models if one lacks them.
        process: this one, among those that share the examples. What they say is the same, however many, bit for bit
            with as many threads each.
        batch_size: examples at a time.
        gallery: contradictions to show of each model, at most, with photos of ``<data>/images``; 0 writes no page.
        progress: called with what is being predicted, and how many examples of all are done.

    Returns:
        The report, in the first process; None in the others.

    Raises:
        UsageError: there is no such rule, checkpoint or store.
        DataError: the tagger is not installed, a dataset is not prepared, no image has both, a checkpoint lacks a head,
            features are missing or another extractor's, or a file is damaged.
    """
    rule = rule_of(right)
    models = find_models(models, data)
    texts = find_texts(data)
    # Several are loaded twice, rather than all kept in memory.
    load = lru_cache(maxsize=1)(lambda source: open_model(source, weights))
    tasks_of = _tasks_of(models)
    taken = {name: find_weights(name, weights) for name in tasks_of}
    sources = {name: examine_checkpoint(name, tasks, data, features, load) for name, tasks in tasks_of.items()}
    trained = {name: trained_of(name, weight) for name, weight in taken.items()}
    notes = [f"Of {name}: {weight}" for name, weight in taken.items() if weight.kind]
    notes += [f"{name} is unfinished ({far})." for name, far in trained.items() if far and not far.finished]
    notes += [note for model in models for note in _untrained(model, sources)]
    if partial:
        texts, left_out = _with_features(texts, sources.values())
        notes += left_out
    for name, task in ((name, task) for name, tasks in tasks_of.items() for task in tasks):
        images = singles(texts.of(task)["image"].combine_chunks())
        examples_with_features(sources[name].reader.store, images, task)
    tag = load_tagger(tagger)
    pairs = pair_texts(texts, tag) if process.is_first else None

    parts = {
        (name, task): parts_of(sources[name], task, texts.of(task), target / "predictions" / "vgc")
        for name, tasks in tasks_of.items()
        for target in [folder or home(name, data)]
        for task in tasks
    }
    _predict_missing([part for group in parts.values() for part in group], load, data, batch_size, process, progress)
    if pairs is None:
        return None
    folder = folder or _folder_of(models, data)
    said = {
        model.name: judge_outcome(texts, {task: parts[name, task] for task, name in model.checkpoints.items()})
        for model in models
    }
    compared = compare(texts, pairs, said, tag, rule, folder, data / "images", gallery)
    measured = {
        model.name: Measured(
            model.checkpoints,
            float(said[model.name].outcome.accuracy.mean()),
            float(said[model.name].outcome.located.mean()),
            _sight([sources[name] for name in model.sources], texts, data),
            compared.consistency[model.name],
            tuple(str(part.path) for task, name in model.checkpoints.items() for part in parts[name, task]),
            compared.galleries[model.name],
            {
                name: TakenWeights(weight.kind, far.iteration, "" if far.finished else str(far))
                for name, weight in taken.items()
                if name in model.sources and weight.kind and (far := trained[name])
            },
        )
        for model in models
    }
    versions = {"vlmt": version("vlmt"), "torch": str(torch.__version__)}
    report = make_report(VQA_REFCOCO, tagger, rule, measured, compared, notes, folder, versions)
    write_report(report)
    return report


def _folder_of(models: Sequence[NamedModel], data: Path) -> Path:
    sources = [source for model in models for source in model.sources]
    first = home(sources[0], data)
    return first if len(sources) == 1 else first.parent / "vgc"


def _tasks_of(models: Sequence[NamedModel]) -> dict[str, list[str]]:
    """Say for each checkpoint which tasks it is needed for."""
    tasks: dict[str, list[str]] = {}
    for task in TASK_SPLITS:
        for name in dict.fromkeys(model.checkpoints[task] for model in models):
            tasks.setdefault(name, []).append(task)
    return tasks


def _untrained(model: NamedModel, sources: Mapping[str, ExaminedCheckpoint]) -> list[str]:
    """Say which tasks a model's runs did not train."""
    lacking: dict[str, list[str]] = {}
    for task, name in model.checkpoints.items():
        trained = sources[name].tasks
        if trained is not None and task not in trained:
            lacking.setdefault(name, []).append(task)
    return [f"{model.name}: {name} was last trained without {' and '.join(tasks)}" for name, tasks in lacking.items()]


def _with_features(texts: Texts, sources: Iterable[ExaminedCheckpoint]) -> tuple[Texts, list[str]]:
    """Leave out the images that a store lacks, and say how much that is."""
    images = texts.images
    for source in sources:
        images = images.filter(pc.is_in(images, pa.array(source.reader.store.keys(), pa.string())))
    kept = within(texts, images)
    lost = len(texts.questions) - len(kept.questions), len(texts.expressions) - len(kept.expressions)
    note = f"{lost[0]:,} questions and {lost[1]:,} expressions are left out, as their images have no features"
    return kept, [note] if any(lost) else []


def _predict_missing(
    parts: Sequence[PredictedPart], load: Load, data: Path, batch_size: int, process: Process, progress: Progress
) -> None:
    """Run the checkpoints over what they have not said yet."""
    lacking = process.from_first([part.read() is None for part in parts] if process.is_first else [])
    missing = [part for part, lacks in zip(parts, lacking, strict=True) if lacks]
    done, total = 0, sum(len(part.table) for part in missing)
    with tensor_cores(process.device):
        for name, group in groupby(missing, lambda part: part.source.name):
            checkpoint = load(name).checkpoint
            checkpoint.model.to(process.device)
            for part in group:

                def report(task: str, count: int, _: int, part: PredictedPart = part, before: int = done) -> None:
                    progress(f"{Path(part.source.name).name}, {task} {part.split}", before + count, total)

                predict_part(part, checkpoint, data, batch_size, process, report)
                done += len(part.table)


def _sight(sources: Sequence[ExaminedCheckpoint], texts: Texts, data: Path) -> Sight:
    """Say which of the images the trainings behind a model's checkpoints saw, under any name."""
    links, images = read_links(data), singles(pc.unique(texts.expressions["image"]))
    seen, stages = np.zeros(len(images), bool), []
    for stage, trained in (known for source in sources for known in source.training.images):
        hit = seen_in_training(images, trained, links)
        if hit.any():
            seen |= hit
            stages.append(stage)
    unknown = dict.fromkeys(stage for source in sources for stage in source.training.unknown)
    return Sight(int(seen.sum()), tuple(dict.fromkeys(stages)), tuple(unknown))
