"""``vlmt analyze``: what it trains and asks, what it shows, and what it says of bad input."""

import json
import re
import shlex

import numpy as np
import pytest
import typer
from analysis import fake_training
from analysis.handmade_runs import make_recipe, write_run
from scipy.stats import spearmanr

from vlmt_cli.analysis.overview import pairs_section
from vlmt_cli.analysis.relations.pairs import Cell, PairTable, items_of
from vlmt_cli.analysis.relations.pairs_file import write_pairs
from vlmt_cli.analysis.relations.seeds import OverSeeds
from vlmt_cli.analysis.relations.sweep import beginning_with
from vlmt_cli.analysis.relations.trunks import TrunkRun
from vlmt_cli.app import app
from vlmt_cli.commands import analyze_sweeps
from vlmt_cli.commands.analyze_trunks import recipe_of
from vlmt_cli.commands.sweep_options import SweepOptions
from vlmt_cli.runs.metrics import append

SMALL = ("--scale", "mini", "--set", "training.iterations=2", "--set", "training.batch_size=10")
ITEMS = ("vqa", "nlvr2")


def mini(*tasks):
    """The recipe that the commands make of some tasks with the options above."""
    alone = ["training.gap=1", "training.stop_when_converged=true"] if len(tasks) == 1 else []
    return make_recipe("pairs", "training.iterations=2", "training.batch_size=10", *alone, tasks=list(tasks))


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "data").mkdir()
    return ("--tasks", ",".join(ITEMS), "--data", tmp_path / "data", "--runs", tmp_path / "runs", *SMALL)


def write_runs(runs, *names, seeds=1):
    for seed in range(seeds):
        scores = {"vqa": {"vqa": 0.5}, "nlvr2": {"nlvr2": 0.4}, "vqa+nlvr2": {"vqa": 0.51, "nlvr2": 0.5 - seed / 10}}
        for name in names:
            write_run(runs / "pairs" / f"{name}-seed{seed}", mini(*scores[name]), scores[name], seed)


def training(monkeypatch, seconds=1.0):
    """Put something in the place of training that only writes runs, and of the estimate; returns what was planned."""
    planned = []
    make = analyze_sweeps.make_sweep_plan

    def plan(found, *rest):
        made = make(found, *rest)
        object.__setattr__(made, "seconds", [seconds if one.state != "finished" else 0.0 for one in found])
        return made

    def run(plan, data, launch, tell):
        for one in plan.runs:
            if one.state != "finished":
                planned.append(one.wanted.name)
                write_run(one.folder, one.wanted.recipe, dict.fromkeys(one.wanted.recipe.tasks, 0.5), one.wanted.seed)
        return True

    monkeypatch.setattr(analyze_sweeps, "make_sweep_plan", plan)
    monkeypatch.setattr(analyze_sweeps, "run_sweep", run)
    monkeypatch.setattr(analyze_sweeps, "missing_data", lambda *asked: [])
    return planned


def at_a_terminal(monkeypatch, answer=None):
    """Sit somebody down in front of it, who answers so; returns what was asked."""
    asked = []

    def confirm(text, err):
        asked.append(text)
        return answer

    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", confirm)
    return asked


def test_a_script_gets_the_plan_when_there_is_nothing(vlmt, arguments):
    code, out, err = vlmt("analyze", "pairs", *arguments)
    assert code == 3 and "0 of 3 runs are finished" in out and "vqa+nlvr2-seed0" in out
    assert "none of 3 runs is there; train them with --yes, about" in err
    assert "there are no train and val examples of vqa and nlvr2" in err
    steps = r"first put vqa/.* and run vlmt clean .*; then put .* make a store with vlmt extract .*; then vlmt analyze"
    assert re.search(steps, err)
    code, out, err = vlmt("analyze", "pairs", *arguments, "--yes")
    assert code == 3 and "holds no feature store" in err and "run this command again" in err
    code, out, _ = vlmt("analyze", "pairs", *arguments, "--json")
    assert code == 3 and [run["state"] for run in json.loads(out)["runs"]] == ["missing"] * 3


