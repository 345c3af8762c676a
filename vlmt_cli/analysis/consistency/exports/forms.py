"""The forms of export, and the folder that one makes."""

import shlex
from pathlib import Path

from vlmt_cli.analysis.consistency.exports.asked import EXPRESSION, QUESTION, Asked, Export
from vlmt_cli.analysis.consistency.exports.llava import LLAVA
from vlmt_cli.analysis.consistency.exports.lmms_eval import LMMS_EVAL
from vlmt_cli.analysis.consistency.exports.plain import PLAIN
from vlmt_cli.analysis.consistency.exports.vlmevalkit import VLMEVALKIT
from vlmt_cli.analysis.consistency.pairings import PAIRINGS
from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.files import write_text
from vlmt_cli.base.words import listed, quoted

EXPORTS: dict[str, Export] = {"llava": LLAVA, "lmms-eval": LMMS_EVAL, "vlmevalkit": VLMEVALKIT, "jsonl": PLAIN}
README = "README.md"


def export_of(form: str) -> Export:
    """Return a form by its name. Raises a UsageError where there is none."""
    if form not in EXPORTS:
        raise UsageError(f"there is no form {quoted(form)}", where="--export", todo=f"take {listed(list(EXPORTS))}")
    return EXPORTS[form]


def write_export(form: str, folder: Path, asked: Asked) -> None:
    """Write the rows in a form, and how to run them.

    Raises:
        UsageError: there is no such form.
        VlmtError: a file cannot be written.
    """
    export = export_of(form)
    export.write(folder, asked)
    write_text(folder / README, _readme(form, folder.resolve(), asked))


def read_back(form: str, asked: Asked) -> str:
    """Return the command that reads the answers back, from wherever they are."""
    words = ["vlmt", "vgc", "--pairing", asked.pairing, "--data", str(asked.data.resolve())]
    words += ["--images", str(asked.photos)] if asked.are_given else []
    return f"{shlex.join(words)} --predictions {export_of(form).answers(asked)}"


def _readme(form: str, folder: Path, asked: Asked) -> str:
    export = EXPORTS[form]
    pairing = PAIRINGS[asked.pairing]
    counts = asked.table["category"].value_counts().to_pylist()
    numbers = {each["values"]: each["counts"] for each in counts}
    where = f"The photos are in {asked.photos}." if asked.photos else (
        f"The photos are from {pairing.photos}; PHOTOS below stands for a folder that has them under these names. With"
        " --images FOLDER the export looks for them, and names them where they are.")  # fmt: skip
    return f"""# MT-VGC: {pairing.title}

{numbers[QUESTION]:,} questions and {numbers[EXPRESSION]:,} expressions, as {export.title}. Each row has one prompt;
those of the category `{EXPRESSION}` ask for a box. {where}

{pairing.seen}

## Run

{export.readme(folder, asked)}
You may reword the prompts, and cut the file in two. Keep `question_id`, and the question or expression itself in the
prompt: answers are joined by the one and checked by the other.

## Read back

```sh
{read_back(form, asked)}
```

Several models stand side by side with `--predictions NAME=FILE`, once for each; files of one name are one model's.
Boxes are read by `--boxes`, such as `0-1000` or `pixels:xywh`; by default the form or the boxes themselves tell it.
"""
