"""``scores.json`` there and back, and the paper's own tables from the paper's own numbers."""

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.datasets.table import TASKS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate, estimate
from vlmt_cli.evaluation.contamination import contrast
from vlmt_cli.evaluation.score_tables import by_task, comparable_figures, official_split, paper_rows, table2
from vlmt_cli.evaluation.scores import TaskScore, averages, make_scores, read_scores, write_scores
from vlmt_cli.paper import table
from vlmt_cli.runs.recipe import Recipe


def scored(values):
    """Tasks with these percentages."""
    return {
        name: TaskScore(
            metric=TASKS[name].metric, split=official_split(name), score=Estimate(v / 100, v / 100, v / 100, 10, 10)
        )
        for name, v in values.items()
    }


def scores_of(tasks):
    return make_scores(
        "runs/at",
        tasks,
        split_hash="ab" * 32,
        recipe_hash=None,
        leaks_allowed=True,
        resamples=1000,
        resampled="image",
        seed=3,
    )


@pytest.fixture
def measured():
    rng = np.random.default_rng(0)
    right = (rng.random(400) < 0.5).astype(float)
    leak = contrast(right, np.arange(400) < 100)
    retrieval = {"Recall@5": estimate(np.ones(400)), "median rank": 2.5}
    return {
        "vqa": TaskScore(metric="VQA accuracy", split="val", score=estimate(right), contamination=leak),
        "coco": TaskScore(metric="Recall@1", split="test", score=estimate(right), extra=retrieval),
        "flickr30k_entities": TaskScore(metric="accuracy (IoU > 0.5)", split="test", score=estimate(right)),
    }


