"""The authors' tiny weights, in and out: the numbers stay, every tensor comes back, and bad input is one line."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmt_cli.runs.checkpoint import load_checkpoint

PARITY = Path(__file__).parents[1] / "data" / "parity"
THEIRS = load_file(PARITY / "vl_model.safetensors")
OUTPUTS = {
    "vqa": "vil_prediction",
    "gqa": "vil_prediction_gqa",
    "retrieval": "vil_logit",
    "referring": "vision_logit",
    "nlvr2": "vil_binary_prediction",
    "snli_ve": "vil_tri_prediction",
}
CLASSIFIER = "vil_prediction.logit_fc.3.weight"


@pytest.fixture
def files(tmp_path):
    """The weights as the authors published theirs, and what belongs to them."""
    torch.save(THEIRS, tmp_path / "model.bin")
    with open(tmp_path / "vqa.pkl", "wb") as file:
        pickle.dump([f"answer {i}" for i in range(3129)], file)
    (tmp_path / "gqa.json").write_text(json.dumps([f"answer {i}" for i in range(1533)]))
    words = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *(f"word{i}" for i in range(195))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    return tmp_path


def options(files, config="config.json"):
    answers = ["--answers", f"vqa={files / 'vqa.pkl'}", "--answers", f"gqa={files / 'gqa.json'}"]
    return ["--config", PARITY / config, "--tokenizer", files / "vocab.txt", *answers]


def assert_parity(model):
    inputs, outputs = load_file(PARITY / "vl_inputs.safetensors"), load_file(PARITY / "vl_outputs.safetensors")
    names = ("input_ids", "input_mask", "features", "spatials", "image_mask")
    encoded = model.trunk(*(inputs[key] for key in names), inputs["task_ids"].squeeze(1), inputs["segment_ids"])
    for head, name in OUTPUTS.items():
        ours = model.read(head, encoded)
        real = inputs["image_mask"].bool() if head == "referring" else ...
        theirs = outputs[name].squeeze(-1) if head == "referring" else outputs[name]
        torch.testing.assert_close(ours[real], theirs[real], atol=5e-5, rtol=1e-4)


def assert_same(tensors, others):
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in others)


@pytest.mark.parametrize("target", ["run", "run.pt"])
def test_weights_go_in_with_their_meaning_and_come_out_bit_for_bit(vlmt, files, target):
    code, out, _ = vlmt("convert", files / "model.bin", files / target, *options(files), "--json")
    assert code == 0
    report = json.loads(out)
    assert sum(report["tensors"].values()) == len(THEIRS) and report["tensors"]["unread"] == 8 + 2 + 13
    total = sum(tensor.numel() for name, tensor in THEIRS.items() if name != "cls.predictions.decoder.weight")
    assert report["parameters"]["authors_form"] == total
    checkpoint = load_checkpoint(files / target)
    assert report["parameters"]["live"] == sum(parameter.numel() for parameter in checkpoint.model.parameters())
    assert_parity(checkpoint.model)
    assert checkpoint.labels["vqa"][7] == "answer 7" and len(checkpoint.labels["gqa"]) == 1533
    assert checkpoint.labels["snli_ve"] == ["contradiction", "neutral", "entailment"]
    assert "word194" in json.loads(checkpoint.tokenizer)["model"]["vocab"]
    assert checkpoint.lineage.source.startswith("model.bin (sha256 ")
    assert vlmt("convert", files / target, files / "back.bin")[0] == 0
    assert_same(torch.load(files / "back.bin", weights_only=True), THEIRS)
    again = ["--config", files / "back.bin.json", *options(files)[2:]]
    assert vlmt("convert", files / "back.bin", files / "again", *again)[0] == 0
    assert load_checkpoint(files / "again").config == checkpoint.config
    if target == "run":
        again = ["--config", files / "run" / "config.json", *options(files)[2:]]
        code, _, err = vlmt("convert", files / "back.bin", files / "ours", *again)
        assert code == 0 and load_checkpoint(files / "ours").config == checkpoint.config, err


def test_the_report_for_people(vlmt, files):
    code, out, err = vlmt("convert", files / "model.bin", files / "run", *options(files))
    assert code == 0 and "wrote" in err
    for line in ("unused tensors, kept for export", "parameters in the authors' form"):
        assert line in out


def test_a_folder_and_a_single_file_become_each_other(vlmt, files):
    assert vlmt("convert", files / "model.bin", files / "a", *options(files))[0] == 0
    assert vlmt("convert", files / "a", files / "b.pt")[0] == 0
    assert vlmt("convert", files / "b.pt", files / "c")[0] == 0
    assert {file.name for file in (files / "a").iterdir()} == {file.name for file in (files / "c").iterdir()}
    for file in (files / "a").iterdir():
        assert file.read_bytes() == (files / "c" / file.name).read_bytes(), file


def test_pretraining_weights_need_no_answers(vlmt, files):
    source = PARITY / "pretrain_model.safetensors"
    some = ["--config", PARITY / "config_pretrain.json", "--tokenizer", files / "vocab.txt"]
    assert vlmt("convert", source, files / "run", *some)[0] == 0
    checkpoint = load_checkpoint(files / "run")
    assert checkpoint.config.pretraining and checkpoint.config.heads == () and checkpoint.labels == {}
    assert vlmt("convert", files / "run", files / "back.bin")[0] == 0
    assert_same(torch.load(files / "back.bin", weights_only=True), load_file(source))


@pytest.mark.parametrize("form", ["tar", "old", "safetensors", "wrapped"])
def test_all_published_forms_are_read(vlmt, files, form):
    source = files / f"theirs.{form.replace('old', 'bin')}"
    if form == "tar":
        content = {"model_state_dict": {f"module.{name}": tensor for name, tensor in THEIRS.items()}, "epoch_id": 3}
        torch.save(content, source)
    elif form == "wrapped":
        inner = {f"module.module.{name}": tensor for name, tensor in THEIRS.items()}
        torch.save({"model": {"state_dict": inner}, "epoch": 3}, source)
    elif form == "old":
        old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in THEIRS.items()}
        torch.save(old, source, _use_new_zipfile_serialization=False)
    else:
        save_file(THEIRS, source)
    assert vlmt("convert", source, files / "back.bin", "--config", PARITY / "config.json")[0] == 0
    assert_same(torch.load(files / "back.bin", weights_only=True), THEIRS)


def test_task_tokens_are_seen_when_the_config_does_not_mention_them(vlmt, files):
    """Their published JSON does not: a switch of their training script adds them."""
    values = json.loads((PARITY / "config.json").read_text())
    del values["task_specific_tokens"]
    (files / "config.json").write_text(json.dumps(values))
    done = vlmt("convert", files / "model.bin", files / "run", "--config", files / "config.json", *options(files)[2:])
    assert done[0] == 0 and load_checkpoint(files / "run").config.trunk.task_tokens == 20


def test_a_model_without_their_dead_tensors_gets_zeros(vlmt, files):
    assert vlmt("convert", files / "model.bin", files / "run", *options(files))[0] == 0
    (files / "run" / "unread.safetensors").unlink()
    assert vlmt("convert", files / "run", files / "back.bin")[0] == 0
    back = torch.load(files / "back.bin", weights_only=True)
    assert {name: tensor.shape for name, tensor in back.items()} == {n: t.shape for n, t in THEIRS.items()}
    different = {name for name in THEIRS if not torch.equal(back[name], THEIRS[name])}
    assert len(different) == 8 + 2 + 13 and not any(back[name].any() for name in different)


def test_a_head_that_their_code_does_not_have_stays_here(vlmt, files):
    from vlmt_cli.runs.checkpoint import Checkpoint
    from vlmt_cli.runs.checkpoint_writer import save_pretrained
    from vlmt_cli.runs.lineage import Lineage
    from vlmt_cli.tasks.config import ModelConfig
    from vlmt_cli.tasks.multitask import MultiTaskModel
    from vlmt_cli.trunks.config import make_config

    config = ModelConfig(trunk=make_config("tiny"), heads=("snli_ve",))
    save_pretrained(files / "run", Checkpoint(MultiTaskModel(config), {}, None, Lineage()))
    code, _, err = vlmt("convert", files / "run", files / "back.bin")
    assert code == 2 and "entailment_head" in err and not (files / "back.bin").exists()


def changed(**changes):
    """Their weights with changes; None takes a tensor away."""
    tensors = {**THEIRS, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


class Foreign:
    """A pickle that runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def fails(vlmt, files, *arguments, code=3):
    """Run a command that must fail in one line and write nothing; returns the line."""
    before = sorted(files.iterdir())
    got, out, err = vlmt("convert", *arguments)
    assert (got, out) == (code, "") and err.count("\n") == 1 and err.startswith("vlmt: "), err
    assert sorted(files.iterdir()) == before
    return err


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (changed(vil_logit__weight=None), "1 missing (vil_logit.weight)"),
        (changed(vil_logit__weight=None, vil_logit__bias=None), "2 missing (vil_logit.weight, vil_logit.bias)"),
        (changed(dyLinear__weight=torch.ones(1)), "1 unexpected (dyLinear.weight)"),
        (changed(vil_logit__weight=torch.ones(1, 7)), "1 misshapen (vil_logit.weight: float32 [1, 7], not [1, 30])"),
        (
            changed(**{CLASSIFIER: THEIRS[CLASSIFIER] * torch.nan}),
            f"{CLASSIFIER} holds weights that are NaN or infinite",
        ),
        (changed(cls__predictions__decoder__weight=torch.ones(200, 32)), "is tied to the word embedding"),
        (changed(linguisic_logit__bias=torch.ones(2)), "1 misshapen (linguisic_logit.bias"),
        ({"a": "text"}, "'a' is not a tensor"),
        ({}, "holds no tensors"),
    ],
)
def test_weights_that_do_not_fit(vlmt, files, tensors, message):
    torch.save(tensors, files / "model.bin")
    assert message in fails(vlmt, files, files / "model.bin", files / "run", *options(files))


