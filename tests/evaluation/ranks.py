"""Several processes of an evaluation, as threads of this one: what they tell each other goes over a board."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from vlmt_cli.tasks.process import Process


class Board:
    """Where each rank puts a value, and all wait for one another before and after they read."""

    def __init__(self, world):
        self.values, self.barrier = [None] * world, threading.Barrier(world)

    def exchange(self, rank, value):
        self.values[rank] = value
        self.barrier.wait()
        seen = list(self.values)
        self.barrier.wait()
        return seen


@dataclass(frozen=True)
class Rank(Process):
    """A process of several."""

    board: Board = field(default_factory=lambda: Board(1))

    def to_first(self, value):
        seen = self.board.exchange(self.rank, value)
        return seen if self.is_first else []

    def from_first(self, value):
        return self.board.exchange(self.rank, value)[0]


def in_ranks(world, work):
    """Call ``work(process)`` for each of several processes; returns what each returned."""
    board = Board(world)

    def run(rank):
        torch.set_num_threads(1)
        try:
            return work(Rank(rank=rank, world=world, board=board))
        except BaseException:
            board.barrier.abort()
            raise

    with ThreadPoolExecutor(world) as pool:
        return [each.result() for each in [pool.submit(run, rank) for rank in range(world)]]
