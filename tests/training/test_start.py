"""A run starts from exactly the weights that it names: every tensor is accounted for, and no choice is ignored."""

import json
import re
import shlex
from dataclasses import replace

import pytest
import torch
from commands.running import run as vlmt
from training.small_runs import of_kind, same_end, set_options

from vlmt_cli.runs.checkpoint import load_checkpoint
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.runs.lineage import Lineage, by_module
from vlmt_cli.runs.tensors import make_model
from vlmt_cli.trunks.vilbert import ViLBERT

AUTHORS = ("model.entailment_head=linear", "model.verification_loss=binary")


@pytest.fixture(scope="module")
def runs(trained_world, tmp_path_factory):
    """Runs of two iterations: ``paper`` and ``authors`` have their forms; ``untold`` has no task tokens."""
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "paper": ("nlvr2,snli_ve,vqa", ()),
        "authors": ("nlvr2,snli_ve", (*AUTHORS, "model.changes.fusion=sum")),
        "untold": ("vqa", ("model.task_token=none",)),
    }
    for name, (tasks, settings) in made.items():
        assert start(trained_world, folder / name, tasks, "start=null", *settings) == 0
    return folder


def start(data, run, task, *settings, options=(), **training):
    """Train for two iterations, with settings, and return the exit code."""
    choices = [*set_options(**{"iterations": 2, "learning_rate": 1e-6, **training}), *settings]
    words = [word for one in choices for word in ("--set", one)]
    command = ["train", "--preset", "single-task", "--task", task, "--scale", "mini", "--data", str(data)]
    return vlmt(*command, *words, "--run", str(run), *options)


def error_of(capsys):
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vlmt: ")]
    return line.removeprefix("vlmt: ")


def advice(line):
    """The settings of each way out that an error offers: to keep what the checkpoint has, or what was asked for."""
    keep, _, anew = line.partition("keep what the checkpoint has with ")[2].partition(", or ")
    return [[word for word in shlex.split(part) if "=" in word] for part in (keep, anew)]


def beginning_of(run):
    return load_checkpoint(run).lineage.stages[-1].beginning


def test_the_authors_head_and_loss_come_from_the_checkpoint(trained_world, runs, tmp_path):
    named = (f"start={runs / 'authors'}",)
    assert start(trained_world, tmp_path / "default", "snli_ve", *named) == 0
    assert start(trained_world, tmp_path / "explicit", "snli_ve", *named, *AUTHORS) == 0
    before, after = load_checkpoint(runs / "authors"), load_checkpoint(tmp_path / "default")
    assert (after.config.entailment_head, after.config.verification_loss) == ("linear", "binary")
    assert after.config.trunk.fusion == "sum" and after.config.task_token == "dataset"
    for name, tensor in after.model.state_dict().items():
        torch.testing.assert_close(tensor, before.model.state_dict()[name], atol=1e-5, rtol=0)
    assert same_end(tmp_path / "default", tmp_path / "explicit")
    assert beginning_of(tmp_path / "default").new == {}


@pytest.mark.parametrize("form", ["pt", "bin"])
def test_files_keep_the_forms(form, trained_world, runs, tmp_path):
    """An exported .pt, and weights in the authors' form that were converted."""
    source, answers = tmp_path / f"weights.{form}", tmp_path / "answers.json"
    assert vlmt("convert", str(runs / "authors"), str(source)) == 0
    if form == "bin":
        answers.write_text("[]")
        config, tokenizer = f"{source}.json", str(runs / "authors" / "tokenizer.json")
        more = ("--config", config, "--tokenizer", tokenizer, "--partial")
        assert vlmt("convert", str(source), str(tmp_path / "converted"), *more) == 0
        source = tmp_path / "converted"
        assert beginning_of(source).left_behind == {} and beginning_of(source).source == "weights.bin"
    assert start(trained_world, tmp_path / "run", "snli_ve", f"start={source}") == 0
    config = load_checkpoint(tmp_path / "run").config
    assert (config.entailment_head, config.verification_loss) == ("linear", "binary")
    assert beginning_of(tmp_path / "run").new == {} and beginning_of(tmp_path / "run").source == source.name


