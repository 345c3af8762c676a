"""Which precision a device gets, and that fp16's loss scaler goes on where it was."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from training.small_runs import make_recipe, of_kind, same_end, told

from vlmt_cli.evaluation.processes import precision_of
from vlmt_cli.runs.checkpoint import STATE, load_state
from vlmt_cli.training import affinity, in_process
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train

FP16 = {"iterations": 6, "evaluate_every": 3, "dropout": 0.1}
SCALER = {"init_scale": 2.0**4, "growth_interval": 2}  # doubled twice in six iterations, and far from its default


@pytest.mark.parametrize(
    ("card", "native", "precision"),
    [("A100", True, "bf16-mixed"), ("V100", False, "16-mixed")],
)
def test_auto_counts_no_emulation(card, native, precision, monkeypatch):
    def is_bf16_supported(including_emulation=True):
        return native or including_emulation  # as torch answers: every GPU emulates it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert precision_of("auto", "cuda") == precision
    assert precision_of("auto", "cpu") == precision_of("32", "cuda") == "32-true"
    assert (precision_of("bf16", "cuda"), precision_of("16", "cuda")) == ("bf16-mixed", "16-mixed")


@pytest.fixture
def fp16_on_cpu(monkeypatch):
    """Trainings compute in fp16 with a loss scaler, for which Fabric wants a GPU otherwise."""

    def make_fabric(*_):
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", **SCALER))
        return Fabric(accelerator="cpu", devices=1, plugins=[plugin])

    monkeypatch.setattr("vlmt_cli.training.train.make_fabric", make_fabric)


def test_the_loss_scaler_goes_on_where_it_was(fp16_on_cpu, trained_world, tmp_path, monkeypatch):
    whole, cut = (Job(make_recipe("all-tasks", "vqa", **FP16), trained_world, tmp_path / name) for name in "ab")
    assert train(whole)
    kept = load_state(whole.run)["scaler"]
    assert kept["scale"] == 8 * SCALER["init_scale"] and all(type(value) in (int, float) for value in kept.values())

    append = in_process.append

    def append_and_interrupt(run, record):
        append(run, record)
        if (record["kind"], record["iteration"]) == ("train", 3):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(in_process, "append", append_and_interrupt)
    assert not train(cut)
    assert load_state(cut.run)["scaler"]["scale"] == 4 * SCALER["init_scale"]
    monkeypatch.setattr(in_process, "append", append)
    assert train(replace(cut, resume=True))
    assert load_state(cut.run)["scaler"] == kept
    assert same_end(cut.run, whole.run) and told(cut.run) == told(whole.run)


def test_a_run_that_has_kept_no_scaler_goes_on(fp16_on_cpu, trained_world, tmp_path):
    job = Job(make_recipe("all-tasks", "vqa", **FP16), trained_world, tmp_path / "run")
    assert train(job)
    state = torch.load(job.run / STATE, weights_only=True)
    del state["scaler"]
    state["iteration"] = 4
    torch.save(state, job.run / STATE)
    assert train(replace(job, resume=True))
    assert load_state(job.run)["scaler"]["scale"] == 2 * SCALER["init_scale"]


def test_pretraining_and_affinities_in_bf16_are_near_those_in_32_bits(trained_world, tmp_path, monkeypatch):
    """Both run in what was asked for, on one device, too, where nothing but the model's ``forward`` is wrapped."""
    measured = []
    batch_loss = affinity.batch_loss
    monkeypatch.setattr(affinity, "batch_loss", lambda *inputs: measured.append(is_in_bf16()) or batch_loss(*inputs))
    losses = []
    for precision in ("32", "bf16"):
        run = tmp_path / precision
        recipe = make_recipe("pretrain", iterations=2, batch_size=16, affinity_every=2, precision=precision)
        assert train(Job(recipe, trained_world, run))
        lines, names = of_kind(run, "train"), ("words", "regions", "alignment")
        losses.append([line[name] for line in lines for name in names])
    assert losses[1] == pytest.approx(losses[0], rel=0.02) and losses[1] != losses[0]
    assert measured == [False, False, True, True]


def is_in_bf16():
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
