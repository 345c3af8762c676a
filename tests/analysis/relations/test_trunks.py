"""Trunks side by side: columns by what lineages tell, gains within a seed, and the difference of gains."""

import json
from dataclasses import replace

import numpy as np
import pytest
from analysis.handmade_runs import make_recipe, write_run
from scipy.stats import ttest_1samp

from vlmt_cli.analysis.relations.trunks import MEAN, TrunkRun, compare_trunks, concluded, interactions, published
from vlmt_cli.commands.trunks_tables import notes, show_trunks, trunks_json
from vlmt_cli.datasets.table import TASKS, TWELVE
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.contamination import Contamination
from vlmt_cli.evaluation.score_tables import official_split
from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores

ALONE = ("visual7w", "nlvr2")


def write(folder, run, scores, images="images-1.parquet"):
    """Write a scored run, whose pre-training's images are in ``images``; None where they are unknown."""
    preset, tasks = ("single-task", [run.task]) if run.task else ("all-tasks", list(TWELVE))
    write_run(folder, make_recipe(preset, f"model.trunk={run.trunk}", tasks=tasks), scores, run.seed, parameters=1000,
              losses=[(2, task, 1.0, 4) for task in scores])  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"trunk": {"kind": run.trunk}}))
    stages = [{"name": "before", "images": images}, {"name": folder.name, "images": "images-2.parquet"}]
    (folder / "lineage.json").write_text(json.dumps({"stages": stages}))
    tested = {
        task: TaskScore(
            metric=TASKS[task].metric,
            split="val" if task == "vqa" else official_split(task),
            score=Estimate(value, value, value, 100, 100),
            contamination=Contamination(seen=None, unseen=Estimate(value, value, value, 100, 100), difference=None),
            unknown_stages=() if images else ("before (COCO)",),
        )
        for task, value in scores.items()
    }
    whole = make_scores(str(folder), tested, split_hash=None, recipe_hash=None, leaks_allowed=False, resamples=1000,
                        resampled="image", seed=0)  # fmt: skip
    write_scores(folder / "scores.json", whole)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Runs of three seeds, all-tasks models of a fourth, and one of released weights."""
    tmp_path, rng, folders, truth = tmp_path_factory.mktemp("runs"), np.random.default_rng(0), {}, {}
    for trunk in ("vilbert", "lxmert"):
        for seed in range(4):
            for task in ("", *(ALONE if seed < 3 else ())):
                run = TrunkRun(trunk, False, task, seed)
                truth[run] = {name: rng.uniform(0.2, 0.8) for name in ([task] if task else TWELVE)}
                folders[run] = write(tmp_path / run.name, run, truth[run])
    run = TrunkRun("lxmert", True, "", 0)
    truth[run] = dict.fromkeys(TWELVE, 0.9)
    folders[run] = write(tmp_path / run.name, run, truth[run], images=None)
    return folders, truth


def test_gains_and_their_difference_by_hand(world):
    folders, truth = world
    columns, source = compare_trunks(folders)
    assert source == "test"
    assert [(one.trunk, one.weights) for one in columns] == [
        ("vilbert", "pre-trained here"), ("lxmert", "pre-trained here"), ("lxmert", "released weights"),
    ]  # fmt: skip

    def gain(trunk, task, seed):
        together, alone = truth[TrunkRun(trunk, False, "", seed)], truth[TrunkRun(trunk, False, task, seed)]
        return 100 * (together[task] - alone[task])

    (found,) = interactions(columns)
    assert (found.trunk, found.other) == ("lxmert", "vilbert")
    for task in ALONE:
        by_hand = [gain("lxmert", task, seed) - gain("vilbert", task, seed) for seed in range(3)]
        assert list(columns[1].gain[task].values.values()) == pytest.approx([gain("lxmert", task, s) for s in range(3)])
        assert list(found.by_task[task].values.values()) == pytest.approx(by_hand)
    means = [np.mean([gain("lxmert", t, s) - gain("vilbert", t, s) for t in ALONE]) for s in range(3)]
    interval = ttest_1samp(means, 0).confidence_interval()
    assert found.by_task[MEAN].interval == pytest.approx((interval.low, interval.high))
    assert len(columns[0].together[MEAN].values) == 4 and columns[2].together[MEAN].value == pytest.approx(90)
    assert columns[0].parameters == 1000 and columns[0].seconds == pytest.approx(10 / 50)
    (line,) = concluded([found])
    assert "3 seeds" in line and ("do not tell whether it helps both alike" in line) == (
        interval.low <= 0 <= interval.high
    )


def test_released_weights_stay_marked_and_have_no_figure_of_the_papers_beside_them(world, capsys):
    columns, _ = compare_trunks(world[0])
    here, released = columns[1:]
    assert {mark for (_, task), mark in released.marks.items() if task != "vqa"} == {"?"}
    assert not any(mark for (_, task), mark in here.marks.items() if task != "vqa")
    assert published("AT", [released]) == {} and not released.gain
    assert published("AT", [here])["12-in-1"]["nlvr2"] == 78.44  # table 4
    assert "vqa" not in published("AT", [here])["12-in-1"]  # scored on val
    assert published("ST", columns)["lxmert"] == {"nlvr2": 74.5} and "uniter" not in published("ST", columns)  # table 9
    assert any(note.startswith("? ") for note in notes(columns))
    bare = [replace(column, weights="not pre-trained") for column in columns]
    assert ["drawn once" in " ".join(notes(of)) for of in (columns, bare)] == [True, False]
    shown = trunks_json(columns, "test", paper=True)
    assert [one["all_tasks"]["gqa"]["mark"] for one in shown["trunks"]] == ["", "", "?"]
    assert "paper" not in trunks_json(columns, "validation", paper=True)
    show_trunks(columns, "test", paper=True)
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("released") == 1 and "90.0¹?" in out  # a column of its own, in the table of all tasks
    assert "78.44" in out and "seconds an update" in out and "gains than for vilbert (pre-trained here)" in out
