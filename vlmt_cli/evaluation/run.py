"""Run a model over examples, in one process or several; scores and predictions are the same, and in order.

Bit for bit they are with as many threads each: a CPU rounds otherwise where work is cut among threads, and processes
divide the cores of a machine.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.base.progress import Progress
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.batch import Batch
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.groups import head_of, rules_of
from vlmt_cli.tasks.load import make_batch
from vlmt_cli.tasks.process import Process

Made = TypeVar("Made")


def outputs(
    model: nn.Module,
    examples: Examples,
    reader: RegionReader,
    token: int | None,
    batch_size: int,
    process: Process,
    progress: Progress | None = None,
    only: NDArray[np.int64] | None = None,
) -> Iterator[tuple[Batch, Tensor]]:
    """Go through this process's share of the batches: each with the head's output.

    ``only`` names examples; None means all. Batches are of like lengths, the longest first, and each is read in a
    thread while the model is at the one before; the model is in evaluation mode meanwhile.
    """
    chosen = np.arange(len(examples)) if only is None else only
    order = chosen[np.argsort(examples.lengths[chosen], kind="stable")]

    def made() -> Iterator[tuple[Batch, bool]]:
        for _, which, is_own in own_batches(order, batch_size, process):
            memory = _memory(examples, which, reader) if process.device.type == "cuda" else None
            yield make_batch(examples, which, reader, token, memory=memory), is_own

    done = 0
    with evaluating(model):
        for read, is_own in ahead(made()):
            batch = read.to(process.device, torch.float32)
            output = model(*batch.inputs())
            if is_own:
                yield batch, output
            if progress:
                done = min(done + process.world * batch_size, len(order))
                progress(examples.task, done, len(order))


def _memory(examples: Examples, which: NDArray[np.int64], reader: RegionReader) -> Tensor:
    """Give a batch pinned memory, from which its features are copied to a GPU without a wait.

    Where candidates of a photo need more, the reader takes memory of its own.
    """
    images = int(np.diff(examples.offsets)[which].sum()) * (2 if head_of(examples.task).draw else 1)
    size = images * (1 + reader.max_regions) * reader.store.meta.feature_width
    return torch.empty(size, dtype=torch.float16, pin_memory=True)


def ahead(made: Iterator[Made]) -> Iterator[Made]:
    """Go through what an iterator makes; the next is made in a thread while the last is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, made, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, made, None)
            yield item


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Let a model compute without dropout and gradients; it trains on after that if it did before."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def own_batches(
    rows: NDArray[np.int64], batch_size: int, process: Process
) -> Iterator[tuple[int, NDArray[np.int64], bool]]:
    """Share batches out, the last first: each one's number, its rows, and whether it is this process's to count.

    The last of rows that are sorted by length are the longest: they are dealt round first, so that processes end
    together, and memory that does not suffice is noticed at once. What is in a batch does not depend on how many
    processes there are. Every process runs as many as any other, as a sharded model gathers its weights in each; one
    that has no batch left runs the first again, and does not count it.
    """
    cuts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    for dealt in range(process.rank, -(-len(cuts) // process.world) * process.world, process.world):
        is_own = dealt < len(cuts)
        number = len(cuts) - 1 - dealt if is_own else 0
        yield number, cuts[number], is_own


def score(
    model: nn.Module,
    examples: Examples,
    reader: RegionReader,
    token: int | None,
    batch_size: int,
    process: Process,
    progress: Progress | None = None,
    only: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Return the score of each of N examples by its task's measure, (N,), the same in every process.

    Where ``only`` names some of them, theirs, in its order.
    """
    head = head_of(examples.task)
    scores = np.zeros(len(examples))
    for batch, output in outputs(model, examples, reader, token, batch_size, process, progress, only):
        options = head.options(output, batch.targets)
        scores[batch.examples] = head.score(options, batch.targets).double().cpu().numpy()
    everywhere = gathered(scores, process)
    return everywhere if only is None else everywhere[only]


def predict_examples(
    model: nn.Module,
    examples: Examples,
    reader: RegionReader,
    token: int | None,
    labels: Sequence[str],
    batch_size: int,
    process: Process,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the score of each of N examples, and its prediction by column, in the order of the examples.

    In others than the first process, nothing.
    """
    head, rules = head_of(examples.task), rules_of(examples.task)
    own: list[tuple[NDArray[np.int64], NDArray[np.float64], dict[str, list[Any]]]] = []
    for batch, output in outputs(model, examples, reader, token, batch_size, process, progress):
        options = head.options(output, batch.targets)
        scores = head.score(options, batch.targets).double().cpu().numpy()
        given = {name: tensor.cpu().numpy() for name, tensor in batch.targets.items()}
        given["pixels"] = batch.pixels_BV4.numpy()
        own.append((batch.examples, scores, rules.decode(options.float().cpu().numpy(), given, labels)))
    columns: dict[str, NDArray[Any]] = {}
    for which, scores, decoded in (part for parts in process.to_first(own) for part in parts):
        columns.setdefault("score", np.zeros(len(examples)))[which] = scores
        for name, values in decoded.items():
            column = columns.setdefault(name, np.empty(len(examples), object))
            for row, value in zip(which, values, strict=True):
                column[row] = value
    return columns


def gathered(values: NDArray[np.float64], process: Process) -> NDArray[np.float64]:
    """Add up what processes have, (N,): exact where each value is zero in all but one of them."""
    if process.world == 1:
        return values
    tensor = torch.from_numpy(values).to(process.device)
    torch.distributed.all_reduce(tensor)
    return np.asarray(tensor.cpu().numpy(), np.float64)


@contextmanager
def tensor_cores(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply in its tensor cores (TF32), several times as fast: only factors are rounded, to ten bits."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
