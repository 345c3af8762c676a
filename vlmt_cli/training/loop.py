"""The loop: one batch and one update a task and iteration, steered by dynamic stop-and-go (section 3.3, Algorithm 1).

Pre-training, one task and twelve tasks all run here. Every draw is a function of the seed, the task and the iteration,
so that a run that goes on from a checkpoint does what it would have done.
"""

import math
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.runs.best import Best
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.training.batches import Prefetcher
from vlmt_cli.training.dsg import VARIANTS, Controller
from vlmt_cli.training.loop_task import LoopTask
from vlmt_cli.training.optimizer import clip_gradients, drop_foreign_gradients, set_rate
from vlmt_cli.training.plan import Plan

Emit = Callable[[dict[str, Any]], None]


@dataclass
class LoopState:
    """How far a run is; with the weights and the optimizer, all that it needs to go on.

    Attributes:
        iteration: the last one that is complete.
        seconds: of training so far.
        batches: that each task has taken.
        controllers: each task's dynamic stop-and-go.
        scores: each task's latest validation score, of those that have been validated.
        best: when the weights were best; None until every task has been validated.
    """

    iteration: int
    seconds: float
    batches: dict[str, int]
    controllers: dict[str, Controller]
    scores: dict[str, float] = field(default_factory=dict)
    best: Best | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        controllers = {task: controller.state_dict() for task, controller in self.controllers.items()}
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "batches": self.batches,
            "controllers": controllers,
            "scores": self.scores,
            "best": self.best.model_dump() if self.best else None,
        }


def first_state(tasks: Sequence[str], choices: TrainingChoices) -> LoopState:
    """Return the state of a run that begins."""
    kind = VARIANTS[choices.variant]
    controllers: dict[str, Controller] = {
        task: kind(gap=choices.gap, converged=choices.converged, diverged=choices.diverged) for task in tasks
    }
    return LoopState(0, 0.0, dict.fromkeys(tasks, 0), controllers)


def read_state(values: dict[str, Any], choices: TrainingChoices) -> LoopState:
    """Make a state of what ``state_dict`` gave."""
    kind = VARIANTS[choices.variant]
    controllers: dict[str, Controller] = {task: kind(**kept) for task, kept in values["controllers"].items()}
    best = Best.model_validate(values["best"]) if values.get("best") else None
    scores = dict(values.get("scores", {}))
    return LoopState(values["iteration"], values["seconds"], dict(values["batches"]), controllers, scores, best)


class Callback(Protocol):
    """What looks on while a model trains."""

    def after_iteration(self, iteration: int) -> None: ...


@dataclass
class Tally:
    """What a task did since the last line of metrics."""

    losses: dict[str, float] = field(default_factory=dict)
    updates: int = 0
    examples: int = 0
    seconds: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)


