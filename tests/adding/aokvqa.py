"""A-OKVQA: questions about COCO images, each with four choices.

aokvqa_v1p0_train.json (val and test alike; test has no correct_choice_idx)
    [{"split": "train", "image_id": 299207, "question_id": "22MexNkBPpdZGX6sxbxVBH", "question": "What is the man by the
      bags awaiting?", "choices": ["skateboarder", "train", "delivery", "cab"], "correct_choice_idx": 3, ...}, ...]

From https://github.com/allenai/aokvqa.
"""

from pathlib import Path

import msgspec
import pyarrow as pa

from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import find, read_json
from vlmt_cli.datasets.tables import Examples, example_rows

FILE = "aokvqa_v1p0_{}.json"
CHOICES = ("0", "1", "2", "3")
SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("images", pa.list_(pa.string())),
        ("text", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("label", pa.int8()),
    ]
)


class Question(msgspec.Struct):
    image_id: int
    question_id: str
    question: str
    choices: list[str]
    correct_choice_idx: int = -1


def read(raw: Path, options: Options) -> Examples:
    """Read A-OKVQA; the model reads the question and its choices as one text."""
    examples = Examples()
    for split in ("train", "val", "test"):
        if path := find(raw, FILE.format(split)):
            rows = [
                {
                    "example_id": one.question_id,
                    "images": [f"coco:{one.image_id}"],
                    "text": " ".join([one.question, *one.choices]),
                    "choices": one.choices,
                    "label": one.correct_choice_idx,
                }
                for one in read_json(path, list[Question])
            ]
            examples.splits[split] = example_rows(SCHEMA, path, rows)
    return examples
