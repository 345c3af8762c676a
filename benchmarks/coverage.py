"""How often the printed 95% intervals hold the truth, in worlds that are drawn again and again.

    nice python benchmarks/coverage.py --worlds 2000

draws worlds whose truth is known, makes each interval by the code that prints it, and writes its section of
``benchmarks/RESULTS.md``. ``tests/evaluation/test_coverage.py`` does the same with fewer worlds.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vlmt_cli.analysis.consistency.pairs import ConceptPairs
from vlmt_cli.analysis.consistency.vgc import Agreement, Outcome, agreement_of, compare_models
from vlmt_cli.analysis.relations.affinity import (
    chance_correlations,
    correlation_interval,
    mean_interval,
    rank_correlation,
)
from vlmt_cli.analysis.relations.seeds import OverSeeds
from vlmt_cli.evaluation.bootstrap import estimate, unpaired_difference
from vlmt_cli.evaluation.contamination import controlled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bounds = tuple[float, float, float]
"""Of an interval its ends, and the truth."""
RESAMPLES = 300


class Case(NamedTuple):
    """Intervals of one kind at one size.

    Attributes:
        intervals: their names.
        size: of what they are.
        draw: draws a world, and returns an interval for each name; None where the world has none.
    """

    intervals: tuple[str, ...]
    size: str
    draw: Callable[[Generator], list[Bounds | None]]


def coverage(case: Case, worlds: int, seed: int = 7) -> Floats:
    """Return for each interval of a case how often it holds the truth."""
    drawn = [case.draw(np.random.default_rng([seed, world])) for world in range(worlds)]
    held = [[np.nan if each is None else float(each[0] <= each[2] <= each[1]) for each in world] for world in drawn]
    return np.asarray(np.nanmean(held, axis=0))


def right(rng: Generator, images: int, most: int, mean: float, alike: float = 4.0) -> tuple[Floats, Integers]:
    """Draw questions that are right or wrong, up to ``most`` of an image; images are easier or harder."""
    image = np.repeat(np.arange(images), rng.integers(1, most + 1, images))
    easy = rng.beta(alike * mean, alike * (1 - mean), images)
    return (rng.random(len(image)) < easy[image]).astype(float), image


def score(images: int, most: int, mean: float) -> Case:
    """The score of ``vlmt evaluate``."""

    def draw(rng: Generator) -> list[Bounds | None]:
        result = estimate(*right(rng, images, most, mean), resamples=RESAMPLES)
        return [(result.low, result.high, mean)]

    each = f"up to {most} questions each" if most > 1 else "a question each"
    return Case((f"score, {100 * mean:g}%",), f"{images:,} images, {each}", draw)


def seen_and_unseen(images: tuple[int, int], means: tuple[float, float]) -> Case:
    """The difference between the scores on seen and unseen images."""

    def draw(rng: Generator) -> list[Bounds | None]:
        (ours, group), (theirs, other) = (right(rng, n, 9, mean) for n, mean in zip(images, means, strict=True))
        result = unpaired_difference(ours, theirs, group, other, RESAMPLES)
        return [(result.low, result.high, means[0] - means[1])]

    shares = " and ".join(f"{100 * mean:g}%" for mean in means)
    return Case((f"seen less unseen, {shares}",), f"{images[0]} seen and {images[1]} unseen images", draw)


def with_control(images: tuple[int, int], mean: float, leak: float = 0.0) -> Case:
    """The difference in differences: seen images are 4 points easier, and having seen them turns wrong to right."""

    def draw(rng: Generator) -> list[Bounds | None]:
        group = np.repeat(np.arange(sum(images)), rng.integers(1, 10, sum(images)))
        seen = group < images[0]
        means = np.where(np.arange(sum(images)) < images[0], mean + 0.04, mean)
        easy = rng.beta(4 * means, 4 * (1 - means))[group]
        both = rng.random((2, len(group)))
        alike = rng.random(len(group)) < 0.6
        clean, leaky = both[0] < easy, np.where(alike, *both) < easy
        leaky |= seen & (rng.random(len(group)) < leak)
        excess = controlled("clean", leaky.astype(float), clean.astype(float), seen, group, RESAMPLES)
        if excess is None:
            return [None]
        beyond = excess.in_differences
        return [(beyond.low, beyond.high, leak * (1 - mean - 0.04))]

    size = f"{images[0]} seen and {images[1]} unseen images"
    return Case((f"difference in differences, {100 * mean:g}% and {100 * leak:g}%",), size, draw)


SKILLS = {"5%": (0.15, 0.15), "25%": (0.5, 0.45), "55%": (0.8, 0.75), "80%": (0.93, 0.9)}
"""Of an image of middling difficulty, the shares of questions answered and expressions found, by MT-VGC of about."""
VGC = ("MT-VGC", "above chance", "above chance within images", "kappa", "control", "difference", "difference in kappa")


def asked(rng: Generator, images: int, skill: tuple[float, float]) -> tuple[ConceptPairs, list[Outcome]]:
    """Draw images of two objects with up to four questions and expressions each, and what two models say of them.

    Images and objects are easier or harder for both skills; texts about the same object share one word or two. The
    second model is a little better, and right on much the same texts.
    """
    counts = rng.integers(1, 5, (2, images))
    image = [np.repeat(np.arange(images), count) for count in counts]
    about = [rng.integers(0, 2, len(each)) for each in image]
    ease = 0.7 * (rng.standard_normal((images, 1)) + rng.standard_normal((images, 2)))
    luck = [rng.random((2, len(each))) for each in image]
    alike = [rng.random(len(each)) < 0.6 for each in image]
    outcomes = []
    for better in (0.0, 0.2):
        right = []
        for kind, share in enumerate(skill):
            rolled = np.where(alike[kind] | (better == 0), *luck[kind])
            odds = np.log(share / (1 - share)) + better + ease[image[kind], about[kind]]
            right.append(rolled < 1 / (1 + np.exp(-odds)))
        outcomes.append(Outcome(right[0].astype(float), right[1]))
    pairs = counts[0] * counts[1]
    image_P = np.repeat(np.arange(images), pairs)
    within = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    first = np.cumsum(counts, 1) - counts
    question_P = first[0, image_P] + within // counts[1, image_P]
    expression_P = first[1, image_P] + within % counts[1, image_P]
    same = about[0][question_P] == about[1][expression_P]
    overlap_P = same * (1 + (rng.random(len(same)) < 0.3))
    none: Integers = np.zeros(0, np.int64)
    texts = len(image[0]), len(image[1])
    return ConceptPairs(
        question_P, expression_P, image_P, overlap_P, none, none, [], [], images, *texts, texts
    ), outcomes  # fmt: skip


def measured(pairs: ConceptPairs, outcomes: list[Outcome]) -> list[Bounds | None]:
    """Return the intervals of ``VGC``, with their values in the place of the truth."""
    answered, located = outcomes[0].accuracy[pairs.question_P] > 0, outcomes[0].located[pairs.expression_P]

    def agreement(weight: Integers) -> Agreement | None:
        return agreement_of(pairs.image_P, weight, answered, located) if weight.any() else None

    weighted, control = agreement(pairs.overlap_P), agreement((pairs.overlap_P == 0).astype(np.int64))
    if weighted is None:
        return [None] * len(VGC)
    [between] = compare_models(pairs, dict(zip("AB", outcomes, strict=True)))
    parts = [weighted.both, weighted.excess, weighted.excess_within, weighted.kappa, control and control.both]
    parts += [between.weighted, between.kappa]
    return [None if part is None else (part.low, part.high, part.value) for part in parts]


@lru_cache
def truth(skill: tuple[float, float], images: int) -> tuple[float, ...]:
    """Return the values of ``VGC`` of very many images."""
    values = measured(*asked(np.random.default_rng(1), images, skill))
    return tuple(np.nan if value is None else value[2] for value in values)


def consistency(images: int, skill: str, of: int = 200_000) -> Case:
    """What ``vlmt vgc`` prints; the truth is taken from ``of`` images."""

    def draw(rng: Generator) -> list[Bounds | None]:
        parts = measured(*asked(rng, images, SKILLS[skill]))
        values = truth(SKILLS[skill], of)
        return [part and (part[0], part[1], value) for part, value in zip(parts, values, strict=True)]

    return Case(tuple(f"{name}, {skill}" for name in VGC), f"{images:,} images", draw)


def affinity(tasks: int, measurements: int, like: float) -> Case:
    """The mean of measurements, each ``like`` times the one before and something new."""

    def draw(rng: Generator) -> list[Bounds | None]:
        values = [rng.standard_normal((tasks, tasks))]
        for _ in range(measurements - 1):
            values.append(like * values[-1] + np.sqrt(1 - like**2) * rng.standard_normal((tasks, tasks)))
        mean, half = mean_interval(np.array(values))
        return [(low, high, 0.0) for low, high in zip((mean - half).flat, (mean + half).flat, strict=True)]

    return Case((f"affinity, {like:g}",) * tasks**2, f"{tasks} tasks, {measurements} measurements", draw)


def rank(tasks: int, shared: float, agreement: float = 0.6) -> Case:
    """The rank correlation with measured pairs; ``shared``: of the spread, what a task has with all others."""

    def two(rng: Generator, *shape: int) -> Floats:
        first, other = rng.standard_normal((2, *shape))
        return np.array([first, agreement * first + np.sqrt(1 - agreement**2) * other])

    def draw(rng: Generator) -> list[Bounds | None]:
        of_tasks = np.sqrt(shared / 2) * (two(rng, tasks, 1) + two(rng, 1, tasks))
        ours, theirs = of_tasks + np.sqrt(1 - shared) * two(rng, tasks, tasks)
        interval = correlation_interval(ours, theirs)
        spearman = 6 / np.pi * np.arcsin(agreement / 2)  # of normal values
        return [interval and (*interval, spearman)]

    shown = f"{6 / np.pi * np.arcsin(agreement / 2):.1f} and {100 * shared:g}%"
    return Case((f"rank correlation, {shown}",), f"{tasks} tasks", draw)


def by_chance(tasks: int) -> Case:
    """The range of a rank correlation that chance explains."""

    def draw(rng: Generator) -> list[Bounds | None]:
        ours, theirs = rng.standard_normal((2, tasks, tasks))
        interval = chance_correlations(ours, theirs)
        return [interval and (*interval, rank_correlation(ours, theirs)[0])]

    return Case(("rank correlation by chance",), f"{tasks} tasks", draw)


def change(seeds: int) -> Case:
    """The relative change of a score over seeds, as ``analyze pairs`` and, as a difference, the tables print it."""

    def draw(rng: Generator) -> list[Bounds | None]:
        alone, joint = 0.5 + 0.01 * rng.standard_normal((2, seeds)) + 0.01 * rng.standard_normal(seeds)
        relative = OverSeeds(dict(enumerate(100 * (joint / alone - 1)))).interval
        mean = OverSeeds(dict(enumerate(alone))).interval
        return [relative and (*relative, 0.0), mean and (*mean, 0.5)]

    return Case(("change in %", "mean score"), f"{seeds} seeds", draw)


def every_case() -> Iterator[Case]:
    """Return what the section of ``RESULTS.md`` lists."""
    for images in (5, 12, 20, 40, 150, 1_000):
        for most in (1, 9):
            yield from (score(images, most, mean) for mean in (0.02, 0.1, 0.5, 0.9, 0.98))
    for sizes in ((20, 30), (85, 64), (120, 150)):
        yield from (seen_and_unseen(sizes, means) for means in ((0.6, 0.5), (0.95, 0.9), (0.99, 0.98)))
        yield from (with_control(sizes, mean, leak) for mean in (0.5, 0.9) for leak in (0.0, 0.1))
    for images in (8, 12, 20, 40, 150, 1_500):
        yield from (consistency(images, skill) for skill in SKILLS)
    for tasks, measurements in ((2, 5), (10, 5), (10, 12), (10, 40)):
        yield from (affinity(tasks, measurements, like) for like in (0.0, 0.4, 0.7))
    for tasks in (5, 8, 12):
        yield from (rank(tasks, shared, agreement) for shared in (0.0, 0.5, 0.9) for agreement in (0.0, 0.6))
    yield from map(change, (2, 3, 5))


def main() -> None:
    """Simulate, and write the section."""
    from results import write_section

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2000)
    worlds = parser.parse_args().worlds
    cases = [(case, worlds) for case in every_case()] + [(by_chance(tasks), worlds // 2) for tasks in (5, 12)]
    rows: dict[tuple[str, str], list[str]] = {}
    for case, count in cases:
        shares = coverage(case, count)
        for name in dict.fromkeys(case.intervals):
            share = float(np.mean([each for own, each in zip(case.intervals, shares, strict=True) if own == name]))
            print(f"{name}; {case.size}: {100 * share:.1f}", flush=True)
            interval, _, of = name.partition(", ")
            rows.setdefault((interval, case.size), []).append(f"{100 * share:.1f}{f' ({of})' if of else ''}")
    write_section("coverage", section(rows, worlds))


def section(rows: dict[tuple[str, str], list[str]], worlds: int) -> list[str]:
    """Lay out how often intervals hold the truth, by interval and size."""
    lines = [
        "## What 95% intervals cover",
        "",
        f"`python benchmarks/coverage.py`, {worlds:,} worlds each (half of that for the range by chance).",
        "",
        "In brackets: of scores their truth, and of their differences both; of differences in differences the score and"
        " the gain by a leak; of consistency about what MT-VGC is; of affinity how alike successive measurements are;"
        " of rank correlations their truth, and how much of the spread tasks have with all others.",
        "",
        "| interval | of | holds the truth in, % |",
        "|---|---|---|",
    ]
    return lines + [f"| {interval} | {size} | {', '.join(cells)} |" for (interval, size), cells in rows.items()]


if __name__ == "__main__":
    main()