def test_damaged_and_foreign_files(vlmt, files):
    source, marker = files / "model.bin", files / "ran"
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    assert "is not an intact file of weights" in fails(vlmt, files, source, files / "run", *options(files))
    torch.save({**THEIRS, "x": Foreign(marker)}, source)
    assert "asks to import posix.system" in fails(vlmt, files, source, files / "run.pt", *options(files))
    torch.save(THEIRS, source)
    (files / "vqa.pkl").write_bytes(pickle.dumps(Foreign(marker)))
    assert "posix.system" in fails(vlmt, files, source, files / "run", *options(files))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t_biattention_id": [2, 9]}, "text_placement asks for 9 layers before co-attention, of 4"),
        ({"v_biattention_id": [1, 0]}, "vision_placement [1, 0] does not rise"),
        ({"dynamic_attention": True}, "dynamic_attention is True"),
    ],
)
def test_impossible_and_unsupported_configs(vlmt, files, changes, message):
    values = json.loads((PARITY / "config.json").read_text()) | changes
    (files / "config.json").write_text(json.dumps(values))
    some = ["--config", files / "config.json", *options(files)[2:]]
    assert message in fails(vlmt, files, files / "model.bin", files / "run", *some, code=2)


def test_another_size_than_the_papers_needs_its_config(vlmt, files):
    assert "--config" in fails(vlmt, files, files / "model.bin", files / "run", *options(files)[2:], code=2)
    (files / "config.json").write_text("{")
    fails(vlmt, files, files / "model.bin", files / "run", "--config", files / "config.json")


