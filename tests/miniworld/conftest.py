"""One world of the default sizes for all the tests here, without its images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.table import CROSSWALKS, DATASETS
from vlmt_cli.datasets.tables import Examples
from vlmt_cli.miniworld.photos import Plan
from vlmt_cli.miniworld.plan import make_plan
from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.world import write_annotations


@dataclass(frozen=True)
class World:
    plan: Plan
    raw: Path
    examples: dict[str, Examples]

    def rows(self, dataset: str, *splits: str) -> list[dict]:
        return [row for split in splits for row in self.examples[dataset].splits[split].to_pylist()]


@pytest.fixture(scope="session", name="read_all")
def _read_all() -> Callable[[Path], dict[str, Examples]]:
    return read_all


def read_all(raw: Path) -> dict[str, Examples]:
    """Read every dataset with the readers that real data is read with, and their defaults."""
    everything = DATASETS | CROSSWALKS
    return {name: each.read(raw / (each.folder or name), Options()) for name, each in everything.items()}


@pytest.fixture(scope="session")
def world(made_once: Callable[[str, Callable[[Path], None]], Path]) -> World:
    plan = make_plan(Sizes(), seed=0)
    raw = made_once("miniworld", lambda folder: write_annotations(plan, folder / "raw")) / "raw"
    return World(plan, raw, read_all(raw))
