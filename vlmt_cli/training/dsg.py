"""Dynamic stop-and-go (section 3.3): a task that has converged trains sparsely, until it drifts away from its best.

Algorithm 1, for one task::

    if state is go, or iteration mod gap = 0:    train a batch
    if iteration mod n = 0:                      s <- validation score
        if state is go and Converged(s):         state <- stop
        else if state is stop and Diverged(s):   state <- go

Converged: improved by less than 0.1% over two evaluations, both since the task went. Diverged: 0.5% below the best
score ever measured. A gap of 1 is plain round robin (table 11, first row).
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["go", "stop"]


@dataclass
class StopAndGo:
    """One task's controller, as the paper states it.

    Attributes:
        gap: iterations between two updates of a stopped task.
        converged: relative improvement over ``window`` evaluations below which a task stops.
        diverged: relative loss from the best score at which it goes again.
        window: evaluations.
        state: of the task now.
        scores: all validation scores so far.
        entered: how many there were when the task last began to go.
    """

    gap: int = 4
    converged: float = 0.001
    diverged: float = 0.005
    window: int = 2
    state: State = "go"
    scores: list[float] = field(default_factory=list)
    entered: int = 0

    def trains(self, iteration: int) -> bool:
        """Whether the task trains a batch in this iteration; iterations count from 1."""
        return self.state == "go" or iteration % self.gap == 0

    def observe(self, score: float) -> State:
        """Take in a validation score, and return the state that follows."""
        self.scores.append(score)
        if self.state == "go" and self._has_converged():
            self.state = "stop"
        elif self.state == "stop" and score < _moved(max(self.scores), -self.diverged):
            self.state, self.entered = "go", len(self.scores)
        return self.state

    def _has_converged(self) -> bool:
        if len(self.scores) - self.entered < self.window or len(self.scores) <= self.window:
            return False
        return self.scores[-1] < _moved(self.scores[-1 - self.window], self.converged)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint must keep."""
        return asdict(self)


@dataclass
class AuthorsStopAndGo:
    """The authors' controller, a plateau scheduler: recipe value ``variant: authors``.

    A score that does not beat the best by 0.1% is bad; two bad ones in a row stop the task, and once stopped so does
    every further pair, before divergence is looked at. After every switch one evaluation is never bad.
    """

    gap: int = 4
    converged: float = 0.001
    diverged: float = 0.005
    patience: int = 1
    cooldown: int = 1
    state: State = "go"
    best: float = float("-inf")
    bad: int = 0
    cooling: int = 0

    def trains(self, iteration: int) -> bool:
        """Whether the task trains a batch in this iteration."""
        return self.state == "go" or iteration % self.gap == 0

    def observe(self, score: float) -> State:
        """Take in a validation score, and return the state that follows."""
        if score > self.best * (1 + self.converged):
            self.best, self.bad = score, 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling -= 1
            self.bad = 0
        if self.bad > self.patience:
            self.state, self.cooling, self.bad = "stop", self.cooldown, 0
        elif self.state == "stop" and score < self.best * (1 - self.diverged):
            self.state, self.cooling, self.bad = "go", self.cooldown, 0
        return self.state

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint must keep."""
        return asdict(self)


def _moved(score: float, share: float) -> float:
    """Raise a score by a share of its size, or lower it; pre-training's are negative."""
    return score * (1 + math.copysign(share, share * score))


Controller = StopAndGo | AuthorsStopAndGo
VARIANTS: dict[str, type[Controller]] = {"paper": StopAndGo, "authors": AuthorsStopAndGo}
