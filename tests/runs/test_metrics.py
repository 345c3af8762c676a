"""Metrics are lines in order; a crash may cut the last one, and what goes on forgets what came after its checkpoint."""

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.runs.metrics import METRICS, append, cut_metrics, first_seed, read_metrics

LINES = [
    {"kind": "start", "iteration": 0, "seed": 7},
    {"kind": "train", "iteration": 2, "task": "vqa", "loss": 0.5},
    {"kind": "save", "iteration": 2},
    {"kind": "start", "iteration": 2, "seed": 7},
    {"kind": "train", "iteration": 3, "task": "vqa", "loss": 0.25},
    {"kind": "end", "iteration": 3, "seconds": 1.5},
]


@pytest.fixture
def run(tmp_path):
    for line in LINES:
        append(tmp_path, line)
    return tmp_path


def test_lines_are_read_as_they_were_written(run):
    assert read_metrics(run) == LINES
    assert (run / METRICS).read_text().count("\n") == len(LINES)


@pytest.mark.parametrize(
    ("iteration", "kept"),
    [
        (3, [0, 1, 2, 3, 4]),  # of a run that ended: all but that
        (2, [0, 1, 2]),  # a start from here is told again
        (1, [0]),
        (0, []),
    ],
)
def test_what_came_after_a_checkpoint_is_cut(run, iteration, kept):
    cut_metrics(run, iteration)
    assert read_metrics(run) == [LINES[number] for number in kept]


def test_a_last_line_that_a_crash_cut_is_left_out(run):
    text = (run / METRICS).read_text()
    (run / METRICS).write_text(text + '{"kind": "train", "itera')
    assert read_metrics(run) == LINES
    cut_metrics(run, 3)
    append(run, {"kind": "save", "iteration": 4})
    assert [line["iteration"] for line in read_metrics(run)] == [0, 2, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("damage", "message"), [("{half", "is not valid JSON"), ("[1]", "names no kind"), ("{}", "names no")]
)
def test_damage_in_the_middle_names_the_line(run, damage, message):
    lines = (run / METRICS).read_text().splitlines()
    lines[2] = damage
    (run / METRICS).write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"metrics.jsonl:3: {message}"):
        read_metrics(run)


def test_the_first_seed_is_the_runs(run, tmp_path_factory):
    assert first_seed(run, 3) == 7
    assert first_seed(tmp_path_factory.mktemp("empty"), 3) == 3


def test_without_metrics_it_says_so(tmp_path):
    with pytest.raises(DataError, match="there are no metrics"):
        read_metrics(tmp_path)
    cut_metrics(tmp_path, 3)
    assert not list(tmp_path.iterdir())


def test_metrics_of_a_newer_version_are_refused_by_it(tmp_path):
    (tmp_path / METRICS).write_text('{"kind": "start", "version": 2, "iteration": 0}\n')
    with pytest.raises(DataError, match="made by a newer vlmt: it has version 2, and this vlmt reads up to 1"):
        read_metrics(tmp_path)