def test_what_is_written_is_read(measured, tmp_path):
    scores = scores_of(measured)
    write_scores(tmp_path / "run" / "scores.json", scores)
    assert read_scores(tmp_path / "run") == scores
    values = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert values["tasks"]["vqa"]["score"]["n"] == 400
    assert (values["average"], values["groups"]) == (None, {})
    assert values["versions"].keys() == {"vlmt", "torch"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda values: values["tasks"]["coco"]["score"].pop("value"),
            "the key .tasks.coco.score.value. is missing",
        ),
        (lambda values: values["tasks"]["coco"]["score"].update(low=0.9), "Recall@1 has the interval 0.9 to"),
        (lambda values: values["tasks"]["coco"]["score"].update(value=2), "Recall@1 is 2.0, which is not from 0 to 1"),
        (lambda values: values["tasks"].update(nlp=values["tasks"]["vqa"]), "nlp is not a task"),
        (lambda values: values.update(average=0.5), "the averages are not those of the tasks"),
        (lambda values: values.update(format="vlmt scores 4"), "made by a newer vlmt: it has version 4"),
        (lambda values: values.update(avrage=1), "there is no key 'avrage'; did you mean average"),
        (lambda values: values.pop("seed"), "the key .seed. is missing"),
    ],
)
def test_damage_is_named_in_one_line(measured, tmp_path, damage, message):
    path = tmp_path / "scores.json"
    write_scores(path, scores_of(measured))
    values = json.loads(path.read_text())
    damage(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=message) as error:
        read_scores(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_no_file_and_no_json_are_said(tmp_path):
    with pytest.raises(DataError, match="make it with vlmt evaluate"):
        read_scores(tmp_path)
    (tmp_path / "scores.json").write_text('{"model": ')
    with pytest.raises(DataError, match="is not valid JSON"):
        read_scores(tmp_path)
    with pytest.raises(ValidationError, match="finite"):
        TaskScore(metric="m", split="test", score=estimate(np.ones(2)), extra={"median rank": float("nan")})


def test_averages_are_those_that_the_paper_prints():
    for row in paper_rows().values():
        _, average = averages({task: float(row[task]) for task in TWELVE if row[task]})
        if row["average"]:  # which the paper cuts off after two decimals: 69.089 is 69.08 there
            assert math.floor(100 * average + 1e-6) / 100 == float(row["average"])
        else:
            assert average is None
    at = {task: float(paper_rows()["AT clean"][task]) for task in TWELVE}
    groups, _ = averages(at)  # table 10, token per dataset
    assert {group: round(mean, 2) for group, mean in groups.items()} == {
        "G1": 56.35, "G2": 63.61, "G3": 75.52, "G4": 77.61
    }  # fmt: skip
    row = next(row for row in table("table10_ablations") if row["run"] == "AT w/o G4")
    retrieval = {"coco": row["coco_r1"], "flickr30k": row["flickr30k_r1"]}
    groups, average = averages(
        {name: float(value) for name, value in (row | retrieval).items() if name in TASKS and value}
    )
    assert (groups.keys(), average) == ({"G1", "G2", "G3"}, None)


def test_the_papers_numbers_make_the_papers_row():
    at = {name: float(paper_rows()["AT clean"][name]) for name in TWELVE}
    header, (ours, theirs, without) = table2({"AT": scored(at)}, ("AT clean", "AT w/o G4 clean"))
    assert ours[0] == "AT" and theirs[0] == "paper: AT clean"
    assert ours[1:-1] == theirs[1:-1]
    assert ours[1:5] == ["72.57", "60.12", "36.36", "56.35"]
    assert ours[-4:] == ["78.44", "76.78", "77.61", "69.09"]
    assert theirs[-1] == "69.08"
    assert without[-4:] == ["-"] * 4
    assert [cell.split("\n")[0] for cell in header if cell[0] == "G"] == ["G1", "G2", "G3", "G4"]
    assert [cell.split("\n")[1] for cell in header][:6] == ["", "VQA", "GQA", "VG QA", "mean", "COCO"]
    assert all(len(row) == len(header) for row in (ours, theirs, without))


def test_intervals_leaks_and_further_tasks_show(measured):
    header, (row,) = table2({"mine": measured}, intervals=True, means=False)
    score = measured["vqa"].score
    assert row[1] == f"{100 * score.value:.2f}*† [{100 * score.low:.2f}, {100 * score.high:.2f}]"
    assert row[2] == "-" and "*" not in row[4]
    assert header[-1] == "\nGrounding" and row[-1] == row[4]
    header, rows = by_task(measured, "ST full")
    assert all(len(row) == len(header) for row in rows)
    assert [row[2] for row in rows] == [
        "VQA accuracy", "images seen in training", "images not seen", "difference",
        "Recall@1", "Recall@5", "median rank", "accuracy (IoU > 0.5)",
    ]  # fmt: skip
    assert [row[-1] for row in rows] == ["-", "", "", "", "65.28", "", "", "-"]  # VQA's is of val; grounding not in it
    assert rows[6][3] == "2.5" and rows[5][3:6] == ["100.00", "[99.04, 100.00]", "400"]
    with pytest.raises(UsageError, match="no row 'AT'; choose one of ST full"):
        table2({}, ("AT",))


@pytest.mark.parametrize(
    ("preset", "tasks", "figure"),  # of table 2's column of VQA
    [
        ("single-task", ["vqa"], 71.24),
        ("all-to-single", ["vqa"], 72.92),  # one task, too, and yet not single-task training
        ("group-task", ["G1"], 72.03),
        ("table-5", None, None),  # four tasks of several groups, of another table
        ("no-dsg", None, None),  # all twelve tasks, and yet an ablation
        ("all-tasks", None, 72.57),
    ],
)
def test_beside_a_run_stands_the_figure_of_its_own_row(preset, tasks, figure):
    given = {"tasks": tasks} if tasks else {}
    row = load_recipe(preset, Recipe, **given).paper_row("table2")
    figures = comparable_figures(row, scored({"vqa": 70.0})) if row else {}
    assert figures.get("vqa") == figure


def test_no_figure_of_the_papers_test_set_stands_beside_a_validation_score():
    validated = scored({"vqa": 70.0})["vqa"].model_copy(update={"split": "val"})
    assert not comparable_figures("AT->ST clean", {"vqa": validated})
