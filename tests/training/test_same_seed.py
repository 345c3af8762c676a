"""What a seed promises, with several threads, and what the lineage keeps of the machine."""

import platform

import pytest
import torch
from training.small_runs import make_recipe

from vlmt_cli.runs.checkpoint import WEIGHTS, Checkpoint, load_checkpoint
from vlmt_cli.runs.lineage import Lineage, Stage
from vlmt_cli.training.environment import environment_here, with_environment
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train
from vlmt_cli.trunks.rows import rows_of
from vlmt_cli.trunks.vilbert import Stream

THREADS = 4


@pytest.fixture
def several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def test_gradients_of_repeated_sequences_are_the_same_each_time(several_threads):
    torch.manual_seed(0)
    rows = rows_of(torch.ones(40, 30), packed=False)
    x_ND = torch.randn(40 * 30, 64, requires_grad=True)
    which_P = torch.randint(0, 40, (160,))
    weight = torch.randn(160 * 30, 64)
    gradients = {
        torch.autograd.grad((Stream(x_ND, None, rows).repeat(which_P).x_ND * weight).sum(), x_ND)[0].numpy().tobytes()
        for _ in range(30)
    }
    assert len(gradients) == 1


@pytest.mark.parametrize(("preset", "tasks"), [("single-task", "coco"), ("all-tasks", None), ("pretrain", None)])
def test_one_seed_gives_the_same_weights_bit_for_bit(preset, tasks, trained_world, tmp_path, several_threads):
    choices = {"iterations": 8 if tasks else 2, "batch_size": 32, "evaluate_every": 100, "dropout": 0.1}
    for name in ("one", "other"):
        assert train(Job(make_recipe(preset, tasks, **choices), trained_world, tmp_path / name, seed=3))
    one, other = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "other"))
    assert one == other


def test_the_lineage_says_what_a_training_ran_on(trained_world, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    recipe, run = make_recipe("single-task", "vqa", iterations=2), tmp_path / "run"
    assert train(Job(recipe, trained_world, run, seed=3))
    lineage = load_checkpoint(run).lineage
    (environment,) = lineage.stages[-1].environments
    assert (environment.seed, environment.processes, environment.threads) == (3, 1, torch.get_num_threads())
    assert environment.device.startswith("cpu ") and environment.omp_num_threads == "7"
    assert environment.versions["python"] == platform.python_version()
    assert {"vlmt", "torch", "numpy", "lightning-fabric"} <= environment.versions.keys()

    written = lineage.model_dump(mode="json")
    del written["stages"][-1]["environments"]  # as earlier versions wrote it
    assert Lineage.model_validate(written).stages[-1].environments == ()


def test_a_run_that_goes_on_elsewhere_keeps_both():
    here = environment_here(torch.device("cpu"), 1, 0)
    elsewhere = here.model_copy(update={"threads": here.threads + 1})
    checkpoint = Checkpoint(None, {}, None, Lineage(stages=(Stage(name="run"),)))
    for environment in (here, here, elsewhere, elsewhere):
        checkpoint = with_environment(checkpoint, environment)
    assert checkpoint.lineage.stages[-1].environments == (here, elsewhere)
