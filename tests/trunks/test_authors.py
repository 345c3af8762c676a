"""Names, shapes and configuration of the authors' weights, against the list that their code makes."""

import json
from pathlib import Path

import pytest
import torch

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.tasks.config import HEADS, ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.authors import TIED, UNREAD, authors_shapes, from_authors, tidy, to_authors, unread_shapes
from vlmt_cli.trunks.authors_config import config_from_authors, config_from_shapes, config_to_authors
from vlmt_cli.trunks.config import PRESETS, make_config

DATA = Path(__file__).parents[1] / "data"
VARIANTS = json.loads((DATA / "state_dict_keys.json").read_text())
TASKS, NO_TASK_TOKENS, PRETRAINED = VARIANTS.values()
PARITY = json.loads((DATA / "parity" / "config.json").read_text())


def shaped(trunk, heads=HEADS):
    with torch.device("meta"):
        return MultiTaskModel(ModelConfig(trunk=trunk, heads=heads, pretraining=True, entailment_head="linear"))


@pytest.mark.parametrize(
    ("variant", "tokens", "heads"), [(TASKS, 20, HEADS), (NO_TASK_TOKENS, 0, HEADS), (PRETRAINED, 0, ())]
)
def test_names_and_shapes_are_theirs_to_the_last(variant, tokens, heads):
    trunk = make_config("base", task_tokens=tokens)
    ours = shaped(trunk, heads).state_dict()
    theirs = {name: tuple(shape) for name, shape in variant["shapes"].items()}
    dead = unread_shapes(trunk, bool(heads))
    assert set(dead) == {name for name in theirs if UNREAD.fullmatch(name)}
    assert authors_shapes(ours) | {TIED[1]: theirs["bert.embeddings.word_embeddings.weight"]} | dead == theirs
    assert {name: tuple(tensor.shape) for name, tensor in to_authors(ours).items()} | dead == theirs
    assert config_from_shapes(theirs, "weights") == trunk


def test_sizes_are_the_papers():
    def size(module):
        return sum(parameter.numel() for parameter in module.parameters())

    model = shaped(PRESETS["base"])
    dead = sum(torch.Size(shape).numel() for shape in unread_shapes(PRESETS["base"], True).values())
    assert size(model) + dead == TASKS["num_parameters_unique"] == 268_028_859
    assert size(model.trunk) + size(model.heads) == 253_689_917


def test_three_projections_become_one_and_three_again():
    torch.manual_seed(0)
    model = MultiTaskModel(ModelConfig(trunk=make_config("tiny"), pretraining=True, entailment_head="linear"))
    theirs = to_authors(model.state_dict())
    back, missing, left = from_authors(model.state_dict(), theirs)
    assert not missing and not left
    assert all(torch.equal(tensor, back[name]) for name, tensor in model.state_dict().items())
    layer = model.trunk.co_layers[0]
    query2 = theirs["bert.encoder.c_layer.0.biattention.query2.weight"]
    assert torch.equal(query2, layer.text_qkv.weight[: len(query2)])


def test_older_names_are_tidied():
    one = torch.ones(1)
    assert list(tidy({"module.a.LayerNorm.gamma": one, "a.LayerNorm.beta": one})) == [
        "a.LayerNorm.weight",
        "a.LayerNorm.bias",
    ]
    with pytest.raises(DataError, match=r"a\.LayerNorm\.bias is there twice"):
        tidy({"a.LayerNorm.beta": one, "a.LayerNorm.bias": one})


def test_their_config_is_read_and_written():
    config = config_from_authors(PARITY)
    assert (config.text.width, config.vision.width, config.co_width, config.co_heads) == (32, 48, 30, 5)
    assert (config.text_placement, config.vision_placement) == ((2, 3), (0, 1))
    assert (config.task_tokens, config.fusion, config.vocabulary) == (20, "product", 200)
    assert config_from_authors(config_to_authors(config)) == config
    assert {key: value for key, value in config_to_authors(config).items() if PARITY[key] != value} == {}
    assert config_from_authors(config_to_authors(PRESETS["base"])) == PRESETS["base"]


def test_switches_of_their_config():
    without = config_from_authors(PARITY | {"with_coattention": False})
    assert without.text_placement == () == without.vision_placement
    other = config_from_authors(PARITY | {"fusion_method": "sum", "task_specific_tokens": False})
    assert (other.fusion, other.task_tokens) == ("sum", 0)
    never_read = {"bi_intermediate_size": 7, "bi_attention_type": 0, "pooling_method": "sum", "v_initializer_range": 1}
    assert config_from_authors(PARITY | never_read) == config_from_authors(PARITY)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dynamic_attention": True}, "dynamic_attention"),
        ({"in_batch_pairs": True}, "in_batch_pairs"),
        ({"visual_target": 1}, "visual_target"),
        ({"model": "roberta"}, "model is 'roberta'"),
        ({"v_hidden_act": "relu"}, "v_hidden_act"),
        ({"fusion_method": "max"}, "fusion_method"),
        ({"t_biattention_id": [2, 9]}, "text_placement asks for 9"),
        ({"t_biattention_id": [2]}, "text_placement names 1"),
        ({"bi_num_attention_heads": 7}, "does not divide"),
    ],
)
def test_what_is_not_supported_is_one_line(changes, named):
    with pytest.raises(UsageError, match=named) as caught:
        config_from_authors(PARITY | changes, "config.json")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("config.json: ")


def test_sizes_that_shapes_do_not_tell_are_asked_for():
    seventh = {"bert.encoder.c_layer.6.biattention.query2.weight": [1024, 768]}
    for shapes in (TASKS["shapes"] | seventh, {name: [64, 64] for name in TASKS["shapes"]}, {}):
        with pytest.raises(UsageError, match="--config"):
            config_from_shapes(shapes, "x.bin")
    incomplete = {key: value for key, value in PARITY.items() if key != "v_hidden_size"}
    with pytest.raises(UsageError, match="lacks v_hidden_size"):
        config_from_authors(incomplete)
