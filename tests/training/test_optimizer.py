"""A head that a batch does not use stays where it is, whatever momentum and weight decay it has."""

import pytest
from lightning_fabric import Fabric
from training.toy_loop import heads_that_move, toy_model

from vlmt_cli.runs.recipe import TrainingChoices
from vlmt_cli.training.optimizer import freeze, make_optimizer, set_rate


def resting(moved):
    return {name for name, does in moved.items() if not does}


def test_a_head_without_gradient_moves_neither_by_momentum_nor_by_decay():
    moved = heads_that_move(Fabric(accelerator="cpu", devices=1))
    heads = {name for name in moved if name.startswith("heads.vqa")}
    assert len(heads) == 6 and resting(moved) == heads


def test_biases_and_norms_do_not_decay_and_pooled_heads_have_their_own_rate():
    model = toy_model(("vqa", "refcoco"))
    choices = TrainingChoices(weight_decay=0.3, head_learning_rate=1e-4)
    optimizer = make_optimizer(model, choices, 2e-5)
    set_rate(optimizer, 1e-5)  # half of the base rate
    found = {id(one): group for group in optimizer.param_groups for one in group["params"]}
    named = {name: found[id(parameter)] for name, parameter in model.named_parameters()}
    assert {name for name, group in named.items() if group["weight_decay"] == 0} == {
        name for name, parameter in model.named_parameters() if parameter.dim() < 2
    }
    assert all(group["weight_decay"] in (0, 0.3) for group in named.values())
    assert named["heads.vqa.inner.weight"]["lr"] == pytest.approx(5e-5)
    for name in ("heads.referring.weight.weight", "trunk.text_embedding.word.weight"):
        assert named[name]["lr"] == 1e-5


@pytest.mark.parametrize("parts", [(), ("text",), ("vision", "text"), ("trunk",)])
def test_what_is_frozen_is_not_in_the_optimizer(parts):
    model = toy_model(("vqa",))
    freeze(model, parts)
    optimizer = make_optimizer(model, TrainingChoices(), 1e-3)
    trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
    words = {"text": "trunk.text_", "vision": ("trunk.region_", "trunk.vision_"), "trunk": "trunk."}
    for name, parameter in model.named_parameters():
        is_frozen = any(name.startswith(words[part]) for part in parts) and ("pooler" not in name or "trunk" in parts)
        assert (id(parameter) in trained) == parameter.requires_grad == (not is_frozen), name