def test_a_script_gets_what_is_there(vlmt, arguments, tmp_path):
    write_runs(tmp_path / "runs", *ITEMS, "vqa+nlvr2", seeds=1)
    code, out, err = vlmt("analyze", "pairs", *arguments, "--seeds", 2, "--paper")
    assert code == 0 and "3 of 6 runs are missing; --yes trains them" in err
    assert "+25.00" in out and "One seed: there are no intervals" in out
    assert "-4.13" not in out and "they do not stand beside them" in out  # the paper's, which are of test scores
    assert "3 of 6 runs have no test scores; --yes scores them" in err
    assert "One seed" in pairs_section("Pairs", "", tmp_path / "runs" / "pairs.png").intro
    code, out, _ = vlmt("analyze", "pairs", *arguments, "--json")
    assert "may be chance" in json.loads(out)["caveat"]
    for name in (*ITEMS, "vqa+nlvr2"):
        fake_training.score(tmp_path / "runs" / "pairs" / f"{name}-seed0", None, "best", "cpu", False)
    code, out, err = vlmt("analyze", "pairs", *arguments, "--paper")
    assert code == 0 and "no test scores" not in err
    assert "-4.13" in out and "-1.36" in out and "Scores are test." in out
    for ending in ("png", "parquet"):
        assert (tmp_path / "runs" / f"pairs.{ending}").stat().st_size > 1000


def test_two_seeds_have_intervals_and_what_crosses_zero_is_marked(vlmt, arguments, tmp_path):
    write_runs(tmp_path / "runs", *ITEMS, "vqa+nlvr2", seeds=2)
    code, out, err = vlmt("analyze", "pairs", *arguments, "--seeds", 2)
    assert code == 0 and "missing" not in err
    assert "~+12.50" in out and " +2.00" in out and "[+2.00, +2.00]" in out
    saved = ("--from", tmp_path / "runs" / "pairs.parquet")
    code, again, _ = vlmt("analyze", "pairs", *saved)
    assert code == 0 and again.split("Drawn in")[0] == out.split("Drawn in")[0]
    code, out, _ = vlmt("analyze", "pairs", *saved, "--json")
    assert json.loads(out)["caveat"] is None
    cells = {(cell["kind"], cell["row"]): cell for cell in json.loads(out)["cells"]}
    low, high = cells["change", "nlvr2"]["interval"]
    # 25% and 0%: half the interval is t(1 degree of freedom) = 12.706 times 12.5.
    assert (low, high) == pytest.approx((12.5 - 158.83, 12.5 + 158.83), abs=0.01)
    assert cells["change", "nlvr2"]["crosses_zero"] and not cells["change", "vqa"]["crosses_zero"]


def test_a_person_is_asked_before_long_work(vlmt, arguments, monkeypatch):
    planned = training(monkeypatch, seconds=601 / 3)
    asked = at_a_terminal(monkeypatch, answer=False)
    assert vlmt("analyze", "pairs", *arguments)[0] == 3 and not planned
    assert re.match(r"Train 3 runs, about 10\.0 minutes \(no run of this model is there; guessed", asked[0])
    asked = at_a_terminal(monkeypatch, answer=True)
    assert vlmt("analyze", "pairs", *arguments)[0] == 0
    assert planned == ["vqa-seed0", "nlvr2-seed0", "vqa+nlvr2-seed0"] and len(asked) == 1


def test_a_person_is_not_asked_before_short_work(vlmt, arguments, monkeypatch, tmp_path):
    planned = training(monkeypatch, seconds=599 / 3)
    asked = at_a_terminal(monkeypatch)
    write_runs(tmp_path / "runs", "vqa")
    assert vlmt("analyze", "pairs", *arguments)[0] == 0
    assert planned == ["nlvr2-seed0", "vqa+nlvr2-seed0"] and not asked


