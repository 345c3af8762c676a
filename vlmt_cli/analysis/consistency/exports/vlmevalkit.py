"""VLMEvalKit's table, which it runs as a data set of one's own.

vlmt_vgc_gqa_graph_openended.tsv
    index  question_id    question  category  image_path
    0      gqa:05451384   ...       question  /photos/2382986.jpg

``index`` is a number, as the kit sorts and names by it; ``question_id`` stays in the table of predictions. The kit
takes a table for multiple choice unless its name has ``openended`` in it.
"""

import csv
import io
import shlex
from pathlib import Path

from vlmt_cli.analysis.consistency.exports.asked import Asked, Export
from vlmt_cli.analysis.consistency.exports.lmms_eval import task_of
from vlmt_cli.base.files import write_text

_NAME = "{}_openended"
_COLUMNS = ("index", "question_id", "question", "category", "image_path")


def write(folder: Path, asked: Asked) -> None:
    """Write the table; a prompt is one line in it."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n")
    rows.writerow(_COLUMNS)
    for number, row in enumerate(asked.table.to_pylist()):
        path = str(asked.photos / row["image"]) if asked.photos else row["image"]
        rows.writerow([number, row["question_id"], " ".join(row["text"].split()), row["category"], path])
    write_text(folder / f"{_NAME.format(task_of(asked.pairing))}.tsv", text.getvalue())


def readme(folder: Path, asked: Asked) -> str:
    """Say how to run it."""
    name = _NAME.format(task_of(asked.pairing))
    paths = "" if asked.photos else "First put the photos' folder before each `image_path`.\n\n"
    return f"""{paths}```sh
cp {shlex.quote(str(folder / f"{name}.tsv"))} ~/LMUData/    # or where LMUData leads
python run.py --data {name} --model MODEL --mode infer
```

The answers are in `outputs/MODEL/.../MODEL_{name}.xlsx` (or `.tsv`, `.json`).
"""


def answers(asked: Asked) -> str:
    """Return where the kit links the newest answers of a model."""
    return f"outputs/MODEL/MODEL_{_NAME.format(task_of(asked.pairing))}.xlsx"


VLMEVALKIT = Export("VLMEvalKit's table", write, readme, answers)