@dataclass
class Loop:
    """A run in one process.

    Attributes:
        fabric: devices, precision and the other processes.
        model, optimizer: set up by it.
        loop_tasks: each task's.
        plan: of the run.
        choices: of the recipe.
        state: how far it is.
        seed: of the run.
        emit: takes each line of metrics.
        keep: takes the weights as they are now for the best so far.
        save: writes weights and state, and the best weights.
        interrupted: whether somebody asked this process to stop.
        callbacks: what looks on.
        clock: seconds, by which it is time to save; the first process's decides for all.
    """

    fabric: Fabric
    model: Any
    optimizer: Any
    loop_tasks: dict[str, LoopTask]
    plan: Plan
    choices: TrainingChoices
    state: LoopState
    seed: int
    emit: Emit
    keep: Callable[[Best], None]
    save: Callable[[], None]
    interrupted: Callable[[], bool]
    callbacks: Sequence[Callback] = ()
    clock: Callable[[], float] = time.monotonic

    def run(self) -> bool:
        """Train to the end, or until it is interrupted; returns whether it came to the end."""
        self.model.train()
        pool = ThreadPoolExecutor(2)
        try:
            prefetchers = {
                task: Prefetcher(loop_task.make, self.state.batches[task], pool)
                for task, loop_task in self.loop_tasks.items()
            }
            return self._iterate(prefetchers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _iterate(self, prefetchers: dict[str, Prefetcher[list[Any]]]) -> bool:
        state, plan, choices = self.state, self.plan, self.choices
        tallies = {task: Tally() for task in self.loop_tasks}
        logged, saved = time.perf_counter(), self.clock()
        waited = 0.0
        while not self._is_over():
            began = time.perf_counter()
            iteration = state.iteration + 1
            set_rate(self.optimizer, plan.rate(iteration))
            validated = False
            for task in plan.draw(iteration, self.seed):
                self._train(task, iteration, prefetchers[task], tallies[task])
            for task in plan.turn(iteration):
                if plan.temperature is None:
                    self._train(task, iteration, prefetchers[task], tallies[task])
                if iteration % plan.tasks[task].evaluate_every == 0:
                    self._validate(task, iteration)
                    validated = True
            for callback in self.callbacks:
                callback.after_iteration(iteration)
            state.iteration = iteration
            state.seconds += time.perf_counter() - began
            last, (stop, late) = self._is_over(), self._asked(saved)
            saves = last or stop or late or iteration % choices.save_every == 0
            # What is saved is logged, too, so that a run that goes on from there lacks no update in its metrics.
            if saves or iteration % choices.log_every == 0:
                now, total = time.perf_counter(), sum(prefetcher.waited for prefetcher in prefetchers.values())
                self._log(iteration, tallies, (total - waited) / max(now - logged, 1e-9))
                logged, waited = now, total
                tallies = {task: Tally() for task in self.loop_tasks}
            if last:
                for task in self.loop_tasks:
                    if iteration % plan.tasks[task].evaluate_every:
                        self._validate(task, iteration, steer=False)
            if validated or last:
                self._compare(iteration)
            if saves:
                self.save()
                self.emit({"kind": "save", "iteration": iteration})
                saved = self.clock()
            if stop and not last:
                return False
        self.emit({"kind": "end", "iteration": state.iteration, "seconds": round(state.seconds, 3)})
        return True

    def _train(self, task: str, iteration: int, batches: Prefetcher[list[Any]], tally: Tally) -> None:
        """Train one batch of a task, if its controller lets it."""
        if self.state.controllers[task].trains(iteration):
            self._update(task, iteration, batches, tally)
            self.state.batches[task] = batches.number

    def _update(self, task: str, iteration: int, batches: Prefetcher[list[Any]], tally: Tally) -> None:
        """Train one batch of a task, in as many parts as it was cut into, and update once."""
        began, number = time.perf_counter(), batches.number
        loop_task, fabric = self.loop_tasks[task], self.fabric
        parts = [part.to(fabric.device, torch.float32) for part in batches.take()]
        # Dropout's numbers depend on nothing that came before.
        _seed(fabric.device, zlib.crc32(f"{self.seed} {task} {number} {fabric.global_rank}".encode()))
        counts = self._counts(loop_task, parts)
        losses: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            with fabric.no_backward_sync(self.model, enabled=index < len(parts) - 1):
                sums = loop_task.sums(self.model, part)
                named = {name: total / counts[name].clamp(min=1) for name, (total, _) in sums.items()}
                # Processes' gradients are averaged, and the counts are of all of them together.
                loss = torch.stack(list(named.values())).sum() * (loop_task.plan.scale * fabric.world_size)
                fabric.backward(loss)
            for name, value in named.items():
                losses[name] = losses.get(name, 0) + value.detach()
        names = list(losses)
        values = fabric.all_reduce(torch.stack([losses[name] for name in names]), reduce_op="sum")
        assert isinstance(values, Tensor)
        values_of = dict(zip(names, values.tolist(), strict=True))
        if not all(value - value == 0 for value in values_of.values()):
            raise DivergedError(task, iteration, number, values_of, parts)
        drop_foreign_gradients(self.model.module.heads, loop_task.head)
        if self.choices.clip is not None:
            clip_gradients(fabric, self.model, self.optimizer.optimizer, self.choices.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        tally.updates += 1
        tally.examples += loop_task.plan.batch_size
        tally.seconds += time.perf_counter() - began
        for name, value in values_of.items():
            tally.losses[name] = tally.losses.get(name, 0.0) + value
        for name, share in getattr(parts[0], "shares", {}).items():
            tally.shares[name] = tally.shares.get(name, 0.0) + float(share)

    def _counts(self, loop_task: LoopTask, parts: list[Any]) -> dict[str, Tensor]:
        """What each loss is divided by: counts over all parts and processes."""
        own = loop_task.counts(parts)
        names = list(own)
        counts = torch.tensor([own[name] for name in names], dtype=torch.float32, device=self.fabric.device)
        total = self.fabric.all_reduce(counts, reduce_op="sum")
        assert isinstance(total, Tensor)
        return dict(zip(names, total, strict=True))

    def _validate(self, task: str, iteration: int, steer: bool = True) -> None:
        controller, loop_task = self.state.controllers[task], self.loop_tasks[task]
        score = loop_task.validate(self.model)
        if loop_task.steering:  # a mean over no examples says nothing
            self.state.scores[task] = score
        before = controller.state
        after = controller.observe(score) if steer else before
        self.emit(
            {
                "kind": "validation",
                "iteration": iteration,
                "task": task,
                "score": score,
                "state": after,
                "before": before,
                "n": loop_task.steering,
            }
        )

    def _compare(self, iteration: int) -> None:
        """Keep the weights if the mean of all tasks' latest validation scores is above what it ever was.

        Tasks are validated once an epoch of theirs, so that a score may be older than the weights; when all have one,
        the mean says of every validation, whichever task's it is, whether the model as a whole has become better.
        """
        state = self.state
        if state.scores.keys() < self.loop_tasks.keys():
            return
        score = sum(state.scores[task] for task in self.loop_tasks) / len(self.loop_tasks)
        if score > (state.best.score if state.best else -math.inf):  # which no NaN is
            state.best = Best(
                iteration=iteration, score=score, tasks={task: state.scores[task] for task in self.loop_tasks}
            )
            self.keep(state.best)
            self.emit({"kind": "best", "iteration": iteration, "score": score})

    def _log(self, iteration: int, tallies: dict[str, Tally], waiting: float) -> None:
        for task, tally in tallies.items():
            if not tally.updates:
                continue
            means = {name: value / tally.updates for name, value in tally.losses.items()}
            record = {
                "kind": "train",
                "iteration": iteration,
                "task": task,
                "loss": sum(means.values()),
                "updates": tally.updates,
                "examples_per_second": round(tally.examples / tally.seconds, 2),
                "waiting": round(waiting, 4),
                "rate": self.plan.rate(iteration) * self.plan.tasks[task].scale,
            }
            self.emit(record | (means if len(means) > 1 else {}))
            if tally.shares:
                shares = {name: round(value / tally.updates, 4) for name, value in tally.shares.items()}
                self.emit({"kind": "masking", "iteration": iteration, "task": task, **shares})

    def _is_over(self) -> bool:
        converged = all(controller.state == "stop" for controller in self.state.controllers.values())
        return self.state.iteration >= self.plan.iterations or (self.choices.stop_when_converged and converged)

    def _asked(self, saved: float) -> tuple[bool, bool]:
        """Say, alike in all processes, whether to stop, and whether the last save is so long ago that it is time.

        Both are asked in one message, so that the clock costs no further one.
        """
        minutes = self.choices.save_minutes
        is_late = minutes is not None and self.fabric.global_rank == 0 and self.clock() - saved >= 60 * minutes
        wishes = torch.tensor([float(self.interrupted()), float(is_late)], device=self.fabric.device)
        stop, late = torch.as_tensor(self.fabric.all_reduce(wishes, reduce_op="sum")).tolist()
        return stop > 0, late > 0


def _seed(device: torch.device, seed: int) -> None:
    """Seed the CPU and the device in use; ``torch.manual_seed`` formats a stack for every kind that is not there."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


class DivergedError(VlmtError):
    """A loss is NaN or infinite."""

    def __init__(self, task: str, iteration: int, number: int, losses: dict[str, float], parts: list[Any]) -> None:
        what = ", ".join(f"{name} {value}" for name, value in losses.items() if value - value != 0)
        super().__init__(
            f"the loss of {task} is NaN or infinite ({what}) in iteration {iteration}, batch {number}",
            todo="a lower learning rate helps, or --set training.clip=1",
        )
        self.task, self.iteration, self.number, self.parts = task, iteration, number, parts
