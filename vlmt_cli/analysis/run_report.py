"""The report page of some runs: a section for all that they and their data have, a sentence for what they lack."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmt_cli.analysis import overview
from vlmt_cli.analysis.chosen import examples_section
from vlmt_cli.analysis.relations.table2 import table2_rows
from vlmt_cli.analysis.relations.table2_runs import scored_runs
from vlmt_cli.analysis.report import Section, missing_list, write_page
from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.words import count
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.marks import is_leaked
from vlmt_cli.evaluation.run_scores import RunScores, run_scores
from vlmt_cli.evaluation.scores import SCORES_FILE, Scores
from vlmt_cli.runs.folders import CONFIG, data_option
from vlmt_cli.runs.recipe import RECIPE, read_recipe

_MARKS = (RECIPE, CONFIG, SCORES_FILE)
"""Any of these files makes a folder a run."""
_UNREADABLE = (OSError, ImportError, LookupError, TypeError, ValueError, AttributeError, StopIteration)
"""What reading the files of a foreign run folder may come to; a page without that part is better than none."""


@dataclass(frozen=True)
class Lack:
    """What a page does not have: what, and the command that makes it, or the reason."""

    what: str
    command: str = ""


@dataclass
class RunReport:
    """A page as it was written.

    Attributes:
        sections: in order.
        lacks: what is not on it.
    """

    sections: list[Section] = field(default_factory=list)
    lacks: list[Lack] = field(default_factory=list)

    def add(self, what: str, command: str, make: Callable[[], Section]) -> None:
        """Add a section, or, where its files are missing or damaged, say so."""
        try:
            self.sections.append(make())
        except (VlmtError, *_UNREADABLE) as error:
            reason = " ".join(str(error).split())[:300]
            self.lacks.append(Lack(f"{what}: not shown ({reason})", command))


def find_runs(paths: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Tell run folders from what else is named.

    Returns:
        The runs, in order, each once; and for each other path why it is passed over.
    """
    runs: dict[Path, None] = {}
    passed: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            passed[path] = "not a folder" if path.exists() else "does not exist"
        elif not any((path / name).is_file() for name in _MARKS):
            inside = next((child for child in sorted(path.iterdir()) if (child / RECIPE).is_file()), None)
            passed[path] = f"not a run, but a folder of runs such as {inside}" if inside else "not a run folder"
        elif reason := _damage(path):
            passed[path] = reason
        else:
            runs[path] = None
    return list(runs), passed


def _damage(run: Path) -> str:
    try:
        if (run / RECIPE).is_file():
            read_recipe(run)
        run_scores(run)
    except (VlmtError, OSError) as error:
        return str(error)
    return ""


