"""The real loop and model on batches of noise, with turns and scores that a test says beforehand."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch

from vlmt_cli.datasets.table import TASKS
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.tasks.config import HEADS, ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.training.loop import Loop
from vlmt_cli.training.loop_state import first_state
from vlmt_cli.training.loop_task import LoopTask
from vlmt_cli.training.optimizer import make_optimizer
from vlmt_cli.trunks.config import make_config

BATCH = 4


@dataclass
class Noise:
    inputs: tuple

    def to(self, device, features):
        return self

    def __len__(self):
        return len(self.inputs[1])


def noise(head, number, rank, world):
    """This process's part of a batch; no two have padding."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(1, 50, (BATCH, 5), generator=generator)
    features = torch.randn(BATCH, 3, 8, generator=generator)
    boxes = torch.rand(BATCH, 3, 5, generator=generator)
    real = torch.ones(BATCH, 5, dtype=torch.bool)
    parts = (tokens, real, features, boxes, real[:, :3], torch.full((BATCH,), number % 20))
    return Noise((head, *(part[rank::world] for part in parts)))


def toy_model(tasks):
    torch.manual_seed(0)
    heads = tuple(dict.fromkeys(TASKS[task].head for task in tasks))
    trunk = make_config("tiny", vocabulary=50, region_features=8)
    return MultiTaskModel(ModelConfig(trunk=trunk, heads=heads, answers={"vqa": 7, "gqa": 5}))


def toy_loop(fabric, turns, scores=None, evaluate_every=1, callback=None, heads=None, scales=None, **choices):
    """A loop over turns, each the names of tasks, and the metrics that it will emit.

    ``scores``: of each task, one an evaluation. ``heads``: their learning rates. ``scales``: of each task's loss.
    """
    choices = TrainingChoices(**{"learning_rate": 1e-2, "log_every": 1, "gap": 1, **choices})
    tasks = tuple(dict.fromkeys(task for turn in turns for task in turn))
    own = toy_model(tasks)
    model = fabric.setup_module(own)
    heads = heads or dict.fromkeys(HEADS, choices.learning_rate)
    optimizer = fabric.setup_optimizers(make_optimizer(own, choices, choices.learning_rate, heads))
    left = {task: iter((scores or {}).get(task, [0.5] * 1000)) for task in tasks}

    def loop_task(task):
        head = TASKS[task].head
        return LoopTask(
            task,
            head,
            SimpleNamespace(scale=(scales or {}).get(task, 1.0), batch_size=BATCH),
            lambda number: [noise(head, number, fabric.global_rank, fabric.world_size)],
            lambda parts: {"loss": float(sum(map(len, parts)))},
            lambda model, batch: {"loss": (model(*batch.inputs).square().sum(), torch.tensor(len(batch)))},
            lambda model: next(left[task]),
            1,
        )

    plan = SimpleNamespace(
        iterations=len(turns),
        tasks=dict.fromkeys(tasks, SimpleNamespace(evaluate_every=evaluate_every, scale=1.0)),
        rate=lambda iteration: choices.learning_rate,
        turn=lambda iteration: turns[iteration - 1],
        draw=lambda iteration, seed: (),
        temperature=None,
    )
    metrics = []
    loop = Loop(
        fabric,
        model,
        optimizer,
        {task: loop_task(task) for task in tasks},
        plan,
        choices,
        first_state(tasks, choices),
        0,
        metrics.append,
        lambda best: None,
        lambda: None,
        lambda: False,
    )
    if callback:
        loop.callbacks = [SimpleNamespace(after_iteration=lambda iteration: callback(loop, iteration))]
    return loop, metrics


def heads_that_move(fabric):
    """Train VQA for two iterations, then other tasks for six: whose weights and moments change in those six?"""
    kept = {}

    def look(loop, iteration):
        if iteration in (2, 8):
            state = loop.optimizer.optimizer.state
            for name, parameter in loop.model.module.named_parameters():
                moments = [value.clone() for value in state.get(parameter, {}).values()]
                kept[name, iteration] = [parameter.detach().clone(), *moments]

    turns = [("vqa",)] * 2 + [("snli_ve", "refcoco"), ("refcoco",)] * 3
    loop, _ = toy_loop(fabric, turns, callback=look, weight_decay=0.5)
    assert loop.run()
    names = {name for name, iteration in kept}
    return {name: not _same(kept[name, 2], kept[name, 8]) for name in names}


def saves_by_time(fabric):
    """Save every minute and every 7 iterations, of 20 seconds by the first process's clock; others' are far ahead.

    Returns the iterations after which this process saved.
    """
    loop, _ = toy_loop(fabric, [("vqa",)] * 12, save_every=7, save_minutes=1)
    saved = []
    loop.clock = lambda: loop.state.iteration * (20.0 if fabric.global_rank == 0 else 1000.0)
    loop.save = lambda: saved.append(loop.state.iteration)
    assert loop.run()
    return saved


def _same(before, after):
    return len(before) == len(after) and all(map(torch.equal, before, after))
