"""Plain JSON lines.

questions.jsonl   {"question_id": "vqa:262148000", "image": "COCO_train2014_....jpg", "text": "...",
                   "category": "question"}
answers           {"question_id": "vqa:262148000", "answer": "down"}
"""

from pathlib import Path

import msgspec

from vlmt_cli.analysis.consistency.exports.asked import Asked, Export
from vlmt_cli.base.files import write_bytes

QUESTIONS, ANSWERS = "questions.jsonl", "answers.jsonl"


def write(folder: Path, asked: Asked) -> None:
    """Write a record a row."""
    write_bytes(folder / QUESTIONS, msgspec.json.Encoder().encode_lines(asked.table.to_pylist()))


def readme(folder: Path, asked: Asked) -> str:
    """Say what to do with it."""
    return f"""Ask the model each `text` of {QUESTIONS} about its `image`, and write a line an answer to {ANSWERS}:

```
{{"question_id": "{asked.table["question_id"][0].as_py()}", "answer": "..."}}
```
"""


PLAIN = Export("plain JSON lines", write, readme, lambda asked: ANSWERS)
