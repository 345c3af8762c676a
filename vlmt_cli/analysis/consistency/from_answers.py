"""MT-VGC without a model: its questions and expressions written for kits, and answers read back into ``vgc.json``."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from vlmt_cli.analysis.consistency.answers import Judge, answered_by_all, parse_predictions
from vlmt_cli.analysis.consistency.compare import compare, make_report
from vlmt_cli.analysis.consistency.concepts import LEXICON, load_tagger
from vlmt_cli.analysis.consistency.exports.asked import Asked, asked_of
from vlmt_cli.analysis.consistency.exports.forms import export_of, write_export
from vlmt_cli.analysis.consistency.pairings import VQA_REFCOCO, pair_texts, pairing_of
from vlmt_cli.analysis.consistency.report import ConsistencyReport, Measured, Sight, write_report
from vlmt_cli.analysis.consistency.vgc import DEFAULT_RIGHT, rule_of
from vlmt_cli.evaluation.answers.text_boxes import AUTO, parse_convention


def export_questions(
    form: str, folder: Path, data: Path, pairing: str = VQA_REFCOCO, images: Path | None = None
) -> Asked:
    """Write the questions and expressions of a pairing.

    Args:
        form: a key of ``exports.forms.EXPORTS``.
        folder: to write to.
        data: the data folder.
        pairing: a key of ``pairings.PAIRINGS``.
        images: a folder with all photos; by default ``<data>/images``, which may lack them.

    Raises:
        UsageError: there is no such form or pairing.
        DataError: the pairing's files are not there, or ``images`` lacks photos.
    """
    export_of(form)
    texts = pairing_of(pairing).find(data)
    asked = asked_of(pairing, texts, images or data / "images", images is not None, data)
    write_export(form, folder, asked)
    return asked


def run_answers(
    predictions: Sequence[str],
    data: Path,
    folder: Path | None = None,
    *,
    pairing: str = VQA_REFCOCO,
    form: str | None = None,
    boxes: str = AUTO,
    tagger: str = LEXICON,
    right: str = DEFAULT_RIGHT,
    partial: bool = False,
    images: Path | None = None,
    gallery: int = 60,
) -> ConsistencyReport:
    """Measure how consistent models are whose answers are given, side by side on the same pairs.

    Args:
        predictions: FILE or NAME=FILE each; files of one name are one model's.
        data: the data folder.
        folder: where ``vgc.json`` and the pages go; by default ``vgc`` beside the first file.
        pairing: a key of ``pairings.PAIRINGS``, what the answers are to.
        form, boxes: of the files, as ``vlmt evaluate --predictions`` takes them.
        tagger, right, gallery: as ``run.run_vgc`` takes them.
        partial: whether what some model did not answer is left out; else it counts as wrong.
        images: a folder of photos for the pages; by default ``<data>/images``.

    Raises:
        UsageError: there is no such file, pairing, rule or form.
        DataError: a file cannot be read or is not of these questions, or the pairing's files are not there.
    """
    rule, chosen = rule_of(right), pairing_of(pairing)
    parse_convention(boxes)
    models = parse_predictions(predictions)
    texts = chosen.find(data)
    judge = Judge(chosen, texts, data)
    answered = {name: judge.read(paths, form, boxes) for name, paths in models.items()}
    notes = _notes({name: each.notes for name, each in answered.items()})
    said = {name: each.said for name, each in answered.items()}
    if partial:
        texts, said, left_out = answered_by_all(texts, answered)
        notes.append(left_out)
    tag = load_tagger(tagger)
    pairs = pair_texts(texts, tag)
    folder = folder or next(iter(models.values()))[0].parent / "vgc"
    compared = compare(texts, pairs, said, tag, rule, folder, images or data / "images", gallery)
    measured = {
        name: Measured(
            {},
            float(said[name].outcome.accuracy.mean()),
            float(said[name].outcome.located.mean()),
            Sight(0, (), ()),
            compared.consistency[name],
            tuple(map(str, paths)),
            compared.galleries[name],
        )
        for name, paths in models.items()
    }
    report = make_report(pairing, tagger, rule, measured, compared, notes, folder, {"vlmt": version("vlmt")})
    write_report(report)
    return report


def _notes(said: Mapping[str, Sequence[str]]) -> list[str]:
    """Say once what holds of all models, and of which model the rest is."""
    every = [note for note in next(iter(said.values())) if all(note in notes for notes in said.values())]
    return [*(f"{name}: {note}" for name, notes in said.items() for note in notes if note not in every), *every]
