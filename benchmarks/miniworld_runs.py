"""The trainings that ``miniworld.py`` compares."""

from dataclasses import dataclass

FOUR = ("vqa", "flickr30k", "visual7w", "nlvr2")
JOINT, ALL, PRETRAIN = 300, 200, 200
SIX = ("vg_qa", "vqa", "nlvr2", "flickr30k", "visual7w", "refcocog")
"""Of all groups, from the largest to the smallest, 24 to 1."""
MIXINGS = {
    "no-dsg": "round robin",
    "all-tasks": "round robin with DSG",
    "size-proportional": "drawn by size",
    "temperature": "drawn by its square root (T = 2)",
}
MIXED, BATCH = 90, 16
REGIONS = {"pixels": "proposals, at most 16", "pixels-grid-6": "6 x 6 cells"}
"""Stores of the two kinds of regions, with equal features."""
CUT = 120
TWELVE = "vqa vg_qa gqa coco flickr30k refcoco refcoco+ refcocog visual7w guesswhat nlvr2 snli_ve".split()


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its folder.
        command: ``train`` or ``pretrain``.
        arguments: for it.
        after: the run that it begins with, which must be there before.
    """

    name: str
    command: str
    arguments: tuple[str, ...]
    after: str | None = None


def settings(**values: object) -> tuple[str, ...]:
    return tuple(part for name, value in values.items() for part in ("--set", f"{name.replace('__', '.')}={value}"))


def mixing_runs(seed: int) -> list[Run]:
    """List the trainings of one seed that differ in how tasks are mixed; all start from one pre-training."""
    start = "pretrain-0"
    common = settings(
        training__iterations=MIXED,
        training__batch_size=BATCH,
        training__evaluate_every=10,
        training__validation_examples=50,
        start=start,
    )
    first = [Run(start, "pretrain", settings(training__iterations=PRETRAIN))] if seed == 0 else []
    return first + [
        Run(f"mix-{preset}-{seed}", "train", ("--preset", preset, "--task", ",".join(SIX), *common), start)
        for preset in MIXINGS
    ]


def region_runs(seed: int) -> list[Run]:
    """List the trainings of one seed that differ in their regions; none is pre-trained."""
    common = {"training__iterations": CUT, "training__batch_size": BATCH, "training__evaluate_every": 60}
    task = ("--preset", "no-dsg", "--task", ",".join(FOUR))
    return [
        Run(f"{store}-{seed}", "train", (*task, *settings(**common, start="null", features__store=store)))
        for store in REGIONS
    ]


def runs_of(seed: int) -> list[Run]:
    """List the trainings of one seed."""
    with_masking, without = f"pretrain-{seed}", f"pretrain-plain-{seed}"
    pretraining = settings(training__iterations=PRETRAIN)
    found = [
        Run(with_masking, "pretrain", pretraining),
        Run(without, "pretrain", (*pretraining, *settings(masking__neighbours="false"))),
    ]
    common = {"training__evaluate_every": 25, "start": with_masking}
    names = ",".join(FOUR)
    found.append(
        Run(
            f"joint-{seed}",
            "train",
            ("--preset", "pairs", "--task", names, *settings(training__iterations=JOINT, training__gap=1, **common)),
            with_masking,
        )
    )
    for task in FOUR:
        single = ("--preset", "single-task", "--task", task)
        equal = settings(training__iterations=JOINT * len(FOUR), training__stop_when_converged="false", **common)
        found.append(Run(f"equal-{task}-{seed}", "train", (*single, *equal), with_masking))
        until = settings(training__iterations=JOINT * len(FOUR), **common)
        found.append(Run(f"converged-{task}-{seed}", "train", (*single, *until), with_masking))
    twelve = settings(training__iterations=ALL, **common)
    for name, preset, more in (
        ("all", "all-tasks", ()),
        ("no-dsg", "no-dsg", ()),
        ("no-token", "no-task-token", ()),
        ("full", "all-tasks", ("--set", "split=full")),
    ):
        found.append(Run(f"{name}-{seed}", "train", ("--preset", preset, *twelve, *more), with_masking))
    plain = settings(training__iterations=ALL, training__evaluate_every=25, start=without)
    found.append(Run(f"no-overlap-{seed}", "train", ("--preset", "all-tasks", *plain), without))
    return found
