"""What models said, side by side: MT-VGC of each, the differences, and the pages of contradictions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.analysis.consistency.beside import write_beside
from vlmt_cli.analysis.consistency.concepts import Tagger
from vlmt_cli.analysis.consistency.gallery import write_gallery
from vlmt_cli.analysis.consistency.outcome import Said, contradictions, side_by_side
from vlmt_cli.analysis.consistency.pairings import PAIRINGS
from vlmt_cli.analysis.consistency.pairs import ConceptPairs
from vlmt_cli.analysis.consistency.report import FORMAT, ConsistencyReport, Measured, papers_figures
from vlmt_cli.analysis.consistency.texts import Texts
from vlmt_cli.analysis.consistency.vgc import Consistency, Difference, compare_models, measure_vgc

BESIDE = "vgc_side_by_side.html"


@dataclass(frozen=True)
class Compared:
    """Models on the same pairs.

    Attributes:
        consistency: of each, by name.
        galleries: the page of each one's contradictions, in the folder; None where none was asked for.
        differences: of each and each before it.
        side_by_side: the page of contradictions on which they differ; None of one model.
    """

    consistency: dict[str, Consistency]
    galleries: dict[str, str | None]
    differences: list[Difference]
    side_by_side: str | None


def compare(
    texts: Texts,
    pairs: ConceptPairs,
    said: Mapping[str, Said],
    tag: Tagger,
    rule: str,
    folder: Path,
    photos: Path,
    gallery: int,
) -> Compared:
    """Measure models, and write their pages.

    Args:
        texts, pairs: what they were asked.
        said: by the name of the model.
        tag: what found the concepts.
        rule: when a question counts as answered, a key of ``vgc.RIGHT``.
        folder: for the pages.
        photos: where photos are, ``<data>/images``.
        gallery: contradictions a page, at most; 0 writes none.
    """
    consistency = {name: measure_vgc(pairs, each.outcome, rule) for name, each in said.items()}
    galleries: dict[str, str | None] = dict.fromkeys(said)
    beside = None
    for name in said if gallery else ():
        page = "vgc_gallery.html" if len(said) == 1 else f"vgc_gallery-{_file_name(name)}.html"
        shown = contradictions(texts, pairs, said[name], rule, gallery, photos)
        write_gallery(folder / page, shown, tag, name, _lead(consistency[name]))
        galleries[name] = page
    if gallery and len(said) > 1:
        beside = BESIDE
        write_beside(folder / beside, side_by_side(texts, pairs, said, rule, gallery, photos), tag, list(said))
    differences = compare_models(pairs, {name: each.outcome for name, each in said.items()}, rule)
    return Compared(consistency, galleries, differences, beside)


def make_report(
    pairing: str,
    tagger: str,
    rule: str,
    measured: dict[str, Measured],
    compared: Compared,
    notes: Sequence[str],
    folder: Path,
    versions: dict[str, str],
) -> ConsistencyReport:
    """Put together what ``vgc.json`` holds."""
    return ConsistencyReport(
        format=FORMAT,
        pairing=pairing,
        usually_seen=PAIRINGS[pairing].seen,
        tagger=tagger,
        right=rule,
        models=measured,
        differences=compared.differences,
        notes=list(notes),
        side_by_side=compared.side_by_side,
        folder=str(folder),
        paper=papers_figures(),
        versions=versions,
    )


def _lead(measured: Consistency) -> str:
    """Say how consistent a model is, above its contradictions."""
    both, chance = measured.weighted.both, measured.weighted.chance
    return (
        f"MT-VGC is {both.value:.1%} (95% interval {both.low:.1%} to {both.high:.1%}); {chance:.1%} would be"
        f" expected if the two skills were independent. {measured.questions:,} questions and {measured.expressions:,}"
        f" expressions about {measured.images:,} images; a question is right at VQA accuracy {measured.right}."
    )


def _file_name(model: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", model)
