"""Run folders as a training leaves them, written by hand: recipe.yaml and metrics.jsonl."""

import json

import yaml

from vlmt_cli.base.recipes import load_recipe
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.training.plan import make_plan


def make_recipe(preset="pairs", *settings, **values):
    """A recipe of the program's, small."""
    return load_recipe(preset, Recipe, ["start=null", "training.batch_size=10", *settings], "mini", **values)


def write_run(
    folder, recipe, scores=None, seed=0, examples=100, seconds=10.0, end=True, device="cpu", losses=(), **more
):
    """Write a run.

    Args:
        scores: each task's validation scores, as (iteration, score, state after it), or one score at the end.
        more: further fields of the line of kind start.
        losses: lines of training as (iteration, task, loss, updates).
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = examples if isinstance(examples, dict) else dict.fromkeys(recipe.tasks, examples)
    plan = make_plan(recipe, sizes)
    lines = [
        {
            "kind": "start",
            "iteration": 0,
            "iterations": plan.iterations,
            "gap": recipe.training.gap,
            "seed": seed,
            "device": device,
            "tasks": {task: vars(part) for task, part in plan.tasks.items()},
            **more,
        }
    ]
    events = []
    for task, found in (scores or {}).items():
        for iteration, score, state in found if isinstance(found, list) else [(plan.iterations, found, "go")]:
            event = {"kind": "validation", "iteration": iteration, "task": task, "score": score, "state": state}
            events.append(event | {"before": "go", "n": 10})
    for iteration, task, loss, updates in losses:
        event = {"kind": "train", "iteration": iteration, "task": task, "loss": loss, "updates": updates}
        events.append(event | {"examples_per_second": 50.0, "waiting": 0.0, "rate": 1e-3})
    lines += sorted(events, key=lambda event: event["iteration"])
    if end:
        lines.append({"kind": "save", "iteration": plan.iterations})
        lines.append({"kind": "end", "iteration": plan.iterations, "seconds": seconds})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    return folder


def write_lineage(folder, *stages, split_hash="abc"):
    """Write where a run came from, the last stage its own."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [{"name": name, "split_hash": split_hash, "steps": 1} for name in stages]
    (folder / "lineage.json").write_text(json.dumps({"stages": kept}))
    (folder / "config.json").write_text("{}")