def test_answers_are_asked_for_and_checked(vlmt, files):
    source, run = files / "model.bin", files / "run"
    without = options(files)[:4]
    line = fails(vlmt, files, source, run, *without, "--answers", f"vqa={files / 'vqa.pkl'}", code=2)
    assert "1,533 gqa answers" in line and "--answers gqa=FILE" in line
    wrong = ["--answers", f"vqa={files / 'gqa.json'}"]
    assert "1,533 answers, and the weights' vqa classifier has 3,129" in fails(
        vlmt, files, source, run, *without, *wrong, code=2
    )
    assert "'nlvr2'" in fails(vlmt, files, source, run, *without, "--answers", "nlvr2=x.pkl", code=2)
    assert "vqa=FILE" in fails(vlmt, files, source, run, *without, "--answers", "x.pkl", code=2)
    (files / "gqa.json").write_text('{"0": "yes"}')
    assert "is not a list of answers" in fails(vlmt, files, source, run, *options(files))


def test_tokenizers_are_checked(vlmt, files):
    some = options(files)
    with (files / "vocab.txt").open("a") as file:
        file.write("\nword195")
    line = fails(vlmt, files, files / "model.bin", files / "run", *some, code=2)
    assert "the tokenizer has 201 tokens, and the model knows 200" in line
    (files / "tokenizer.json").write_text("{}")
    some[3] = files / "tokenizer.json"
    assert "is not a tokenizer" in fails(vlmt, files, files / "model.bin", files / "run", *some)


def test_the_default_tokenizer_comes_from_the_hub(vlmt, files, monkeypatch):
    asked = []

    def download(hub_id, name):
        asked.append((hub_id, name))
        raise OSError("offline")

    monkeypatch.setattr("vlmt_cli.runs.tokenizer.is_local", download)
    some = [*options(files)[:2], *options(files)[4:]]
    line = fails(vlmt, files, files / "model.bin", files / "run", *some)
    assert asked == [("bert-base-uncased", "tokenizer.json")] and "(offline)" in line and "--tokenizer" in line


def test_targets_that_would_break_something(vlmt, files):
    source, some = files / "model.bin", options(files)
    for name, message in (("x.safetensors", "no checkpoint is written"), ("model.bin", "are the same")):
        assert message in fails(vlmt, files, source, files / name, *some, code=2)
    assert "only a run folder" in fails(vlmt, files, source, files / "x.pt", *some, "--push", "owner/name", code=2)
    (files / "run").mkdir()
    (files / "run" / "state.pt").touch()
    assert "holds a training run" in fails(vlmt, files, source, files / "run", *some, code=2)


def test_partial_loads_what_fits_and_says_what_does_not(vlmt, files):
    torch.save(changed(vil_logit__weight=None, extra=torch.ones(1)), files / "model.bin")
    code, out, err = vlmt("convert", files / "model.bin", files / "run", *options(files)[:4], "--partial", "--json")
    assert code == 0 and err.count("\n") == 1
    assert json.loads(out)["misfits"] == {"missing": ["vil_logit.weight"], "unexpected": ["extra"], "misshapen": []}
    checkpoint = load_checkpoint(files / "run")
    assert "vqa" not in checkpoint.labels and checkpoint.model.heads["retrieval"].weight.isfinite().all()
    assert torch.equal(checkpoint.model.heads["vqa"].outer.weight, THEIRS[CLASSIFIER])
