"""A task folder for lmms-eval: a YAML file, its functions and the rows.

Samples that ``--log_samples`` writes no longer have the row itself, but what a metric returns for it: the only metric
of this task returns the row's id. Its value is how many rows were answered; scores are made when the samples come back.
"""

import shlex
from pathlib import Path

from vlmt_cli.analysis.consistency.exports.asked import Asked, Export
from vlmt_cli.analysis.consistency.exports.plain import QUESTIONS
from vlmt_cli.analysis.consistency.exports.plain import write as write_rows
from vlmt_cli.base.files import write_text


def task_of(pairing: str) -> str:
    """Return the task's name."""
    return f"vlmt_vgc_{pairing.replace('-', '_')}"


def write(folder: Path, asked: Asked) -> None:
    """Write the folder."""
    write_rows(folder, asked)
    name = task_of(asked.pairing)
    rows = str((folder / QUESTIONS).resolve()).replace("'", "''")
    write_text(folder / f"{name}.yaml", _YAML.format(name=name, rows=rows))
    write_text(folder / "utils.py", _FUNCTIONS.format(photos=str(asked.photos or "PHOTOS")))


def readme(folder: Path, asked: Asked) -> str:
    """Say how to run it."""
    name = task_of(asked.pairing)
    return f"""```sh
VGC_PHOTOS={asked.shell_photos} python -m lmms_eval --model MODEL --model_args ARGUMENTS --tasks {name} \\
  --include_path {shlex.quote(str(folder))} --batch_size 1 --log_samples --output_path logs
```

The answers are in `logs/.../..._samples_{name}.jsonl`. {name}.yaml names the rows by their whole path: change it there
if you move this folder.
"""


_YAML = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: '{rows}'
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_target: category
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: 64
  temperature: 0
  do_sample: false
metric_list:
  - metric: vgc_answered
    aggregation: !function utils.count
    higher_is_better: true
"""

_FUNCTIONS = '''"""Functions of the task beside this file."""

import os

from PIL import Image

PHOTOS = os.environ.get("VGC_PHOTOS", {photos!r})


def doc_to_visual(doc):
    return [Image.open(os.path.join(PHOTOS, doc["image"])).convert("RGB")]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["text"]


def process_results(doc, results):
    return {{"vgc_answered": {{"question_id": doc["question_id"], "prediction": results[0]}}}}


def count(results):
    return len(results)
'''

LMMS_EVAL = Export(
    "a task folder of lmms-eval", write, readme, lambda asked: f"logs/*/*_samples_{task_of(asked.pairing)}.jsonl"
)
