"""``vgc.json``: MT-VGC of models, with all that reproducing and checking it needs."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from vlmt_cli.analysis.consistency.vgc import Consistency, Difference
from vlmt_cli.base.files import write_bytes
from vlmt_cli.paper import table
from vlmt_cli.runs.best import BestOrLast

VGC_FILE = "vgc.json"
FORMAT = "vlmt vgc 5"


@dataclass(frozen=True)
class Sight:
    """What is known of a model's training and the images that it is measured on.

    Attributes:
        images: how many of these any training behind it saw.
        stages: the trainings that saw some, by name.
        unknown: the trainings that may have seen any, as their images are not known.
    """

    images: int
    stages: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class TakenWeights:
    """Which weights of a run were measured.

    Attributes:
        kind: its best or its last.
        iteration: after which they were taken.
        unfinished: how far the run was, where it had not come to its end, as ``iteration 50 of 3,000``.
    """

    kind: BestOrLast
    iteration: int
    unfinished: str


@dataclass(frozen=True)
class Measured:
    """One model.

    Attributes:
        checkpoints: of each task; empty where only a model's answers are known.
        questions: mean VQA accuracy, each question counted once, whatever it shares with expressions.
        expressions: mean accuracy (IoU > 0.5), each expression counted once.
        seen: whether its training saw these images.
        consistency: MT-VGC and all its parts.
        predictions: the files of what it said.
        gallery: the page of its contradictions, in the report's folder; None where there is none.
        weights: of each checkpoint that is a run, by its name.
    """

    checkpoints: dict[str, str]
    questions: float
    expressions: float
    seen: Sight
    consistency: Consistency
    predictions: tuple[str, ...]
    gallery: str | None
    weights: dict[str, TakenWeights] = field(default_factory=dict)


@dataclass(frozen=True)
class ConsistencyReport:
    """What ``vgc.json`` holds.

    Attributes:
        format: of this file.
        pairing: which questions and expressions, a key of ``pairings.PAIRINGS``.
        usually_seen: what training mixtures usually have of them.
        tagger: what found the concepts.
        right: when a question counts as answered, a key of ``vgc.RIGHT``.
        models: by name, in the order given.
        differences: of each model and each before it.
        notes: what a reader should know, a line each.
        side_by_side: the page of contradictions on which models differ, in the report's folder; None if there is none.
        folder: where this file is, as it was written.
        paper: its figures by name: MT-VGC in percent, images and pairs.
        versions: of ``vlmt``, and of ``torch`` where it ran.
    """

    format: str
    pairing: str
    usually_seen: str
    tagger: str
    right: str
    models: dict[str, Measured]
    differences: list[Difference]
    notes: list[str]
    side_by_side: str | None
    folder: str
    paper: dict[str, float]
    versions: dict[str, str]


def report_json(report: ConsistencyReport) -> bytes:
    """Lay a report out for people."""
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"


def write_report(report: ConsistencyReport) -> None:
    """Write ``vgc.json`` into the report's folder."""
    write_bytes(Path(report.folder) / VGC_FILE, report_json(report))


def papers_figures() -> dict[str, float]:
    """Return what the paper reports (section 5): MT-VGC of ST, AT and AT->ST in percent, images and pairs."""
    kind = "MT-VGC "
    rows = (row for row in table("other") if row["what"].startswith(kind))
    return {row["what"].removeprefix(kind): float(row["value"]) for row in rows}
