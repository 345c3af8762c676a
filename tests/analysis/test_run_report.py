"""``vlmt report``: what runs have is a section, what they lack a command, and what is not a run is passed over."""

import json

import numpy as np
import pyarrow as pa
import pytest
from analysis.handmade_runs import make_recipe, write_run
from analysis.test_overview import scores
from commands.running import run

from vlmt_cli.analysis.chosen import choose
from vlmt_cli.evaluation.scores import write_scores

HOSTILE = "<script>alert('x')<b>"


@pytest.fixture
def runs(tmp_path):
    """A run whose name is markup and which has scores, a run without scores, and what is not a run."""
    folder = tmp_path / "data" / "runs"
    write_run(folder / HOSTILE, make_recipe(tasks=["vqa"]))
    write_scores(folder / HOSTILE / "scores.json", scores(100, "val"))
    write_run(folder / "pair", make_recipe(tasks=["vqa", "nlvr2"]))
    write_run(folder / "sweep" / "inner", make_recipe(tasks=["vqa"]))
    write_run(folder / "damaged", make_recipe(tasks=["vqa"]))
    (folder / "damaged" / "scores.json").write_text("{")
    write_run(folder / "torn" / "best", make_recipe(tasks=["vqa"])).joinpath("validation.json").write_text("{")
    write_run(folder / "torn", make_recipe(tasks=["vqa"]))
    (folder / "notes.txt").write_text("")
    (folder / "pair" / "vgc.json").write_text('{"models": {}}')
    (folder / "pair" / "affinity.png").write_text(HOSTILE)
    return folder


def test_a_page_of_foreign_runs(runs, tmp_path, capsys):
    page, named = tmp_path / "page.html", [str(path) for path in sorted(runs.iterdir())]
    assert run("report", *named, "--data", str(tmp_path / "data"), "--to", str(page), "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [path.rpartition("runs/")[2] for path in told["runs"]] == [HOSTILE, "pair"]
    reasons = {passed["path"].rpartition("/")[2]: passed["reason"] for passed in told["passed_over"]}
    assert reasons.keys() == {"sweep", "damaged", "notes.txt", "torn"} and reasons["notes.txt"] == "not a folder"
    assert "folder of runs" in reasons["sweep"] and "scores.json" in reasons["damaged"] and "Passed over 4 of 6" in err
    text = page.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text and "*†</b>" in text
    assert "Seen and unseen" in told["sections"] and text.count("<section") == len(told["sections"]) + 1
    assert any("Consistency: not shown" in lack["what"] for lack in told["missing"])
    commands = [lack["command"] or "" for lack in told["missing"]]
    assert any("Leaks" in lack["what"] and "vlmt clean" in lack["what"] for lack in told["missing"])
    for command in (f"vlmt evaluate --model {runs / 'pair'}", "vlmt analyze schedule", "analyze pairs"):
        assert any(command in made for made in commands), command


def test_kinds_of_models_stand_beside_each_other(tmp_path, capsys):
    for preset in ("single-task", "all-to-single"):
        write_run(tmp_path / preset, make_recipe(preset, tasks=["vqa"]))
        write_scores(tmp_path / preset / "scores.json", scores(0, "val"))
    named = [str(tmp_path / preset) for preset in ("single-task", "all-to-single")]
    page = tmp_path / "page.html"
    assert run("report", *named, "--data", str(tmp_path), "--to", str(page), "--json") == 0
    sections = json.loads(capsys.readouterr().out)["sections"]
    assert "Table 2" in sections and "Models" not in sections
    assert "<th>ST clean</th><th>AT-&gt;ST clean</th>" in page.read_text()


def test_no_run_is_an_error_of_one_line(runs, tmp_path, capsys):
    assert run("report", str(runs / "notes.txt"), str(runs / "none"), "--data", str(tmp_path)) == 3
    [line] = capsys.readouterr().err.splitlines()
    assert "there is no run to report" in line and "notes.txt: not a folder" in line and "does not exist" in line


def test_examples_are_the_most_confident_of_each_side_an_image_once():
    rows = [  # id, image, score, confidence
        ("a", "coco:1", 1.0, 0.7), ("b", "coco:1", 1.0, 0.9), ("c", "coco:2", 0.6, 0.8), ("d", "coco:3", 1.0, 0.8),
        ("e", "coco:4", 0.3, 0.5), ("f", "coco:5", 0.0, 0.6), ("g", "coco:6", None, 0.99), ("h", "coco:7", 0.0, 0.1),
    ]  # fmt: skip
    columns = dict(zip(("example_id", "images", "score", "confidence"), zip(*rows, strict=True), strict=True))
    table = pa.table({**{name: list(column) for name, column in columns.items()}, "images": [[r[1]] for r in rows]})
    assert [rows[row][0] for row in choose(table, 2)] == ["b", "c", "f", "e"]
    shares = [[1 - confidence, confidence] for *_, confidence in rows]
    classes = table.drop(["confidence"]).append_column("probabilities", pa.array(shares))
    assert [rows[row][0] for row in choose(classes, 1)] == ["b", "h"]  # 0.1 of one class is 0.9 of the other
    ranked = table.drop(["confidence"]).append_column("rank", pa.array(np.arange(1, 9)))
    assert [rows[row][0] for row in choose(ranked, 1)] == ["a", "h"]
