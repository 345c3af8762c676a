"""How far each part of the model moves: heads at their tasks' rates, the trunk at the minimum, foreign heads never."""

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from training.small_runs import make_recipe
from training.toy_loop import heads_that_move, toy_loop, toy_model

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.datasets.table import TWELVE
from vlmt_cli.paper import table
from vlmt_cli.runs.checkpoint import WEIGHTS
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.tasks.config import HEADS
from vlmt_cli.training.job import Job
from vlmt_cli.training.optimizer import freeze, load_optimizer, make_optimizer, set_rate
from vlmt_cli.training.plan import make_plan
from vlmt_cli.training.train import train

RATES = {row["dataset"]: float(row["lr"]) for row in table("table8_samples")}


def resting(moved):
    return {name for name, does in moved.items() if not does}


def test_a_head_without_gradient_moves_neither_by_momentum_nor_by_decay():
    moved = heads_that_move(Fabric(accelerator="cpu", devices=1))
    heads = {name for name in moved if name.startswith("heads.vqa")}
    assert len(heads) == 6 and resting(moved) == heads


def movement(task, plan, scale=1.0, **choices):
    """How far the median weight of the task's head, and of the trunk, moves in a first update."""
    before = {name: value.clone() for name, value in toy_model((task,)).state_dict().items()}
    choices = {"learning_rate": plan.learning_rate, "weight_decay": 0.0, "epsilon": 1e-12, **choices}
    loop, _ = toy_loop(Fabric(accelerator="cpu"), [(task,)], heads=plan.heads, scales={task: scale}, **choices)
    assert loop.run()
    after = loop.model.module.state_dict()
    far = {name: (after[name] - value).abs().flatten() for name, value in before.items()}

    def median(part):
        return torch.cat([moved[moved > 0] for name, moved in far.items() if name.startswith(part)]).median().item()

    return median("heads."), median("trunk.")


def test_a_head_moves_at_its_tasks_rate_and_the_trunk_at_the_minimum():
    """AdamW's first update moves a weight by the learning rate, whatever the scale of the loss."""
    plan = make_plan(load_recipe("all-tasks", Recipe), dict.fromkeys(TWELVE, 1000))
    for task in TWELVE:
        for scale in (1.0, plan.tasks[task].scale):
            head, trunk = movement(task, plan, scale)
            assert head == pytest.approx(RATES[task], rel=0.01), task
            assert trunk == pytest.approx(2e-5, rel=0.01), task
    assert (RATES["vqa"], RATES["nlvr2"]) == (4e-5, 2e-5)


def test_a_run_uses_these_rates(trained_world, tmp_path):
    """The only iteration of a run without warm-up is half-way down the linear decay, at half of each rate."""
    tasks, choices = "vqa,nlvr2", {"warmup": 0, "clip": None, "learning_rate": None, "epsilon": 1e-12}
    recipe = make_recipe("all-tasks", tasks, iterations=1)
    assert train(Job(recipe, trained_world, tmp_path / "before"))
    recipe = make_recipe("all-tasks", tasks, iterations=1, **choices)
    recipe = recipe.model_copy(update={"start": str(tmp_path / "before")})
    assert train(Job(recipe, trained_world, tmp_path / "after"))
    before, after = (load_file(tmp_path / run / WEIGHTS) for run in ("before", "after"))
    for task in ("vqa", "nlvr2"):
        far = torch.cat([(after[name] - before[name]).flatten() for name in after if name.startswith(f"heads.{task}")])
        assert far.abs()[far != 0].median().item() == pytest.approx(RATES[task] / 2, rel=0.02)


def test_the_authors_rates_are_a_key():
    """Pooled heads at 1e-4; the head on regions and the trunk at the minimum."""
    recipe = load_recipe("authors", Recipe)
    plan = make_plan(recipe, dict.fromkeys(TWELVE, 1000))
    authors = {"head_learning_rate": recipe.training.head_learning_rate}
    assert movement("vqa", plan, **authors) == pytest.approx((1e-4, 2e-5), rel=0.01)
    assert movement("refcoco", plan, **authors) == pytest.approx((2e-5, 2e-5), rel=0.01)


def test_an_optimizer_of_other_groups_is_refused(tmp_path):
    model = toy_model(("vqa",))
    one_rate = make_optimizer(model, TrainingChoices(), 2e-5, {"vqa": 2e-5})
    two_rates = make_optimizer(model, TrainingChoices(), 2e-5, {"vqa": 4e-5})
    with pytest.raises(DataError, match=f"start another run from its weights with --set start={tmp_path}"):
        load_optimizer(two_rates, one_rate.state_dict(), tmp_path)


def test_biases_and_norms_do_not_decay_and_pooled_heads_have_their_own_rate():
    model = toy_model(("vqa", "refcoco"))
    choices = TrainingChoices(weight_decay=0.3, head_learning_rate=1e-4)
    optimizer = make_optimizer(model, choices, 2e-5, dict.fromkeys(HEADS, 4e-5))
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
    optimizer = make_optimizer(model, TrainingChoices(), 1e-3, {"vqa": 1e-3})
    trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
    words = {"text": "trunk.text_", "vision": ("trunk.region_", "trunk.vision_"), "trunk": "trunk."}
    for name, parameter in model.named_parameters():
        is_frozen = any(name.startswith(words[part]) for part in parts) and ("pooler" not in name or "trunk" in parts)
        assert (id(parameter) in trained) == parameter.requires_grad == (not is_frozen), name
