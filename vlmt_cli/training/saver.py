"""Checkpoints of a run in training: the weights of the best validation, and all that resuming takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.files import sync
from vlmt_cli.runs.best import Best
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.runs.metrics import METRICS
from vlmt_cli.runs.tensors import make_model
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.training.loop_state import LoopState


class Saver:
    """Writes checkpoints in the first process.

    Args:
        fabric: of this process.
        run: the run folder.
        checkpoint: whose model is trained.
        optimizer: set up by ``fabric``.
        state: of the loop.
        seed: of the run.
    """

    def __init__(
        self, fabric: Fabric, run: Path, checkpoint: Checkpoint, optimizer: Any, state: LoopState, seed: int
    ) -> None:
        self.fabric, self.run, self.checkpoint = fabric, run, checkpoint
        self.optimizer, self.state, self.seed = optimizer, state, seed
        self._pending: tuple[Best, Checkpoint] | None = None

    def keep(self, best: Best) -> None:
        """Copy the weights to the CPU; the next save writes them, so that validating often costs no disk."""
        if self.fabric.global_rank == 0:
            weights = self.checkpoint.model.state_dict()
            self._pending = best, self._with_steps(make_model(self.checkpoint.config, weights))

    def save(self) -> None:
        """Write the checkpoint, and the best weights where there are new ones.

        Raises:
            VlmtError: it cannot be written; in every process, as one that went on would wait for the first for ever.
        """
        failed: VlmtError | None = None
        if self.fabric.global_rank == 0:
            kept = {**self.state.state_dict(), "seed": self.seed, "optimizer": self.optimizer.state_dict()}
            if scaler := self.fabric.strategy.precision.state_dict():
                kept["scaler"] = scaler
            try:
                sync(self.run / METRICS)  # what led to a checkpoint is as safe as that
                save_pretrained(self.run, self._with_steps(self.checkpoint.model), kept, self._pending)
                self._pending = None
            except VlmtError as error:
                failed = error
        if failed := self.fabric.broadcast(failed):
            raise failed

    def _with_steps(self, model: MultiTaskModel) -> Checkpoint:
        """Put the number of updates so far into the lineage's last stage."""
        *before, last = self.checkpoint.lineage.stages
        last = last.model_copy(update={"steps": sum(self.state.batches.values())})
        lineage = self.checkpoint.lineage.model_copy(update={"stages": (*before, last)})
        return replace(self.checkpoint, model=model, lineage=lineage)