def test_yes_trains_in_a_script_and_plan_never_does(vlmt, arguments, monkeypatch):
    planned = training(monkeypatch, seconds=1e6)
    code, out, _ = vlmt("analyze", "pairs", *arguments, "--plan", "--yes")
    assert code == 0 and not planned and "All in all about 34.7 days" in out
    assert vlmt("analyze", "pairs", *arguments, "--yes")[0] == 0 and len(planned) == 3


def test_without_options_the_runs_of_a_sweep_are_shown_as_they_are(vlmt, arguments, tmp_path):
    write_runs(tmp_path / "runs", *ITEMS, "vqa+nlvr2")
    plain = ("--tasks", "vqa,nlvr2", "--data", tmp_path / "data", "--runs", tmp_path / "runs")
    code, out, err = vlmt("analyze", "pairs", *plain, "--seeds", 2)
    assert code == 0 and "+25.00" in out
    assert err.count("\n") == 2 and "its runs are shown as they are, without 3 that it does not have (model." in err
    assert vlmt("analyze", "pairs", *plain, "--yes")[0] == 2  # which would train others into its folders


def test_triples_share_what_pairs_trained(vlmt, tmp_path, monkeypatch):
    planned = training(monkeypatch)
    arguments = ("--data", tmp_path, "--runs", tmp_path / "runs", *SMALL, "--yes")
    assert vlmt("analyze", "pairs", *arguments)[0] == 0 and len(planned) == 10
    code, out, _ = vlmt("analyze", "triples", *arguments)
    assert (
        code == 0
        and len(planned) == 14
        and planned[10:]
        == [
            "vqa+flickr30k+visual7w-seed0",
            "vqa+flickr30k+nlvr2-seed0",
            "vqa+visual7w+nlvr2-seed0",
            "flickr30k+visual7w+nlvr2-seed0",
        ]
    )
    assert "beyond the sum" in out and out.count("+0.00") > 40
    assert "beyond the sum" in vlmt("analyze", "pairs", *arguments)[1] and len(planned) == 14


def test_a_real_sweep_of_two_iterations(vlmt, world, tmp_path, arguments):
    data = tmp_path / "data"
    for name in ("images", "examples", "clean"):
        (data / name).symlink_to(world / name)
    assert vlmt("extract", "--extractor", "pixels", "--data", data)[0] == 0
    small = ("--set", "training.validation_examples=5", "--set", "model.task_token=none")
    code, out, err = vlmt("analyze", "pairs", *arguments, *small, "--yes", "--json")
    assert code == 0, err
    result = json.loads(out)
    kinds = [cell["kind"] for cell in result["cells"]]
    assert result["source"] == "test" and "VQA: scored on val" in result["notes"]
    assert kinds.count("change") + len(result["notes"]) >= 3
    assert (tmp_path / "runs" / "pairs" / "vqa+nlvr2-seed0" / "model.safetensors").exists()
    code, out, _ = vlmt("analyze", "pairs", *arguments, *small, "--plan", "--json")
    assert code == 0 and {run["state"] for run in json.loads(out)["runs"]} == {"finished"}


