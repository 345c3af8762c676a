"""Table 3: its arithmetic on the paper's own numbers, intervals against scipy's, and the file that keeps it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from analysis.handmade_runs import make_recipe, write_run
from handmade_split import write_split
from scipy.stats import ttest_1samp

from vlmt_cli.analysis.relations.confounders import confounders_of, rank_correlations
from vlmt_cli.analysis.relations.pairs import REPRESENTATIVES, compare_runs, items_of, paper_pairs, wanted_runs
from vlmt_cli.analysis.relations.pairs_file import read_pairs, write_pairs
from vlmt_cli.analysis.relations.pairs_plot import draw_pairs
from vlmt_cli.analysis.relations.seeds import OverSeeds, scores_of
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.evaluation.bootstrap import Estimate
from vlmt_cli.evaluation.scores import TaskScore, make_scores, write_scores

VQA, F30K, V7W, NLVR2 = REPRESENTATIVES
# As printed at the margins of the paper's table 3.
ROWS = {2: {VQA: 0.19, F30K: -1.15, V7W: 0.47, NLVR2: 1.48}, 3: {VQA: 0.24, F30K: -0.88, V7W: 0.44, NLVR2: 3.21}}
COLUMNS = {
    2: {(VQA,): 1.04, (F30K,): 0.88, (V7W,): 0.43, (NLVR2,): -1.36},
    3: {
        (VQA, F30K): 2.27,
        (VQA, V7W): 2.23,
        (VQA, NLVR2): 0.34,
        (F30K, V7W): 1.68,
        (F30K, NLVR2): 0.10,
        (V7W, NLVR2): -2.09,
    },
}


@pytest.mark.parametrize("together", [2, 3])
def test_the_papers_averages_come_out_of_its_cells(together):
    paper = paper_pairs()
    # Cells and averages are both rounded to two digits.
    for row, printed in ROWS[together].items():
        assert paper.cell("row average", together, row).number.value == pytest.approx(printed, abs=0.01)
    for others, printed in COLUMNS[together].items():
        assert paper.cell("column average", together, "", others).number.value == pytest.approx(printed, abs=0.01)


def test_the_papers_row_of_a_task_that_is_scored_on_validation_is_left_out():
    left = paper_pairs({"vqa": "scored on val"})
    assert not any(cell.row == "vqa" for cell in left.cells) and left.cell("change", 2, "nlvr2", ["vqa"])
    assert left.cell("column average", 2, "", ["vqa"]) and not left.cell("column average", 2, "", ["nlvr2"])


def test_the_papers_triples_do_not_add_up():
    # Section 4.3: G3 gained 0.39% and 0.78% from G1 and G2; with both 0.86%.
    paper = paper_pairs()
    assert paper.cell("sum of pairs", 3, V7W, (VQA, F30K)).number.value == pytest.approx(1.17)
    assert paper.cell("beyond the sum", 3, V7W, (VQA, F30K)).number.value == pytest.approx(-0.31)
    assert len([cell for cell in paper.cells if cell.kind == "beyond the sum"]) == 12


@pytest.fixture
def runs(tmp_path):
    """Three tasks alone and together, with two seeds; scores are a table of their own."""
    rng = np.random.default_rng(0)
    items = items_of([VQA, F30K, NLVR2], 3)
    wanted = wanted_runs(items, lambda tasks, alone: make_recipe(tasks=list(tasks)), 2, 3)
    truth, folders = {}, {}
    for (names, seed), one in wanted.items():
        truth[names, seed] = {task: rng.uniform(0.4, 0.6) for task in one.recipe.tasks}
        sizes = {task: 100 * (1 + REPRESENTATIVES.index(task)) for task in one.recipe.tasks}
        folders[names, seed] = write_run(tmp_path / one.name, one.recipe, truth[names, seed], seed, sizes)
    return items, folders, truth


def change(truth, row, names, seed):
    return 100 * (truth[names, seed][row] - truth[(row,), seed][row]) / truth[(row,), seed][row]


def test_cells_are_relative_changes_within_a_seed(runs):
    items, folders, truth = runs
    assert sorted(folder.name for folder in folders.values())[:3] == [
        "flickr30k+nlvr2-seed0",
        "flickr30k+nlvr2-seed1",
        "flickr30k-seed0",
    ]
    found = compare_runs(items, folders)
    assert found.source == "validation"
    cell = found.cell("change", 2, NLVR2, (VQA,))
    assert cell.number.values == pytest.approx({seed: change(truth, NLVR2, (VQA, NLVR2), seed) for seed in (0, 1)})
    triple = found.cell("change", 3, F30K, (VQA, NLVR2)).number.values
    beyond = found.cell("beyond the sum", 3, F30K, (VQA, NLVR2)).number.values
    for seed in (0, 1):
        pairs = [change(truth, F30K, (VQA, F30K), seed), change(truth, F30K, (F30K, NLVR2), seed)]
        assert triple[seed] == pytest.approx(change(truth, F30K, (VQA, F30K, NLVR2), seed))
        assert beyond[seed] == pytest.approx(triple[seed] - sum(pairs))
        row = [change(truth, VQA, (VQA, other), seed) for other in (F30K, NLVR2)]
        assert found.cell("row average", 2, VQA).number.values[seed] == pytest.approx(sum(row) / 2)
        column = [change(truth, F30K, (VQA, F30K), seed), change(truth, NLVR2, (VQA, NLVR2), seed)]
        assert found.cell("column average", 2, "", (VQA,)).number.values[seed] == pytest.approx(sum(column) / 2)
    assert found.gains()[NLVR2, VQA] == pytest.approx(cell.number.value)


def test_what_is_missing_leaves_only_its_own_cells_out(runs):
    items, folders, _ = runs
    del folders[(VQA, F30K), 1], folders[(NLVR2,), 0], folders[(NLVR2,), 1]
    found = compare_runs(items, folders)
    assert list(found.cell("change", 2, VQA, (F30K,)).number.values) == [0]
    assert list(found.cell("change", 2, VQA, (NLVR2,)).number.values) == [0, 1]
    assert list(found.cell("row average", 2, VQA).number.values) == [0]
    assert found.cell("change", 2, NLVR2, (VQA,)) is None
    assert found.cell("row average", 2, NLVR2) is None
    assert found.cell("column average", 2, "", (VQA,)) is None


@pytest.mark.parametrize("n", [2, 3, 10])
def test_intervals_are_scipys_and_hold_what_they_promise(n):
    rng = np.random.default_rng(n)
    samples = rng.normal(0.3, 1.0, (2000, n))
    numbers = [OverSeeds(dict(enumerate(sample))) for sample in samples.tolist()]
    low, high = ttest_1samp(samples[0], 0).confidence_interval(0.95)
    assert numbers[0].interval == pytest.approx((low, high))
    held = np.mean([one.interval[0] <= 0.3 <= one.interval[1] for one in numbers])
    assert held == pytest.approx(0.95, abs=0.02)
    assert [one.crosses_zero for one in numbers] == [one.interval[0] <= 0 <= one.interval[1] for one in numbers]


def test_one_seed_has_no_interval():
    number = OverSeeds({0: 0.0})
    assert number.interval is None and not number.crosses_zero and number.value == 0


def test_a_score_of_zero_is_no_base(runs):
    items, folders, _ = runs
    write_run(folders[(VQA,), 0], make_recipe(tasks=[VQA]), {VQA: 0.0})
    found = compare_runs(items, folders)
    assert list(found.cell("change", 2, VQA, (F30K,)).number.values) == [1]
    assert found.notes == ("VQA alone scored 0 with seed 0: nothing is relative to that",)


def write_test_scores(folder, scores, split="test", weights=None):
    tasks = {
        task: TaskScore(metric="accuracy", split=split, score=Estimate(score, score, score, 9, 9))
        for task, score in scores.items()
    }
    known = {"split_hash": None, "recipe_hash": None, "leaks_allowed": False}
    made = make_scores("run", tasks, weights=weights, **known, resamples=1, resampled="image", seed=0)
    write_scores(folder / "scores.json", made)


def test_test_scores_are_taken_when_every_run_has_them(runs):
    items, folders, _ = runs
    for (names, seed), folder in folders.items():
        assert scores_of(folders)[1] == "validation"
        write_test_scores(folder, dict.fromkeys(names, 0.5 + 0.1 * (len(names) > 1) + 0.01 * seed))
    found = compare_runs(items, folders)
    assert found.source == "test"
    assert found.cell("change", 2, VQA, (F30K,)).number.values == pytest.approx({0: 20, 1: 100 * (0.61 / 0.51 - 1)})
    write_test_scores(folders[(VQA,), 0], {VQA: 0.5}, "val")
    assert scores_of(folders)[1] == "validation"


def test_runs_are_compared_by_their_best_weights_unless_their_last_are_asked_for(runs):
    _, folders, _ = runs
    folders = {key: folders[key] for key in [((VQA,), 0), ((VQA,), 1)]}
    last = scores_of(folders)[0]
    for folder in folders.values():
        (folder / "best").mkdir()
        best = {"iteration": 1, "score": 0.9, "tasks": {VQA: 0.9}}
        (folder / "best" / "validation.json").write_text(json.dumps(best))
    assert scores_of(folders) == ({key: {VQA: 0.9} for key in folders}, "validation")
    assert scores_of(folders, "last") == (last, "validation")
    for folder in folders.values():
        write_test_scores(folder, {VQA: 0.7}, weights="best")
    assert scores_of(folders) == ({key: {VQA: 0.7} for key in folders}, "test")
    assert scores_of(folders, "last") == (last, "validation")


def test_groups_go_as_one(tmp_path):
    items = items_of(["G4", "vqa"])
    assert [item.name for item in items] == ["vqa", "G4"]
    wanted = wanted_runs(items, lambda tasks, alone: make_recipe(tasks=list(tasks)), 1, 2)
    assert [one.name for one in wanted.values()] == ["vqa-seed0", "G4-seed0", "vqa+G4-seed0"]
    scores = {("vqa",): {"vqa": 0.5}, ("G4",): {"nlvr2": 0.4, "snli_ve": 0.6}}
    scores["vqa", "G4"] = {"vqa": 0.5, "nlvr2": 0.5, "snli_ve": 0.6}
    folders = {key: write_run(tmp_path / one.name, one.recipe, scores[key[0]]) for key, one in wanted.items()}
    assert compare_runs(items, folders).gains() == pytest.approx({("vqa", "G4"): 0, ("G4", "vqa"): 10})


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["vqq", "gqa"], "there is no task 'vqq'"),
        (["vqa"], "1 tasks make no pair"),
        (["G1", "vqa"], "G1 and vqa share vqa"),
    ],
)
def test_items_that_are_none(names, what):
    with pytest.raises(UsageError, match=what):
        items_of(names)


def test_confounders_are_counted(runs, tmp_path):
    items, folders, _ = runs
    share = {"hit": 1, "of": 4}
    row = {"vqa": {"hit": 0, "of": 4}, "flickr30k": share, "nlvr2": {"hit": 2, "of": 4}}
    report = {
        "vlmt": "1",
        "question": {"datasets": [], "identity": "strict", "options": {}},
        "compared_by": [],
        "images_compared": 0,
        "absent_test_files": [],
        "files": {},
        "identity": "strict",
        "union": [],
        "split_hash": "abc",
        "warnings": [],
        "splits": [],
        "images": [],
        "test_images_before": {"vqa": row, "nlvr2": row},
        "test_images_before_under_paper_identity": {},
        "test_images_after": {},
        "examples_before": {},
        "examples_after": {},
        "texts": {},
        "links": {},
    }
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "report.json").write_text(json.dumps(report))
    write_split(tmp_path, {}, {})
    found = {(one.row, one.other): one for one in confounders_of(items, folders, tmp_path)}
    assert len(found) == 6
    assert (found[VQA, F30K].images, found[VQA, F30K].examples, found[VQA, F30K].other_examples) == (25, 100, 200)
    assert found[NLVR2, VQA].images == 0 and found[F30K, VQA].images is None
    pairs = compare_runs(items, folders, list(found.values()))
    correlations = rank_correlations(pairs)
    gains = pairs.gains()
    ratio = {key: one.other_examples / one.examples for key, one in found.items()}
    ranks = [
        [sum(other < side[key] for other in side.values()) + list(side.values()).count(side[key]) / 2 for key in found]
        for side in (gains, ratio)
    ]
    assert correlations["other's size by its own"] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_the_file_keeps_every_number(runs, tmp_path):
    items, folders, _ = runs
    found = compare_runs(items, folders, confounders_of(items, folders, tmp_path / "nowhere"))
    found = replace(found, not_comparable={"vqa": "scored on val"})
    write_pairs(tmp_path / "pairs.parquet", found)
    assert read_pairs(tmp_path / "pairs.parquet") == found
    for number, pairs in enumerate((found, read_pairs(tmp_path / "pairs.parquet"))):
        draw_pairs(pairs, tmp_path / f"{number}.png")
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such file; make it with"):
        read_pairs(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "bad.parquet")
