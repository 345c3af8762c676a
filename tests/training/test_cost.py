"""What a run will take, against running its controllers and against a count from the model's sizes."""

import pytest
import torch
from training.small_runs import make_recipe

from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.training.cost import work_of
from vlmt_cli.training.counted import count
from vlmt_cli.training.dsg import VARIANTS
from vlmt_cli.training.plan import make_plan
from vlmt_cli.trunks.config import PRESETS

EXAMPLES = {"vqa": 90, "refcoco": 31, "nlvr2": 500}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("choices", [{"gap": 4}, {"gap": 3, "evaluate_every": 7}, {"gap": 1}])
def test_updates_are_between_those_of_tasks_that_stop_at_once_and_that_never_do(variant, choices):
    recipe = make_recipe("all-tasks", ",".join(EXAMPLES), iterations=100, batch_size=8, variant=variant, **choices)
    plan = make_plan(recipe, EXAMPLES)
    work = work_of(plan, recipe.training, dict.fromkeys(EXAMPLES, 5))
    for task, own in plan.tasks.items():
        updates, validations = [], []
        for score_of in (lambda _: 1.0, float):  # never better again; better every time
            controller = VARIANTS[variant](gap=recipe.training.gap)
            trained = scored = 0
            for iteration in range(1, 101):
                trained += controller.trains(iteration)
                if iteration % own.evaluate_every == 0:
                    controller.observe(score_of(iteration))
                    scored += 1
            updates.append(trained)
            validations.append(scored + (100 % own.evaluate_every > 0))
        assert [work[task].validations] * 2 == validations
        assert work[task].most == updates[1]
        # A stopped task trains when the iteration is a multiple of the gap: once more or less than one in ``gap``.
        assert abs(work[task].least - updates[0]) <= 1


def test_a_curriculum_and_draws_share_the_iterations_out():
    recipe = make_recipe("all-tasks", "vqa,refcoco", iterations=100, batch_size=8, curriculum=["G3"], alone=0.3)
    work = work_of(make_plan(recipe, EXAMPLES), recipe.training, EXAMPLES)
    assert (work["refcoco"].most, work["vqa"].most) == (100, 70)
    recipe = make_recipe("all-tasks", "vqa,refcoco", iterations=100, batch_size=8, temperature=1.0)
    work = work_of(make_plan(recipe, EXAMPLES), recipe.training, EXAMPLES)
    assert (work["vqa"].most, work["refcoco"].most) == (round(200 * 90 / 121), round(200 * 31 / 121))
    assert work["vqa"].least == work["vqa"].most  # no DSG


@pytest.mark.parametrize(("task", "head", "pairs"), [("vqa", "vqa", 1), ("nlvr2", "nlvr2", 2)])
def test_operations_are_those_of_the_sizes(task, head, pairs, monkeypatch):
    monkeypatch.syspath_prepend("benchmarks")
    from model_operations import Lengths, Shape, parts

    config = ModelConfig(trunk=PRESETS["tiny"], heads=(head,), answers={"vqa": 30, "gqa": 30})
    with torch.device("meta"):
        model = MultiTaskModel(config)
    model.trunk.packed = False
    found = count(model, task, 9, 7, make_recipe("all-tasks", task))

    def counted(texts, images):
        words, regions = torch.full((texts,), 10), torch.full((images,), 7)  # with the task token
        return parts(config, Shape(Lengths(words, words), Lengths(regions, regions)), pooled_only=True, heads=head)

    whole = counted(2 * pairs, 2 * pairs)
    if pairs == 1:
        assert found.forward * 2 == whole.total()
    else:  # what does not depend on the pair is computed once for a text
        once = counted(2, 2)
        shared = ("alone", "project_text")
        assert found.forward * 2 == whole.total() - sum(whole[part] - once[part] for part in shared)
    assert 1.5 * found.forward < found.backward < 2.5 * found.forward
    assert found.activations > 0 and found.images == pairs
    assert 100 < found.launched[1] < found.launched[0]
