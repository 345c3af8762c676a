"""LLaVA's file of questions, which ``llava.eval.model_vqa_loader`` and ``llava.eval.model_vqa`` run.

{"question_id": "vqa:262148000", "image": "COCO_train2014_000000262148.jpg", "text": "...", "category": "question"}
"""

import shlex
from pathlib import Path

from vlmt_cli.analysis.consistency.exports.asked import Asked, Export
from vlmt_cli.analysis.consistency.exports.plain import ANSWERS, QUESTIONS, write


def readme(folder: Path, asked: Asked) -> str:
    """Say how to run it."""
    return f"""```sh
python -m llava.eval.model_vqa_loader --model-path MODEL --question-file {shlex.quote(str(folder / QUESTIONS))} \\
  --image-folder {asked.shell_photos} --answers-file {ANSWERS} --temperature 0
```
"""


LLAVA = Export("LLaVA's questions", write, readme, lambda asked: ANSWERS)
