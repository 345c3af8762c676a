"""Where an image is: every split and example that shows it, under any of its names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.identity import HOW, LINKS
from vlmt_cli.clean.overlap import compare_splits
from vlmt_cli.clean.splits import Split, image_split

_FIRST = 3


@dataclass(frozen=True)
class Occurrence:
    """A split that shows the image: under which key, known by which relation, in how many examples."""

    dataset: str
    split: str
    image: str
    how: str
    examples: int
    first_ids: list[str]


def explain_image(key: str, splits: Sequence[Split], links: Sequence[pa.Table]) -> list[Occurrence]:
    """Find an image in all splits, in their order; a split that knows it under two names is listed twice."""
    asked = image_split("asked", "detector", pa.array([key]))
    overlap = compare_splits([asked, *splits], pa.concat_tables([LINKS.empty_table(), *links]))
    code = overlap.codes[0][0]
    uses = []
    for split, codes in zip(splits, overlap.codes[1:], strict=True):
        example = np.repeat(np.arange(len(split)), np.diff(split.offsets))
        same = overlap.numbers[HOW[-1]][codes] == overlap.numbers[HOW[-1]][code]
        for name in np.unique(codes[same]):
            rows = np.unique(example[codes == name])
            how = next(how for how in HOW if overlap.numbers[how][name] == overlap.numbers[how][code])
            ids = pc.take(split.ids, pa.array(rows[:_FIRST])).to_pylist()
            uses.append(Occurrence(split.dataset, split.name, overlap.keys[int(name)].as_py(), how, len(rows), ids))
    return uses
