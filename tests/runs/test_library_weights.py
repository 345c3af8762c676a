"""Released weights of other trunks come in with every tensor, and their lineage says what they were trained on."""

import json

import pytest
import torch
from commands.running import run
from transformers import LxmertConfig, LxmertForPreTraining, VisualBertConfig, VisualBertForPreTraining, VisualBertModel

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.runs.checkpoint import load_checkpoint
from vlmt_cli.runs.library_weights import import_uniter
from vlmt_cli.trunks.encoded import encode
from vlmt_cli.trunks.table import make_trunk, trunk_config

BERT = {"vocab_size": 300, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40}
BERT |= {"max_position_embeddings": 64}
UNITER = {"width": 24, "heads": 3, "feedforward": 40, "vocabulary": 300, "positions": 64, "task_tokens": 0}


def released(kind, folder, width=7):
    """Save a tiny model as its authors' are kept; returns its path, and its trunk's states by another way."""
    torch.manual_seed(5)
    path = folder / kind
    if kind == "uniter":
        trunk = make_trunk(trunk_config("uniter", "tiny", **UNITER, region_features=width)).eval()
        state = {f"module.bert.{name}": tensor for name, tensor in trunk.model.state_dict().items()}
        state |= {f"module.bert.img_embeddings.{name}": tensor for name, tensor in trunk.regions.state_dict().items()}
        state["module.bert.img_embeddings.mask_embedding.weight"] = torch.randn(2, width)
        state |= {"module.cls.predictions.bias": torch.randn(300), "module.itm_output.bias": torch.randn(2)}
        path = path.with_suffix(".pt")
        torch.save(state, path)
        (folder / "uniter.json").write_text(json.dumps(BERT | {"num_hidden_layers": 2}))
        return path, len(state), trunk
    if kind == "lxmert":
        sizes = {"l_layers": 2, "r_layers": 1, "x_layers": 1, "num_qa_labels": 4, "visual_feat_dim": width}
        model = LxmertForPreTraining(LxmertConfig(**BERT, **sizes)).eval()
        inner = model.lxmert
    else:
        config = VisualBertConfig(**BERT, num_hidden_layers=2, visual_embedding_dim=width)
        model = (VisualBertForPreTraining if kind == "visualbert" else VisualBertModel)(config).eval()
        inner = model.visual_bert if kind == "visualbert" else model
    model.save_pretrained(path)
    from safetensors.torch import load_file

    return path, len(load_file(path / "model.safetensors")), inner


def convert(source, target, folder, *options):
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle"]))
    return run("convert", str(source), str(target), "--tokenizer", str(folder / "vocab.txt"), "--json", *options)


@pytest.mark.parametrize("kind", ["lxmert", "visualbert", "visualbert alone", "uniter"])
def test_weights_come_in_whole(kind, tmp_path, capsys):
    source, count, theirs = released(kind, tmp_path)
    options = ("--config", str(tmp_path / "uniter.json")) if kind == "uniter" else ()
    assert convert(source, tmp_path / "run", tmp_path, *options) == 0
    told = json.loads(capsys.readouterr().out)["tensors"]
    assert told["read"] + told["unread"] == count and (told["unread"] > 0) == (kind != "visualbert alone")
    checkpoint = load_checkpoint(tmp_path / "run")
    ours = checkpoint.model.trunk
    own = ours.state_dict() if kind == "uniter" else ours.model.state_dict()
    assert own.keys() == theirs.state_dict().keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in theirs.state_dict().items())
    tokens, real = torch.randint(2, 300, (2, 5)), torch.ones(2, 5).bool()
    encoded = encode(ours, tokens, real, torch.randn(2, 3, 7), torch.rand(2, 3, 5), torch.ones(2, 3).bool())
    assert encoded.pooled_text.isfinite().all()
    [stage] = checkpoint.lineage.stages
    assert stage.datasets[0] == "COCO" and stage.images is None and stage.beginning.new == {}


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    source, _, _ = released("lxmert", tmp_path)
    config = json.loads((source / "config.json").read_text())
    for change, said in (
        ({"x_layers": 2}, "the tensors do not fit the model: 42 missing"),
        ({"x_layers": 0}, "cross_layers"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', and only 'gelu' is supported"),
        ({"model_type": "roberta"}, "is a model of transformers of type 'roberta'"),
    ):
        (source / "config.json").write_text(json.dumps(config | change))
        assert convert(source, tmp_path / "run", tmp_path) in (2, 3)
        assert said in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="turn it into a checkpoint with vlmt convert"):
        load_checkpoint(source)
    (source / "config.json").write_text(json.dumps(config))
    assert convert(source, tmp_path / "back.bin", tmp_path) == 2
    assert "the trunk is lxmert, and the authors' code has ViLBERT alone" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(DataError, match=r"has no embeddings\.position_embeddings"):
        import_uniter({"img_embeddings.img_linear.weight": torch.ones(2, 2)}, None, tmp_path / "uniter.pt")


def test_scores_of_what_is_trained_on_them_are_marked(trained_world, tmp_path, capsys):
    width = FeatureStore(trained_world / "features" / "pixels").meta.feature_width
    source, _, _ = released("visualbert", tmp_path, width)
    assert convert(source, tmp_path / "begun", tmp_path) == 0
    at, target = ("--data", str(trained_world), "--device", "cpu"), str(tmp_path / "trained")
    settings = (f"start={tmp_path / 'begun'}", "training.iterations=2", "training.batch_size=4", "training.limit=40",
                "training.validation_examples=4")  # fmt: skip
    options = [word for setting in settings for word in ("--set", setting)]
    assert run("train", "--task", "snli_ve", "--run", target, *options, *at) == 0
    assert run("evaluate", "--model", target, "--limit", "8", *at) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "the training images of visualbert (COCO) are unknown: any test image may be one" in said
    scores = json.loads((tmp_path / "trained" / "first-8" / "scores.json").read_text())
    assert scores["tasks"]["snli_ve"]["unknown_stages"] == ["visualbert (COCO)"]
    trunk = json.loads((tmp_path / "trained" / "config.json").read_text())["trunk"]
    assert (trunk["kind"], trunk["task_tokens"]) == ("visualbert", 20)
