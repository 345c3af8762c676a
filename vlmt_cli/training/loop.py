"""The loop: one batch and one update a task and iteration, steered by dynamic stop-and-go (section 3.3, Algorithm 1).

Pre-training, one task and twelve tasks all run here. Every draw is a function of the seed, the task and the iteration,
so that a run that goes on from a checkpoint does what it would have done.
"""

import math
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from vlmt_cli.runs.best import Best
from vlmt_cli.runs.recipe_sections import TrainingChoices
from vlmt_cli.tasks.batch import on_device
from vlmt_cli.training.batches import Prefetcher
from vlmt_cli.training.loop_state import Clock, DivergedError, LoopState, Tally, Update, seed_device
from vlmt_cli.training.loop_task import LoopTask
from vlmt_cli.training.optimizer import drop_foreign_gradients, set_rate, take_step
from vlmt_cli.training.plan import Plan

Emit = Callable[[dict[str, Any]], None]


class Callback(Protocol):
    """What looks on while a model trains."""

    def after_iteration(self, iteration: int) -> None: ...


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

    def __post_init__(self) -> None:
        # On a CPU there is nothing to wait for, and fp16's loss scaler, which skips steps by itself, needs no help.
        precision = self.fabric.strategy.precision
        self._waits = self.fabric.device.type == "cpu" or getattr(precision, "scaler", None) is not None
        self._parameters = list(self.model.parameters())
        self._tallies = {task: Tally() for task in self.loop_tasks}
        self._unsettled: list[Update] = []
        self._diverged: Tensor | None = None
        self._wishes: Tensor | None = None

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
        logged, saved = time.perf_counter(), self.clock()
        waited = 0.0
        while not self._is_over():
            began = time.perf_counter()
            iteration = state.iteration + 1
            set_rate(self.optimizer, plan.rate(iteration))
            validated = False
            for task in plan.draw(iteration, self.seed):
                self._train(task, iteration, prefetchers[task])
            for task in plan.turn(iteration):
                if plan.temperature is None:
                    self._train(task, iteration, prefetchers[task])
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
                self._log(iteration, (total - waited) / max(now - logged, 1e-9))
                logged, waited = now, total
            if last:
                for task in self.loop_tasks:
                    if iteration % plan.tasks[task].evaluate_every:
                        self._validate(task, iteration, steer=False)
            if validated or last:
                self._compare(iteration)
            if saves:
                self.save()
                self.emit({"kind": "save", "iteration": iteration})
                saved, self._wishes = self.clock(), None  # a wish of before has been fulfilled
            if stop and not last:
                return False
        self.emit({"kind": "end", "iteration": state.iteration, "seconds": round(state.seconds, 3)})
        return True

    def _train(self, task: str, iteration: int, batches: Prefetcher[list[Any]]) -> None:
        """Train one batch of a task, if its controller lets it."""
        if self.state.controllers[task].trains(iteration):
            self._update(task, iteration, batches)
            self.state.batches[task] = batches.number

    def _update(self, task: str, iteration: int, batches: Prefetcher[list[Any]]) -> None:
        """Train one batch of a task, in as many parts as it was cut into, and update once.

        On a GPU nothing here waits for it: whether the loss is finite is known there, where no later update changes a
        weight once it was not, and here when ``_settle`` asks. Of several GPUs DDP asks each after the backward pass
        which parameters were used, since heads take turns.
        """
        clock, number = Clock(self.fabric.device), batches.number
        loop_task, fabric = self.loop_tasks[task], self.fabric
        own = batches.take()
        counts = self._counts(loop_task, own)
        parts = [part.to(fabric.device, torch.float32) for part in own]
        # Dropout's numbers depend on nothing that came before.
        seed_device(fabric.device, zlib.crc32(f"{self.seed} {task} {number} {fabric.global_rank}".encode()))
        losses: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            with fabric.no_backward_sync(self.model, enabled=index < len(parts) - 1):
                sums = loop_task.sums(self.model, part)
                named = {name: total / counts[name] for name, (total, _) in sums.items()}
                # Processes' gradients are averaged, and the counts are of all of them together.
                loss = torch.stack(list(named.values())).sum() * (loop_task.plan.scale * fabric.world_size)
                fabric.backward(loss)
            for name, value in named.items():
                losses[name] = losses.get(name, 0) + value.detach()
        values = self._together(torch.stack(list(losses.values())))
        self._unsettled.append(Update(task, iteration, number, tuple(losses), values))
        if self._waits:
            self._settle()
        else:
            broken = (~values.isfinite()).any().float()
            self._diverged = broken if self._diverged is None else torch.maximum(self._diverged, broken)
        if fabric.world_size > 1:
            drop_foreign_gradients(self.model.module.heads, loop_task.head)
        take_step(fabric, self._parameters, self.optimizer, self.choices.clip, self._diverged)
        clock.stop()
        tally = self._tallies[task]
        tally.clocks.append(clock)
        tally.updates += 1
        tally.examples += loop_task.plan.batch_size
        for name, share in getattr(own[0], "shares", {}).items():
            tally.shares[name] = tally.shares.get(name, 0.0) + float(share)

    def _settle(self) -> None:
        """Bring the losses of all updates since the last call from the device, and add them to the tallies.

        Raises:
            DivergedError: one was NaN or infinite. The weights are those before that update.
        """
        updates, self._unsettled = self._unsettled, []
        values = torch.cat([update.losses for update in updates]).tolist() if updates else []
        for update in updates:
            named = {name: values.pop(0) for name in update.names}
            if not all(map(math.isfinite, named.values())):
                batch = self.loop_tasks[update.task].make(update.number)
                parts = [part.to(self.fabric.device, torch.float32) for part in batch]
                raise DivergedError(update.task, update.iteration, update.number, named, parts)
            losses = self._tallies[update.task].losses
            for name, value in named.items():
                losses[name] = losses.get(name, 0.0) + value

    def _counts(self, loop_task: LoopTask, parts: list[Any]) -> dict[str, Any]:
        """What each loss is divided by: counts over all parts and processes, at least 1; ``parts`` are on the CPU."""
        if loop_task.known is not None:
            return loop_task.known
        own = loop_task.counts(parts)
        if self.fabric.world_size == 1:
            return {name: max(count, 1.0) for name, count in own.items()}
        total = self._together(on_device(torch.tensor(list(own.values())), self.fabric.device))
        return dict(zip(own, total.clamp(min=1), strict=True))

    def _together(self, values: Tensor) -> Tensor:
        """Sum over processes, in place; Fabric's own sum waits for the device first, in a barrier."""
        if self.fabric.world_size > 1:
            torch.distributed.all_reduce(values)
        return values

    def _validate(self, task: str, iteration: int, steer: bool = True) -> None:
        self._settle()  # a model that has diverged is not scored
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

    def _log(self, iteration: int, waiting: float) -> None:
        self._settle()
        tallies, self._tallies = self._tallies, {task: Tally() for task in self.loop_tasks}
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

        Both are asked in one message, so that the clock costs no further one. On GPUs the answer is that to the
        question of an iteration ago, so that nobody waits for this iteration's.
        """
        minutes = self.choices.save_minutes
        is_late = minutes is not None and self.fabric.global_rank == 0 and self.clock() - saved >= 60 * minutes
        if self.fabric.world_size == 1:
            return self.interrupted(), is_late
        wishes = on_device(torch.tensor([float(self.interrupted()), float(is_late)]), self.fabric.device)
        asked, self._wishes = self._wishes, self._together(wishes)
        if self.fabric.device.type == "cpu":
            asked = self._wishes
        stop, late = (0.0, 0.0) if asked is None else asked.tolist()
        return stop > 0, late > 0