def test_every_tensor_is_accounted_for(trained_world, runs, tmp_path, capsys):
    assert start(trained_world, tmp_path / "run", "vqa,gqa", f"start={runs / 'paper'}", options=("--json",)) == 0
    out, err = capsys.readouterr()
    before, after = (load_checkpoint(run).model.state_dict() for run in (runs / "paper", tmp_path / "run"))
    shared = [name for name in after if name in before]
    kept = beginning_of(tmp_path / "run")
    assert kept.taken == {"trunk": len([name for name in after if name.startswith("trunk.")]), "heads.vqa": 6}
    assert kept.new == {"heads.gqa": 6} and kept.left_behind == {"heads.nlvr2": 6, "heads.snli_ve": 6}
    assert sum(kept.taken.values()) == len(shared)
    assert f"Tensors of paper/best: {len(shared)} taken (trunk, heads.vqa), 6 new (heads.gqa), 12 left behind" in err
    assert json.loads(out)["weights"] == of_kind(tmp_path / "run", "start")[0]["weights"] == kept.model_dump()
    for name in shared:
        torch.testing.assert_close(after[name], before[name], atol=1e-5, rtol=0)


def test_modules_are_named_where_all_their_tensors_go_one_way():
    names = ["a.x.w", "a.x.b", "a.y.w", "c"]
    assert by_module(["a.x.w", "a.x.b"], names) == {"a.x": 2}
    assert by_module(["a.x.w", "a.y.w", "c"], names) == {"a.x.w": 1, "a.y": 1, "c": 1}
    assert by_module(names, names) == {"a": 3, "c": 1}


def test_a_lineage_without_beginnings_still_loads():
    assert Lineage.model_validate({"stages": [{"name": "old", "steps": 3}]}).stages[0].beginning is None


@pytest.mark.parametrize(
    ("source", "task", "asked", "says"),
    [
        ("authors", "snli_ve", ("model.entailment_head=mlp",), "is linear, but model.entailment_head=mlp is asked"),
        ("authors", "nlvr2", ("model.verification_loss=softmax",), "is binary, but model.verification_loss=softmax is"),
        ("paper", "snli_ve", AUTHORS, "entailment_head is mlp, but model.entailment_head=linear is asked for; verif"),
        ("paper", "vqa", ("model.task_token=none",), "task_token is dataset, but model.task_token=none is asked"),
        ("untold", "vqa", ("model.task_token=dataset",), "task_token is none, but model.task_token=dataset is asked"),
        ("paper", "vqa", ("model.changes.co_width=128",), "co_width is 64, but model.changes.co_width=128 is asked"),
        ("paper", "vqa", ("model.changes.text.layers=2",), "text.layers is 1, but model.changes.text.layers=2 is"),
        ("paper", "vqa", ("model.changes.fusion=sum",), "fusion is product, but model.changes.fusion=sum is asked"),
        ("paper", "vqa", ("model.preset=base",), "text.width is 64, but model.preset=base has 768"),
        ("paper", "vqa", ("model.bert=bert-base-uncased",), "model.bert=bert-base-uncased asks for bert-base-uncased"),
    ],
)
def test_a_contradiction_is_an_error_whose_advice_works(
    source, task, asked, says, trained_world, runs, tmp_path, capsys
):
    run, checkpoint = tmp_path / "run", runs / source
    assert start(trained_world, run, task, f"start={checkpoint}", *asked) == 2
    line = error_of(capsys)
    assert line.startswith(f"{checkpoint}/best: the recipe contradicts this checkpoint: ") and says in line, line
    assert not run.exists()
    keep, anew = advice(line)
    assert start(trained_world, tmp_path / "keep", task, f"start={checkpoint}", *asked, *keep) == 0
    assert load_checkpoint(tmp_path / "keep").config.trunk == load_checkpoint(checkpoint).config.trunk
    assert anew
    if not re.search("base", says):  # whose size and weights are no matter of seconds
        assert start(trained_world, tmp_path / "anew", task, f"start={checkpoint}", *asked, *anew) == 0


