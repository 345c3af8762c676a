"""Which images the training behind a checkpoint saw, under any name, so that no leaked score is reported silently.

Only test sets are guarded: validation images of one task may well train another, as cleaning takes the images of test
sets alone out of training (section 8.1); scores on them are marked.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError, LeakError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.clean.splits import role_of
from vlmt_cli.evaluation.contamination import seen_in_training
from vlmt_cli.tasks.tables import read_columns

if TYPE_CHECKING:
    from vlmt_cli.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class Training:
    """What a checkpoint's lineage says of its training images.

    Attributes:
        images: image keys of each stage that names them.
        unknown: the stages that do not.
    """

    images: list[tuple[str, pa.Array]]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """Which of N images training saw.

    Attributes:
        keys: N distinct image keys.
        stages: of each stage, (N,).
        unknown: stages that may have seen more.
    """

    keys: pa.Array
    stages: dict[str, NDArray[np.bool_]]
    unknown: tuple[str, ...] = ()

    @property
    def tells(self) -> bool:
        """Whether any stage names its images."""
        return bool(self.stages)

    def examples(self, images: pa.ListArray) -> NDArray[np.bool_]:
        """Return whether any image of each of M examples was seen, (M,), for M lists of ``keys``."""
        hit = np.any([*self.stages.values(), np.zeros(len(self.keys), bool)], axis=0)
        places = pc.index_in(images.flatten(), self.keys).to_numpy()
        parents = pc.list_parent_indices(images).to_numpy()
        return np.bincount(parents, hit[places], minlength=len(images)) > 0

    def report(self, images: pa.ListArray) -> tuple[int, int, list[str]]:
        """Count the distinct images that were seen, and all of them; name the stages that saw some."""
        places = pc.index_in(images.flatten().unique(), self.keys).to_numpy()
        stages = [stage for stage, hit in self.stages.items() if hit[places].any()]
        hit = np.any([*self.stages.values(), np.zeros(len(self.keys), bool)], axis=0)
        return int(hit[places].sum()), len(places), stages


def training_of(checkpoint: "Checkpoint") -> Training:
    """Read the training images that a checkpoint brings along.

    Raises:
        DataError: a list of images is damaged.
    """
    lineage = checkpoint.lineage
    known = [
        (stage.name, _read_images(checkpoint.images[stage.images], stage.images))
        for stage in lineage.stages
        if stage.images is not None
    ]
    unknown = tuple(stage.told for stage in lineage.stages if stage.images is None)
    # Weights that came without lineage were trained on something.
    return Training(known, unknown if lineage.stages else (lineage.source or "unknown weights",))


def read_links(data: Path) -> pa.Table:
    """Read the identity links of all datasets that were prepared. Raises a DataError when one is damaged."""
    tables = [read_columns(path, LINKS.names) for path in sorted((data / "examples").glob("*/links.parquet"))]
    return pa.concat_tables([LINKS.empty_table(), *(table.cast(LINKS) for table in tables)])


Images = Mapping[tuple[str, str], pa.ListArray]
"""The lists of image keys of some splits, by task and split."""


def find_seen(images: Images, training: Training, links: pa.Table) -> Seen:
    """Look for the images of some splits among those of every stage, under any of their names."""
    keys = pa.concat_arrays([pa.array([], pa.string()), *(lists.flatten() for lists in images.values())]).unique()
    singles = pa.ListArray.from_arrays(np.arange(len(keys) + 1, dtype=np.int32), keys)
    stages: dict[str, NDArray[np.bool_]] = {}
    for stage, trained in training.images:
        stages[stage] = stages.get(stage, np.zeros(len(keys), bool)) | seen_in_training(singles, trained, links)
    return Seen(keys, stages, training.unknown)


def guard(images: Images, seen: Seen, allowed: bool, say: Callable[[str], None]) -> bool:
    """Refuse test images that training saw, or say so where they are allowed.

    Returns:
        Whether there are any.

    Raises:
        LeakError: there are, and they are not allowed.
    """
    leaks: list[str] = []
    marked: list[str] = []
    for (task, split), lists in images.items():
        hits, count, stages = seen.report(lists)
        if hits:
            line = f"{hits:,} of {count:,} images of {task} {split} (stage {' and '.join(stages)})"
            (leaks if role_of(split) == "test" else marked).append(line)
    if leaks and not allowed:
        todo = "score a model of the clean split, see both parts with --contaminated, or go on with --allow-leak"
        raise LeakError(f"training saw {'; '.join(leaks)}", todo=todo)
    if leaks:
        say(f"Warning: training saw {'; '.join(leaks)}")
    if marked:
        say(f"Training saw {'; '.join(marked)}: cleaning takes out test images only")
    return bool(leaks)


def _read_images(content: bytes, name: str) -> pa.Array:
    """Read a stage's images: Parquet with a column ``image``, or text with a key a line."""
    if content.startswith(b"PAR1"):
        try:
            return pq.read_table(io.BytesIO(content), columns=["image"])["image"].combine_chunks().cast(pa.string())
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DataError(f"is damaged ({str(error).splitlines()[0][:160]})", where=name) from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError("is neither Parquet nor text", where=name) from error
    numbered = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
    return pa.array([check_image_key(key, f"{name}:{number}") for number, key in numbered if key], pa.string())
