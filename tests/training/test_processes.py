"""Two processes with half the batch each, or a batch in parts, compute what one process does at once."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys

import lmdb
import pyarrow.compute as pc
import pytest
import torch
import yaml
from training.conftest import ALIKE, CUT, MANY
from training.small_runs import make_recipe, of_kind, same_end, set_options, start, told, wait_for

from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.evaluation.processes import Devices
from vlmt_cli.runs.recipe_sections import FeatureChoices
from vlmt_cli.tasks.tables import read_columns
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train


@pytest.fixture(scope="module")
def alone(trained_world, tmp_path_factory):
    """The same runs in one process, in one part."""
    runs = tmp_path_factory.mktemp("alone")
    for name, preset, tasks, choices in (
        ("many", "all-tasks", MANY, {}),
        ("parts", "all-tasks", MANY, {"accumulate": 2}),
        ("pretrain", "pretrain", None, {}),
    ):
        assert train(Job(make_recipe(preset, tasks, **ALIKE, **choices), trained_world, runs / name))
    return runs


def assert_alike(run, other):
    for one, two in zip(told(run), told(other), strict=True):
        numbers = [{key: line[key] for key in line if isinstance(line[key], float)} for line in (one, two)]
        assert one == {**two, **numbers[0]}
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-4), one


@pytest.mark.parametrize("name", ["many", "parts"])
def test_two_processes_have_the_losses_of_one(name, pair, alone):
    runs, results = pair
    assert results[name] is True and of_kind(runs / name, "start")[0]["world"] == 2
    assert_alike(runs / name, alone / "many")


@pytest.mark.parametrize("name", ["pretrain", "pretrain-parts"])
def test_two_processes_pre_train_as_one(name, pair, alone):
    runs, results = pair
    assert results[name] is True
    assert_alike(runs / name, alone / "pretrain")
    assert {"words", "regions", "alignment"} < of_kind(runs / name, "train")[0].keys()


def test_a_batch_in_parts_has_the_losses_of_the_whole(alone):
    assert_alike(alone / "parts", alone / "many")


@pytest.mark.filterwarnings("default")  # the compiler passes over its own warnings, and gives up on errors
def test_compiled_layers_have_the_losses_of_plain_ones(alone, trained_world, tmp_path, monkeypatch):
    traced = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")  # all of it but the C++ at its end
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    assert train(Job(make_recipe("all-tasks", MANY, compile=True, **ALIKE), trained_world, tmp_path / "run"))
    assert_alike(tmp_path / "run", alone / "many")


def test_torchrun_starts_what_processes_would(alone, trained_world, tmp_path):
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(make_recipe("all-tasks", MANY, **ALIKE).model_dump(mode="json")))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--", "vlmt_cli", "train"]
    command += ["--preset", str(tmp_path / "many.yaml"), "--data", str(trained_world), "--run", str(tmp_path / "run")]
    done = subprocess.run([*command, "--device", "cpu", "--processes", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained in") == done.stderr.count("Initialising from") == 1
    assert of_kind(tmp_path / "run", "start")[0]["world"] == 2
    assert_alike(tmp_path / "run", alone / "many")


def test_heads_rest_with_two_processes_too(pair):
    resting = {name for name, moved in pair[1]["moved"].items() if not moved}
    assert resting and resting == {name for name in pair[1]["moved"] if name.startswith("heads.vqa")}


def test_processes_tell_the_first_and_it_tells_all(pair):
    assert pair[1]["told"] == [[0, 0], [1, 1, 1]]


def test_the_first_process_says_when_it_is_time_to_save(pair):
    assert pair[1]["saves"] == [[3, 6, 7, 10, 12]] * 2


def test_two_processes_that_are_interrupted_and_killed_end_as_if_they_had_not_been(pair):
    runs, results = pair
    code, output = results["interrupted"]
    assert code == 130 and "interrupted and saved; resume it with the same command and --resume" in output
    assert "Traceback" not in output and "distributed" not in output
    assert results["killed"][0] == -signal.SIGKILL
    assert results["cut"] is results["whole"] is True
    assert same_end(runs / "cut", runs / "whole") and told(runs / "cut") == told(runs / "whole")
    first, second, third = (line["iteration"] for line in of_kind(runs / "cut", "start"))
    assert 0 == first < second < third < 24


def test_a_job_of_a_cluster_is_requeued_and_ends_as_if_it_had_not_been(pair, trained_world, tmp_path):
    """Its time is up after some iterations: it saves, comes to an end, and begins again where it was."""
    run = tmp_path / "run"
    choices = CUT | {"save_every": 1000}  # it would begin anew if the signal did not make it save
    options = [word for setting in set_options(**choices) for word in ("--set", setting)]
    command = ["train", "--launcher", "local", "--device", "cpu", "--processes", "2", "--task", "vqa,refcoco"]
    command += ["--scale", "mini", "--data", str(trained_world), "--run", str(run), *options]
    process = start(command, tmp_path / "printed")
    try:
        wait_for(run, 4, process.is_alive)
        first = json.loads((tmp_path / ".locks" / "run.lock").read_text())["pid"]
        os.kill(first, signal.SIGUSR2)
        process.join(300)
    finally:
        process.kill()
    output, errors = ((tmp_path / "printed" / name).read_text() for name in ("out", "err"))
    assert process.exitcode == 0, errors
    assert output.count("trained in") == 1 and errors.count("Initialising from") == 1
    begun, resumed = of_kind(run, "start")
    assert begun["iteration"] == 0 < resumed["iteration"] < 24 and begun["world"] == resumed["world"] == 2
    assert same_end(run, pair[0] / "whole") and told(run) == told(pair[0] / "whole")


def test_an_error_of_one_process_ends_both_in_its_words(pair):
    runs, results = pair
    assert isinstance(results["full"], VlmtError) and "no space left on the disk" in str(results["full"])
    assert "a batch of vqa has 4 examples, fewer than its 6 parts" in str(results["crowded"])
    assert "the loss of vqa is NaN or infinite" in str(results["diverged"])
    parts = [torch.load(path, weights_only=True) for path in sorted((runs / "diverged" / "diverged").glob("*.pt"))]
    assert [len(part["examples"]) for part in parts] == [2, 2]
    assert not set(parts[0]["examples"].tolist()) & set(parts[1]["examples"].tolist())


def test_an_error_that_one_process_alone_meets_is_told_in_its_words(trained_world, tmp_path):
    shutil.copytree(trained_world / "features" / "pixels", tmp_path / "features")
    kept = read_columns(trained_world / "clean" / "keep.parquet", None).filter(
        (pc.field("dataset") == "refcoco") & (pc.field("split") == "train")
    )
    examples = read_columns(trained_world / "examples" / "refcoco" / "train.parquet", ["images"])["images"]
    [image] = examples[kept["row"][0].as_py()].as_py()
    with lmdb.open(str(tmp_path / "features")) as store, store.begin(write=True) as change:
        assert change.put(image.encode(), b"torn")
    recipe = make_recipe("all-tasks", "refcoco", iterations=100)
    recipe = recipe.model_copy(update={"features": FeatureChoices(store=str(tmp_path / "features"))})
    with pytest.raises(DataError, match=f"{image}: the record is cut short; pack it again"):
        train(Job(recipe, trained_world, tmp_path / "run", devices=Devices("cpu", 2)))


@pytest.mark.parametrize(
    ("there", "asked", "message"),
    [
        (0, 8, "8 GPUs were requested, and this machine has none; give --device cpu, and --processes for --gpus"),
        (1, 2, "2 GPUs were requested, and this machine has 1; give --gpus 1"),
        (4, 8, "8 GPUs were requested, and this machine has 4; give --gpus 4"),
        (0, 1, "a GPU was requested, and this machine has none; give --device cpu, and --processes for --gpus"),
    ],
)
def test_fewer_gpus_than_asked_for_is_one_line(there, asked, message, trained_world, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    job = Job(make_recipe(), trained_world, tmp_path / "run", devices=Devices("cuda", asked))
    with pytest.raises(UsageError) as caught:
        train(job)
    assert str(caught.value) == message and caught.value.exit_code == 2
    assert not job.run.exists()


def test_more_machines_need_somebody_who_starts_them(trained_world, tmp_path):
    job = Job(make_recipe(), trained_world, tmp_path / "run", devices=Devices("cpu", 1, 2))
    with pytest.raises(UsageError, match="--nodes 2; start the command with torchrun or srun"):
        train(job)
