"""What ``vlmt vgc`` shows: the score and what it is made of, how models differ, and where they are consistent."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from vlmt_cli.analysis.consistency.report import ConsistencyReport, Measured
    from vlmt_cli.analysis.consistency.vgc import Agreement, Consistency
    from vlmt_cli.evaluation.bootstrap import Estimate

WORDS = 10
"""Nouns, and adjectives, that are shown; ``vgc.json`` has more."""


def show_report(report: "ConsistencyReport") -> None:
    """Print tables, and sentences below them."""
    from vlmt_cli.commands.show import stdout

    console = stdout()
    for number, table in enumerate(_tables(report)):
        if number:
            console.print()
        console.print(table)
    pages = [model.gallery for model in report.models.values() if model.gallery]
    pages += [report.side_by_side] if report.side_by_side else []
    for line in [*_remarks(report), f"Written to {report.folder}: {', '.join(['vgc.json', *pages])}"]:
        console.print(line, soft_wrap=True)


def _tables(report: "ConsistencyReport") -> "list[Table]":
    """Lay out the score and what it is made of, how models differ, and where they are consistent."""
    from vlmt_cli.commands.show import table

    measured = [model.consistency for model in report.models.values()]
    names = [_marked(name, model) for name, model in report.models.items()]
    rows = [
        [f"MT-VGC, answered at {report.right}", *(_shares(consistency.weighted.both) for consistency in measured)],
        *(
            [f"  answered at {rule}", *(_shares(consistency.by_right[rule].both) for consistency in measured)]
            for rule in measured[0].by_right
            if rule != report.right
        ),
        ["  unweighted", *(_shares(consistency.unweighted.both) for consistency in measured)],
        ["  expected by chance", *(_percent(consistency.weighted.chance) for consistency in measured)],
        ["  above it", *(_shares(consistency.weighted.excess) for consistency in measured)],
        ["  by chance within images", *(_percent(consistency.weighted.chance_within) for consistency in measured)],
        ["  above it", *(_shares(consistency.weighted.excess_within) for consistency in measured)],
        *(
            [["  control: no word shared", *map(_control, measured)]]
            if any(0 in consistency.by_overlap for consistency in measured)
            else []
        ),
        ["  kappa", *(_number(consistency.weighted.kappa) for consistency in measured)],
        ["questions answered", *(_percent(consistency.weighted.answered) for consistency in measured)],
        ["expressions found", *(_percent(consistency.weighted.found) for consistency in measured)],
    ]
    tables = [table(["", *names], rows, "Consistency in %")]
    if report.differences:
        rows = [
            [
                f"{difference.ours} above {difference.theirs}",
                *(_shares(each) for each in (difference.weighted, difference.unweighted)),
                _number(difference.kappa),
            ]
            for difference in report.differences
        ]
        header = ["", "MT-VGC", "unweighted", "kappa"]
        tables.append(table(header, rows, "Differences in %, on the same pairs"))
    return [*tables, _parts(report, names)]


def _control(consistency: "Consistency") -> str:
    """Show both right among pairs of the same images that share no word."""
    return _shares(consistency.by_overlap[0].both) if 0 in consistency.by_overlap else "-"


def _parts(report: "ConsistencyReport", names: "Sequence[str]") -> "Table":
    """Lay out MT-VGC by what pairs share: of one model with all that there is, of several side by side."""
    from itertools import islice

    from vlmt_cli.commands.show import table

    measured = [model.consistency for model in report.models.values()]
    kinds: list[tuple[str, list[Mapping[str, Agreement]]]] = [
        ("words shared", [{str(d): part for d, part in consistency.by_overlap.items()} for consistency in measured]),
        ("part of speech", [consistency.by_part for consistency in measured]),
        ("kind", [consistency.by_kind for consistency in measured]),
        ("noun", [consistency.by_noun for consistency in measured]),
        ("adjective", [consistency.by_adjective for consistency in measured]),
    ]
    rows: list[list[str]] = []
    for kind, groups in kinds:
        for number, (what, first) in enumerate(islice(groups[0].items(), WORDS)):
            cells = [kind if not number else "", what, f"{first.both.n:,}"]
            if len(measured) == 1:
                cells += [_shares(first.both), _percent(first.chance), _number(first.kappa)]
            else:
                cells += [_percent(group[what].both.value) for group in groups]
            rows.append(cells)
    columns = ["MT-VGC", "by chance", "kappa"] if len(measured) == 1 else names
    return table(
        ["pairs that share", "", "pairs", *columns],
        rows,
        "Consistency in %, by what question and expression share",
        left=2,
    )


def _remarks(report: "ConsistencyReport") -> list[str]:
    """Say what the numbers are of, and what they do not show."""
    from vlmt_cli.analysis.consistency.pairings import PAIRINGS, VQA_REFCOCO
    from vlmt_cli.analysis.consistency.vgc import COVERAGE, FEWEST_IMAGES
    from vlmt_cli.base.words import count
    from vlmt_cli.evaluation.marks import LEAKED, UNKNOWN

    first = next(iter(report.models.values())).consistency
    lines = [
        f"{count(first.questions, 'question')} and {count(first.expressions, 'expression')} about"
        f" {count(first.images, 'image')} make {count(first.pairs, 'pair')}, of which"
        f" {first.overlapping:,} share a noun or adjective by {report.tagger}."
    ]
    for name, model in report.models.items():
        if model.seen.images:
            lines.append(
                f"{LEAKED} {name}: {' and '.join(model.seen.stages)} saw {model.seen.images:,} of these images."
            )
        if model.seen.unknown:
            stages = " and ".join(model.seen.unknown)
            lines.append(f"{UNKNOWN} {name}: which images {stages} saw is not known, and they may be of these.")
    lines += [f"Pairing {report.pairing}: {PAIRINGS[report.pairing].title}.", report.usually_seen]
    if first.weighted.both.groups < FEWEST_IMAGES:
        lines.append(COVERAGE)
    if report.pairing != VQA_REFCOCO:
        return lines
    paper = dict(report.paper)
    images, pairs = (f"{int(paper.pop(what)):,}" for what in ("images", "question-reference pairs"))
    scores = ", ".join(f"{name} {score:.2f}%" for name, score in paper.items())
    return [*lines, f"The paper has {scores}, of {images} images and {pairs} pairs."]


def _marked(name: str, model: "Measured") -> str:
    """Mark a model whose training saw these images, or may have."""
    from vlmt_cli.evaluation.marks import LEAKED, UNKNOWN

    return name + LEAKED * bool(model.seen.images) + UNKNOWN * bool(model.seen.unknown)


def _percent(share: float) -> str:
    return f"{100 * share:z.2f}"


def _shares(estimate: "Estimate") -> str:
    return f"{_percent(estimate.value)} [{_percent(estimate.low)}, {_percent(estimate.high)}]"


def _number(estimate: "Estimate | None") -> str:
    return "-" if estimate is None else f"{estimate.value:z.3f} [{estimate.low:z.3f}, {estimate.high:z.3f}]"