def test_equal_values_and_those_of_shipped_recipes_are_fine(trained_world, runs, tmp_path):
    same = ("model.preset=mini", "model.changes.co_width=64", "model.bert=null", "model.entailment_head=mlp")
    same += ("model.verification_loss=softmax", "model.task_token=dataset", "model.changes.text_placement=[0, 1]")
    assert start(trained_world, tmp_path / "run", "snli_ve", f"start={runs / 'paper'}", *same) == 0


def test_the_run_pretrain_beside_decides_as_well(trained_world, runs, tmp_path, capsys):
    save_pretrained(tmp_path / "pretrain", load_checkpoint(runs / "paper"))
    assert start(trained_world, tmp_path / "run", "vqa", "model.changes.co_width=128") == 2
    line = error_of(capsys)
    assert str(tmp_path / "pretrain") in line and "model.changes.co_width=128" in line and "--set start=null" in line
    assert start(trained_world, tmp_path / "run", "vqa", "model.changes.co_width=128", "start=null") == 0
    assert load_checkpoint(tmp_path / "run").config.trunk.co_width == 128
    with_bert = load_checkpoint(runs / "paper")
    lineage = with_bert.lineage.model_copy(update={"source": "bert-base-uncased"})
    save_pretrained(tmp_path / "pretrain", replace(with_bert, lineage=lineage))
    assert start(trained_world, tmp_path / "other", "vqa") == 2  # random weights are asked for (mini)
    assert "model.bert=null asks for random weights" in error_of(capsys)
    assert start(trained_world, tmp_path / "other", "vqa", "model.bert=auto") == 0


def test_a_head_that_should_be_new_is_new(trained_world, runs, tmp_path):
    new = ("model.new_heads=[snli_ve]", "model.entailment_head=linear")
    assert start(trained_world, tmp_path / "run", "nlvr2,snli_ve", f"start={runs / 'paper'}", *new) == 0
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.config.entailment_head == "linear" and checkpoint.config.verification_loss == "softmax"
    assert beginning_of(tmp_path / "run").new == {"heads.snli_ve": 2}


def test_answers_that_a_checkpoint_does_not_say_are_not_guessed(trained_world, runs, tmp_path, capsys):
    checkpoint = load_checkpoint(runs / "untold")
    save_pretrained(tmp_path / "mute", replace(checkpoint, labels={}))
    assert start(trained_world, tmp_path / "run", "vqa", f"start={tmp_path / 'mute'}") == 2
    assert "does not say which answers" in error_of(capsys)
    assert start(trained_world, tmp_path / "run", "vqa", f"start={tmp_path / 'mute'}", "model.new_heads=[vqa]") == 0


def test_pretraining_without_task_tokens_gets_new_ones(trained_world, runs, tmp_path):
    """The authors' pre-training weights have none."""
    checkpoint = load_checkpoint(runs / "paper")
    trunk = checkpoint.config.trunk.model_copy(update={"task_tokens": 0})
    config = checkpoint.config.model_copy(update={"trunk": trunk, "heads": (), "pretraining": True})
    tensors = {f"trunk.{name}": tensor for name, tensor in ViLBERT(trunk).state_dict().items()}
    save_pretrained(tmp_path / "theirs", replace(checkpoint, model=make_model(config, tensors), labels={}))
    assert start(trained_world, tmp_path / "run", "vqa", f"start={tmp_path / 'theirs'}") == 0
    assert beginning_of(tmp_path / "run").new == {"trunk.text_embedding.task": 1, "heads": 6}
    assert of_kind(tmp_path / "run", "start")[0]["tasks"]["vqa"]["token"] == 1
