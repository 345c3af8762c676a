"""RefClef: referring expressions for photos of ImageCLEF, which no other dataset has.

refclef.json
    [{"split": "train", "image": "19579", "ref_id": 7, "sentence": "tall tree", "box": [3, 4, 50, 60],
      "boxes": [[3, 4, 50, 60], [0, 0, 9, 9]]}, ...]
"""

from pathlib import Path

import msgspec

from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import find, read_json
from vlmt_cli.datasets.tables import REFERRING, Examples, example_rows

FILE = "refclef.json"


class Reference(msgspec.Struct):
    split: str
    image: str
    ref_id: int
    sentence: str
    box: tuple[float, float, float, float]
    boxes: list[tuple[float, float, float, float]]


def read(raw: Path, options: Options) -> Examples:
    """Read RefClef."""
    examples = Examples()
    if path := find(raw, FILE):
        references = read_json(path, list[Reference])
        for split in ("train", "val", "test"):
            rows = [
                {
                    "example_id": str(one.ref_id),
                    "images": [f"refclef:{one.image}"],
                    "text": one.sentence,
                    "box": one.box,
                    "candidates": one.boxes,
                    "target": one.boxes.index(one.box),
                }
                for one in references
                if one.split == split
            ]
            examples.splits[split] = example_rows(REFERRING, path, rows)
    return examples
