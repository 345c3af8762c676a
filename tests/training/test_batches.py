"""What every batch order must keep, and the thread that makes batches ahead."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.training.batches import BatchOrder, Prefetcher


@st.composite
def orders(draw):
    lengths = np.array(draw(st.lists(st.integers(3, 40), min_size=1, max_size=300)))
    size = draw(st.integers(1, len(lengths)))
    return lengths, size, draw(st.integers(0, 5)), draw(st.sampled_from(["vqa", "coco"]))


@settings(deadline=None)
@given(arguments=orders(), epoch=st.integers(0, 50))
def test_an_epoch_shows_an_example_at_most_once(arguments, epoch):
    order = BatchOrder(*arguments)
    lengths, size = arguments[:2]
    batches = [order.rows(epoch * order.epoch_length + place) for place in range(order.epoch_length)]
    shown = np.concatenate(batches)
    assert all(len(batch) == size for batch in batches)
    assert len(set(shown.tolist())) == len(shown) > len(lengths) - size
    assert shown.min() >= 0 and shown.max() < len(lengths)


@settings(deadline=None)
@given(arguments=orders(), numbers=st.lists(st.integers(0, 400), max_size=8))
def test_a_batch_depends_on_seed_task_and_number_alone(arguments, numbers):
    one, other = BatchOrder(*arguments), BatchOrder(*arguments)
    forward = {number: one.rows(number).tolist() for number in sorted(numbers)}
    assert {number: other.rows(number).tolist() for number in numbers} == forward
    for number in numbers:
        assert one.generator(number).random() == other.generator(number).random()


def test_an_order_is_what_it_was():
    order = BatchOrder(np.arange(1000) * 7919 % 31, 16, 3, "vqa", window=4)
    rows = np.stack([order.rows(number) for number in range(130)])
    assert rows[70, :8].tolist() == [165, 495, 526, 670, 318, 338, 679, 586]
    assert hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest().startswith("9bc6bddebf5b980b")


def test_seed_task_epoch_and_number_each_matter():
    lengths = np.full(400, 9)
    orders = [BatchOrder(lengths, 4, seed, task) for seed in (0, 1) for task in ("vqa", "vg_qa")]
    firsts = {tuple(order.rows(epoch * 100).tolist()) for order in orders for epoch in range(3)}
    draws = {order.generator(number).random() for order in orders for number in range(3)}
    assert len(firsts) == 12 and len(draws) == 12


@settings(deadline=None)
@given(arguments=orders())
def test_a_batch_has_examples_of_like_lengths(arguments):
    lengths, size, *_ = arguments
    order = BatchOrder(*arguments)
    batches = [lengths[order.rows(place)] for place in range(min(order.epoch_length, 32))]
    spans = sorted((batch.min(), batch.max()) for batch in batches)
    if len(lengths) // size <= 32:  # one pool: sorted in whole, then cut
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_little_of_a_batch_is_padding():
    lengths = np.random.default_rng(0).integers(5, 30, 20_000)
    order, drawn = (BatchOrder(lengths, 16, 0, "vqa", window) for window in (32, 1))

    def padded(order):
        return sum(16 * lengths[order.rows(place)].max() for place in range(order.epoch_length)) / lengths.sum()

    assert padded(order) < 1.05 and padded(drawn) > 1.5
    batches = np.stack([lengths[order.rows(place)] for place in range(order.epoch_length)])
    assert abs(np.corrcoef(batches.mean(1)[1:], batches.mean(1)[:-1])[0, 1]) < 0.1  # long and short ones mixed


def test_what_is_made_ahead_comes_in_order_and_only_once():
    made = []

    def make(number):
        time.sleep(0.002 * (number % 3))
        made.append(number)
        return number * 10

    with ThreadPoolExecutor(2) as pool:
        ahead = Prefetcher(make, 5, pool)
        assert made == []  # nothing is made before it is wanted
        assert [ahead.take() for _ in range(6)] == [50, 60, 70, 80, 90, 100]
        assert ahead.number == 11 and ahead.waited > 0
    assert made == [5, 6, 7, 8, 9, 10, 11]


def test_an_error_of_the_thread_reaches_who_waits():
    def make(number):
        raise ValueError(f"batch {number}")

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="batch 3"):
        Prefetcher(make, 3, pool).take()
