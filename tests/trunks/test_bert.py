"""The text stream computes what BERT computes, once it has BERT's weights."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel, RobertaConfig, RobertaModel

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.trunks.bert import load_bert
from vlmt_cli.trunks.config import make_config
from vlmt_cli.trunks.pretraining import PretrainingHeads
from vlmt_cli.trunks.vilbert import ViLBERT

SIZES = {"vocab_size": 90, "hidden_size": 24, "num_hidden_layers": 3, "intermediate_size": 40}
OURS = make_config(
    "tiny",
    text={"width": 24, "layers": 3, "heads": 4, "feedforward": 40},
    text_placement=(3, 3),
    vocabulary=90,
    positions=32,
)


def bert_folder(tmp_path, kind=BertForPreTraining, **changes):
    """Save a BERT with weights large enough that a wrong wire shows."""
    torch.manual_seed(1)
    sizes = SIZES | {"num_attention_heads": 4, "max_position_embeddings": 32, "initializer_range": 0.5} | changes
    bert = kind(BertConfig(**sizes)).eval()
    for parameter in bert.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    bert.save_pretrained(tmp_path)
    return bert


@pytest.mark.parametrize("kind", [BertForPreTraining, BertForMaskedLM, BertModel])
def test_text_states_are_berts(tmp_path, kind):
    bert = bert_folder(tmp_path, kind)
    trunk, heads = ViLBERT(OURS).eval(), PretrainingHeads(OURS)
    report = load_bert(trunk, heads, str(tmp_path))
    tokens = torch.randint(90, (3, 7))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4])
    theirs = getattr(bert, "bert", bert)(input_ids=tokens, attention_mask=mask).last_hidden_state
    stream = trunk.encode_text(tokens, mask)
    real = mask.bool()
    torch.testing.assert_close(stream.rows.pad(stream.x_ND)[real], theirs[real], atol=2e-5, rtol=1e-4)
    assert "trunk.text_embedding.task.weight" in report.random
    assert report.loaded["trunk.text_layers.2.qkv.bias"] == [
        f"bert.encoder.layer.2.attention.self.{name}.bias" for name in ("query", "key", "value")
    ]
    if kind is BertModel:
        assert "pretraining.word_bias" in report.random
    else:
        logits = bert.cls.predictions(theirs) if kind is BertForPreTraining else bert.cls(theirs)
        torch.testing.assert_close(heads.words(stream.x_ND, trunk), logits[real], atol=1e-4, rtol=1e-4)


def test_the_report_accounts_for_every_tensor(tmp_path):
    bert_folder(tmp_path)
    trunk, heads = ViLBERT(OURS), PretrainingHeads(OURS)
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    report = load_bert(trunk, heads, str(tmp_path))
    ours = {f"trunk.{name}" for name in before} | {f"pretraining.{name}" for name in heads.state_dict()}
    assert set(report.loaded) | set(report.random) == ours and not set(report.loaded) & set(report.random)
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(tensor, before[name]) == (f"trunk.{name}" in report.random), name
    assert report.unused == [
        "bert.pooler.dense.bias",
        "bert.pooler.dense.weight",
        "cls.seq_relationship.bias",
        "cls.seq_relationship.weight",
    ]
    lines = str(report).splitlines()
    assert lines[0].split() == ["part", "from", "tensors"] and len(lines) == len(report.rows()) + 1
    assert any(line.split() == ["trunk.co_layers", "random", "48"] for line in lines), str(report)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocab_size": 91}, "bert.embeddings.word_embeddings.weight"),
        ({"num_hidden_layers": 2}, "bert.encoder.layer.2."),
        ({"intermediate_size": 44}, "bert.encoder.layer.0.intermediate.dense.weight"),
        ({"num_attention_heads": 8}, "num_attention_heads"),
        ({"hidden_act": "relu"}, "hidden_act"),
    ],
)
def test_a_bert_of_other_sizes_is_refused_and_nothing_changes(tmp_path, changes, named):
    bert_folder(tmp_path, **changes)
    trunk = ViLBERT(OURS)
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    with pytest.raises(UsageError, match=named) as caught:
        load_bert(trunk, None, str(tmp_path))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trunk.state_dict().items())


def test_what_is_no_bert_is_refused(tmp_path):
    RobertaModel(RobertaConfig(**SIZES, num_attention_heads=4)).save_pretrained(tmp_path / "roberta")
    with pytest.raises(UsageError, match="is a roberta"):
        load_bert(ViLBERT(OURS), None, str(tmp_path / "roberta"))
    bert_folder(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="no BERT can be read") as caught:
        load_bert(ViLBERT(OURS), None, str(tmp_path / "cut"))
    assert "\n" not in str(caught.value)