def test_trunks_start_from_their_own_pretraining_and_released_weights_are_runs_of_their_own(vlmt, tmp_path):
    for name, trunk in (("pretrain", "vilbert"), ("pretrain-lxmert", "lxmert"), ("released-lxmert", "lxmert")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").write_text(json.dumps({"trunk": {"kind": trunk}}))
    asked = ("trunks", "--trunks", "vilbert,lxmert", "--tasks", "nlvr2", "--seeds", 2, "--single-seeds", 1, *SMALL)
    code, out, _ = vlmt("analyze", *asked, "--data", tmp_path, "--released", "--plan", "--json")
    planned = {run["name"]: run for run in json.loads(out)["runs"]}
    assert code == 0 and len(planned) == 3 * (2 + 1)
    assert len(planned["lxmert-released-all-tasks-seed1"]["tasks"]) == 12
    assert planned["vilbert-nlvr2-seed0"]["tasks"] == ["nlvr2"] and "vilbert-nlvr2-seed1" not in planned
    options = SweepOptions(scale="mini", data=tmp_path)
    starts = {
        (trunk, released): beginning_with(recipe_of(TrunkRun(trunk, released, "", 0), options), options.folder).start
        for trunk, released in (("vilbert", False), ("lxmert", False), ("visualbert", False), ("lxmert", True))
    }
    assert list(starts.values()) == ["../pretrain", "../pretrain-lxmert", None, "../released-lxmert"]
    code, _, err = vlmt("analyze", "trunks", "--trunks", "uniter", "--data", tmp_path, "--released", "--plan")
    assert code == 2 and "the run 'released-uniter' to begin with is not there; make it of the released weights" in err


def test_ablations_train_on_request_only(vlmt, tmp_path, monkeypatch):
    planned = training(monkeypatch)
    at_a_terminal(monkeypatch)
    arguments = ("--only", "all-tasks,no-dsg", "--data", tmp_path, "--runs", tmp_path / "runs", *SMALL)
    assert vlmt("analyze", "ablations", *arguments)[0] == 3 and not planned
    code, out, _ = vlmt("analyze", "ablations", *arguments, "--train", "--paper", "--seeds", 2)
    assert code == 0 and len(planned) == 4
    assert "50.00" in out and "they do not stand beside them" in out and "69.08" not in out
    code, out, _ = vlmt("analyze", "ablations", *arguments, "--table", "11", "--json")
    rows = json.loads(out)["rows"]
    assert [row["title"] for row in rows] == ["gap 1: no DSG", "gap 4"]
    assert rows[1]["ours"]["average"]["percent"] == pytest.approx(50) and rows[1]["paper"] == {}
    for name in ("all-tasks", "no-dsg"):
        for seed in (0, 1):
            fake_training.score(tmp_path / "runs" / "ablations" / f"{name}-seed{seed}", None, "best", "cpu", False)
    out = vlmt("analyze", "ablations", *arguments, "--paper", "--seeds", 2)[1]
    assert "Table 6: test scores" in out and "69.08" in out and "68.52" in out


@pytest.fixture
def run(tmp_path):
    settings = ("training.iterations=40", "training.evaluate_every=null")
    recipe = make_recipe("all-tasks", *settings, tasks=["vqa", "nlvr2"])
    scores = [(10, 0.5, "go"), (20, 0.5, "go"), (30, 0.5, "stop"), (40, 0.4, "go")]
    folder = write_run(tmp_path / "runs" / "all-tasks", recipe, {"vqa": scores, "nlvr2": scores[:1]})
    single = make_recipe("single-task", *settings, tasks=["vqa"])
    write_run(tmp_path / "runs" / "single-task-vqa", single, {"vqa": scores})
    write_run(
        tmp_path / "runs" / "gap-8",
        make_recipe("gap-8", *settings, tasks=["vqa", "nlvr2"]),
        {"vqa": 0.5, "nlvr2": 0.7},
    )
    return folder


def test_a_schedule_is_shown_replayed_and_drawn(vlmt, run, tmp_path):
    code, out, err = vlmt("analyze", "schedule", "--runs", tmp_path / "runs", "--paper")
    assert (
        code == 0 and "33 (1)" in out and "32 (1)" in out and "Scores are as logged, not as they would have been" in out
    )
    assert "Mean validation scores by gap" in out and "the paper's gap 16" not in out and "alone:" in out
    assert "on test images, these on validation images" in err
    pictures = sorted(path.stem for path in (run / "schedule").iterdir())
    assert pictures == ["curves", "drift", "gaps", "stop-and-go", "updates"]
    replay = ("--replay", "gap=8,diverged=0.5", "--replay", "variant=authors")
    code, out, _ = vlmt("analyze", "schedule", run, "--runs", tmp_path, *replay, "--json", "--to", tmp_path / "to")
    found = json.loads(out)
    assert code == 0 and found["tasks"]["vqa"]["updates"] == 33
    assert found["replays"][0]["tasks"]["vqa"] == {"updates": 32, "stops": 1, "goes": 0, "first_stop": 30}


def test_a_change_of_one_seed_is_marked_among_others_of_several(vlmt, tmp_path):
    """VQA gains 2% with either task; with SNLI-VE that is of one seed, and NLVR2 with VQA gains 25% and 0%."""
    items = ("--tasks", "vqa,nlvr2,snli_ve", "--runs", tmp_path / "runs", "--data", tmp_path, *SMALL)
    write_runs(tmp_path / "runs", *ITEMS, "vqa+nlvr2", seeds=2)
    for name, scores in (("snli_ve", {"snli_ve": 0.4}), ("vqa+snli_ve", {"vqa": 0.51, "snli_ve": 0.5})):
        write_run(tmp_path / "runs" / "pairs" / f"{name}-seed0", mini(*scores), scores, 0)
    code, out, _ = vlmt("analyze", "pairs", *items, "--seeds", 2)
    words = [re.sub(r"[│┃|]", " ", line).split() for line in out.splitlines()]
    assert code == 0 and ["VQA", "+2.00", "+2.00¹", "+2.00¹"] in words, out
    assert ["SNLI-VE", "+25.00¹"] in words and "~+12.50¹" not in out
    assert "Numbers without an interval over seeds (¹) are of one seed, and a change may be chance." in " ".join(
        out.split()
    )
    assert "are of one seed" in json.loads(vlmt("analyze", "pairs", *items, "--seeds", 2, "--json")[1])["caveat"]


TASKS = ("vqa", "gqa", "refcoco", "nlvr2", "snli_ve")
HELPED = """
task      VQA    GQA   RefCOCO  NLVR2  SNLI-VE  mean
VQA            +2.00     +0.10  +0.50    +0.40  +0.75
GQA     +1.90            +0.20  +0.60    +0.30  +0.75
RefCOCO -0.10  -0.20            +0.15    -0.30  -0.11
NLVR2   +0.70  +0.80     -0.50           +0.92  +0.48
SNLI-VE +0.45  +0.35     -0.40  +1.00           +0.35
"""
"""In %, what a step on the column's task takes off the row's loss, and the mean of the row."""


def measure_affinity(folder):
    """Write a run that measured ``HELPED`` four times, a little more or less; returns it as shares."""
    lines = [line.split() for line in HELPED.strip().splitlines()[1:]]
    values = [[float(cell) / 100 for cell in line[1:-1]] for line in lines]
    helped = np.array([[*row[:number], 0.5, *row[number:]] for number, row in enumerate(values)])
    write_run(folder, make_recipe("all-tasks", tasks=list(TASKS)), dict.fromkeys(TASKS, 0.5), seconds=11.0)
    record = {"kind": "affinity", "tasks": TASKS, "seconds": 0.25}
    for number, off in enumerate((0.0003, -0.0003, 0.0003, -0.0003)):
        cosine = {"trunk": (helped + helped.T + off).tolist(), "text_layer_0": helped.tolist()}
        append(folder, record | {"iteration": number, "lookahead": (helped.T + off).tolist(), "cosine": cosine})
    return helped


def test_affinities_are_shown_beside_measured_pairs(vlmt, tmp_path):
    helped = measure_affinity(tmp_path / "runs" / "all-tasks")
    gains = np.exp(50 * helped)  # pairs in the same order
    pairs = [(row, other) for row in range(5) for other in range(5) if row != other]
    cells = [
        Cell("change", 2, TASKS[row], (TASKS[other],), OverSeeds({0: gains[row, other], 1: gains[row, other]}))
        for row, other in pairs
    ]
    write_pairs(tmp_path / "runs" / "pairs.parquet", PairTable(items_of(TASKS), "test", tuple(cells)))
    code, out, err = vlmt("analyze", "affinity", "--runs", tmp_path / "runs")
    rows = [re.sub(r"[│┃|]", " ", line).split() for line in out.splitlines()]
    assert code == 0 and all(line.split() in rows for line in HELPED.strip().splitlines()[1:]), out + err
    assert "(4 times, which added 10% to the time of training)" in " ".join(out.split())
    assert "Rank correlation of lookahead with 20 measured pairs: +1.00 [+1.00, +1.00] (95% by chance: " in out
    assert "too few" not in out.lower() and "one seed" not in out
    picture = tmp_path / "runs" / "all-tasks" / "affinity.png"
    assert picture.read_bytes().startswith(b"\x89PNG")

    content = json.loads(vlmt("analyze", "affinity", "--runs", tmp_path / "runs", "--json")[1])
    assert content["measurements"] == 4 and content["helped_by"] == pytest.approx(helped) and content["cost"] == 0.1
    off = ~np.eye(5, dtype=bool)
    rank = content["rank_correlation"]["cosine"]
    assert rank["spearman"] == pytest.approx(spearmanr((helped + helped.T)[off], gains[off]).statistic, abs=1e-4)
    assert (rank["pairs"], rank["seeds"]) == (20, 2) and rank["interval"][0] < rank["spearman"] < rank["interval"][1]


@pytest.mark.parametrize(
    ("command", "code", "what"),
    [
        (["schedule", "{tmp}"], 3, "there are no metrics; name a folder that vlmt train made"),
        (["schedule", "{tmp}/runs/all-tasks", "--replay", "gap=x"], 2, "write it as gap=8,converged=0.002"),
        (["schedule", "{tmp}/runs/all-tasks", "--replay", "gap=0"], 2, "a gap is 1 or more"),
        (["schedule", "{tmp}/runs/all-tasks", "--task", "gqa"], 2, "the run has no task 'gqa'"),
        (["ablations", "--table", "7"], 2, "there is no table '7' of ablations"),
        (["trunks", "--trunks", "vilbert,unitre"], 2, "there is no trunk 'unitre'; did you mean uniter"),
        (["trunks", "--tasks", "flickr30k_entities"], 2, "'flickr30k_entities' is none of the twelve tasks"),
        (["ablations", "--only", "gap-8"], 2, "table 6 has no recipe 'gap-8'"),
        (["pairs", "--tasks", "vqa,vqq"], 2, "there is no task 'vqq'"),
        (["pairs", "--launcher", "cloud"], 2, "there is no launcher 'cloud'"),
        (["pairs", "--sbatch", "partition=gpu"], 2, "--sbatch goes with --launcher slurm"),
        (["pairs", "--device", "tpu"], 2, "there is no device 'tpu'"),
        (["pairs", "--preset", "pears"], 2, "did you mean pairs"),
        (["pairs", "--from", "{tmp}/none.parquet"], 3, "there is no such file"),
    ],
)
def test_bad_input_is_one_line(vlmt, run, tmp_path, command, code, what):
    found, out, err = vlmt("analyze", *(part.format(tmp=tmp_path) for part in command))
    assert found == code and not out
    assert what in err and err.startswith("vlmt: ") and err.count("\n") == 1


def test_examples_of_the_help_are_commands():
    group = typer.main.get_command(app).commands["analyze"]
    for name, command in group.commands.items():
        examples = re.findall(rf"^ +vlmt analyze {name}\b(.*)$", command.help, re.M)
        assert examples
        for example in examples:
            command.make_context(name, shlex.split(example))