def write_report(
    page: Path,
    runs: Sequence[Path],
    data: Path,
    *,
    title: str = "",
    intro: str = "",
    models: Mapping[str, Sequence[Path]] | None = None,
    compared: str = "",
    examples: int = 2,
    baselines: Mapping[str, float] | None = None,
    answers: Path | None = None,
    foot: str = "",
) -> RunReport:
    """Write the page of some runs.

    Args:
        page: the HTML file.
        runs: run folders (``find_runs``).
        data: the data folder that they were trained on; what it lacks is left out.
        title, intro, foot: in words.
        models: runs that are compared, by name: one, or one a task. Else the rows of table 2, and each other run.
        compared: what to say above that comparison.
        examples: how many right and wrong examples of each task to show.
        baselines: of the run with most tasks, where they are known already (``overview.chances``).
        answers: what ``evaluate --predictions --to`` wrote about a run's answers, scored as another model's.

    Raises:
        VlmtError: the page cannot be written.
    """
    report = RunReport()
    read = {run: run_scores(run) for run in runs}
    scored = {run: mine.scores for run, mine in read.items() if mine.scores is not None}
    at = data_option(data)
    for run, mine in read.items():
        if mine.unfinished:
            report.lacks.append(
                Lack(f"The rest of {run.name}, which is unfinished ({mine.unfinished})", mine.resume + at)
            )
        if run not in scored and not _pretrains(run):
            why = f", which {mine.lack}" if mine.is_stale else ""
            report.lacks.append(Lack(f"Scores of {run.name}{why}", mine.todo + at))
    report.add("Leaks", "", lambda: overview.leaks_section(data))
    if scored:
        _add_scores(report, scored, data, baselines, read)
        _add_models(report, scored, models, compared)
    parents = list(dict.fromkeys(run.parent for run in runs))
    main = max(runs, key=lambda run: len(_tasks(run, scored)))
    if len(_tasks(main, scored)) > 1:
        _add_multi_task(report, main, parents, data)
    _add_consistency(report, runs, parents, scored, data)
    _add_attention(report, main, data)
    if answers is not None:
        report.add("Scored as another model's", "", lambda: overview.answers_section(answers))
    if scored and examples:
        best = max(scored, key=lambda run: len(scored[run].tasks))
        report.add("Examples", "", lambda: examples_section(best, data, scored[best], examples))
    sections = list(report.sections)
    if report.lacks:
        body = missing_list([(lack.what, lack.command) for lack in report.lacks])
        sections.append(Section("Not on this page", "What these runs and their data do not have yet.", body))
    names = ", ".join(_names(runs))
    title = title or (f"Report of {len(runs)} runs" if len(runs) > 1 else f"Report of {names}")
    write_page(page, title, intro or f"{names}; data: {data}", sections, foot)
    return report


def _add_scores(
    report: RunReport,
    scored: Mapping[Path, Scores],
    data: Path,
    baselines: Mapping[str, float] | None,
    read: Mapping[Path, RunScores],
) -> None:
    main = max(scored, key=lambda run: len(scored[run].tasks))
    known = baselines if baselines is not None else _baselines(report, main, data, scored[main])
    far = f", unfinished ({read[main].unfinished})" if read[main].unfinished else ""
    title = f"{main.name}: {count(len(scored[main].tasks), 'task')}{far}"
    report.sections.append(overview.scores_section(title, scored[main], known))


def _add_models(
    report: RunReport, scored: Mapping[Path, Scores], models: Mapping[str, Sequence[Path]] | None, compared: str
) -> None:
    """Add the comparison of several runs: those that are named, or the kinds of models of table 2 and the others."""
    named = dict(zip(_names(list(scored)), scored, strict=True))
    members, _ = scored_runs(scored) if models is None else ([], [])
    rows, _ = table2_rows(members)
    if len(rows) > 1:
        intro = "Kinds of models, as in the paper's table. In percent, with 95% intervals."
        report.sections.append(overview.table2_section(rows, intro))
    shown = models or {name: [run] for name, run in named.items()}
    if len(shown) > 1 and (len(rows) < 2 or len(members) < len(scored)):
        intro = f"{compared} In percent, with 95% intervals.".lstrip()
        report.sections.append(overview.models_section("Models", intro, shown))
    if any(is_leaked(task) for scores in scored.values() for task in scores.tasks.values()):
        report.sections.append(overview.seen_section({name: scored[run] for name, run in named.items()}))


def _baselines(report: RunReport, run: Path, data: Path, scores: Scores) -> dict[str, float]:
    try:
        return overview.chances(run, data, scores)
    except (VlmtError, *_UNREADABLE) as error:  # other data, no features, the light core
        report.lacks.append(Lack(f"Chance baselines: not computed ({' '.join(str(error).split())[:300]})"))
        return {}


def _add_multi_task(report: RunReport, run: Path, parents: Sequence[Path], data: Path) -> None:
    """Add what ``vlmt analyze`` drew of a run of several tasks, and of the runs beside it."""
    drawn = [parent / "pairs.png" for parent in parents]
    pairs = next((path for path in drawn if path.is_file()), drawn[0])
    at = ("--data", data)
    for title, intro, path, command in (
        (
            "Schedule",
            "When each task trained in every iteration (thick), and when it was stopped and trained in few (thin).",
            run / "schedule" / "stop-and-go.png",
            _vlmt("analyze", "schedule", run, *at),
        ),
        (
            "Pairs and triples",
            "How much better a task (row) gets when it is trained with others (columns) than alone, in percent.",
            pairs,
            _vlmt("analyze", "pairs", "--runs", run.parent, *at),
        ),
        (
            "Affinity",
            "The same question asked of one run: what a step on one task does to another's loss.",
            run / "affinity.png",
            _vlmt("analyze", "affinity", run, *at),
        ),
    ):
        if not path.is_file():
            report.lacks.append(Lack(title, command))
        else:
            show = overview.pairs_section if path == pairs else overview.picture_section
            report.add(title, command, lambda s=show, t=title, i=intro, p=path: s(t, i, p))  # type: ignore[misc]


def _add_consistency(
    report: RunReport, runs: Sequence[Path], parents: Sequence[Path], scored: Mapping[Path, Scores], data: Path
) -> None:
    candidates = [*(run / "vgc.json" for run in runs), *(parent / "vgc" / "vgc.json" for parent in parents)]
    path = next((path for path in candidates if path.is_file()), None)
    able = next((run for run in runs if {"vqa", "refcoco", "refcoco+"} <= set(_tasks(run, scored))), None)
    command = _vlmt("vgc", "--model", able, "--data", data) if able else ""
    try:
        before = overview.measured_before(path) if path else ""
    except (VlmtError, *_UNREADABLE):
        before = ""  # the section says what is wrong with it
    if before:
        report.lacks.append(Lack(f"Consistency: {path} {before}", command))
    elif path:
        report.add("Consistency", command, lambda: overview.consistency_section(path))
    elif able:
        report.lacks.append(Lack("Consistency", command))


def _add_attention(report: RunReport, run: Path, data: Path) -> None:
    pictures = [path for name in ("words", "maps") if (path := run / f"attention_{name}.png").is_file()]
    page = run / "attention.html"
    if pictures:
        intro = (
            "The word that each region attends to most, and the four kinds of maps, averaged over layers and heads."
            f"{f' {page} is a page to look around in all of them.' if page.is_file() else ''}"
        )
        report.add("Attention", "", lambda: overview.pictures_section("Attention", intro, pictures))
    elif not _pretrains(run):
        outputs = ("--to", page, "--words", run / "attention_words.png", "--maps", run / "attention_maps.png")
        command = f"{_vlmt('analyze', 'attention')} PHOTO --text TEXT {shlex.join(['--model', str(run)])}"
        command += f" {shlex.join(map(str, (*outputs, '--data', data)))}"
        report.lacks.append(Lack("Attention", command))


def _tasks(run: Path, scored: Mapping[Path, Scores]) -> list[str]:
    """The tasks that a run is trained on, or else scored on."""
    if (run / RECIPE).is_file():
        return [task for task in read_recipe(run).tasks if task in TASKS]
    return list(scored[run].tasks) if run in scored else []


def _pretrains(run: Path) -> bool:
    return (run / RECIPE).is_file() and read_recipe(run).pretrains


def _names(runs: Sequence[Path]) -> list[str]:
    """Name runs by their folders, or by whole paths where two have one name."""
    counts = Counter(run.name for run in runs)
    return [run.name if counts[run.name] == 1 else str(run) for run in runs]


def _vlmt(*words: object) -> str:
    return shlex.join(["vlmt", *map(str, words)])


def as_json(page: Path, report: RunReport, runs: Sequence[Path], passed: Mapping[Path, str]) -> str:
    """Return what was written, and what was passed over, as JSON."""
    return json.dumps(
        {
            "page": str(page),
            "runs": [str(run) for run in runs],
            "passed_over": [{"path": str(path), "reason": reason} for path, reason in passed.items()],
            "sections": [section.title for section in report.sections],
            "missing": [{"what": lack.what, "command": lack.command or None} for lack in report.lacks],
        },
        indent=2,
    )
