"""The forms of predictions, and which of them a file is."""

from pathlib import Path

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.words import listed, printable, quoted
from vlmt_cli.evaluation.answers.box_records import BOXES
from vlmt_cli.evaluation.answers.internvl import INTERNVL
from vlmt_cli.evaluation.answers.llava import LLAVA
from vlmt_cli.evaluation.answers.lmms_eval import LMMS_EVAL
from vlmt_cli.evaluation.answers.official import COCO, GQA, NLVR2, POPE, SNLI_VE, VQA
from vlmt_cli.evaluation.answers.own import OWN
from vlmt_cli.evaluation.answers.predicted import Form, Predicted
from vlmt_cli.evaluation.answers.records import first_record, head_of
from vlmt_cli.evaluation.answers.vlmevalkit import VLMEVALKIT

FORMS: dict[str, Form] = {
    "vlmt": OWN,
    "lmms-eval": LMMS_EVAL,
    "vlmevalkit": VLMEVALKIT,
    "internvl": INTERNVL,
    "vqa": VQA,
    "gqa": GQA,
    "nlvr2": NLVR2,
    "snli_ve": SNLI_VE,
    "coco": COCO,
    "pope": POPE,
    "boxes": BOXES,
    "llava": LLAVA,
}
"""In the order in which they are tried."""


def read_predictions(path: Path, form: str | None = None) -> Predicted:
    """Read a file of predictions.

    Args:
        path: the file, plain or ``.gz``.
        form: a key of ``FORMS``; None to tell by the content.

    Raises:
        UsageError: there is no such form.
        DataError: the file is of no form, or damaged.
    """
    if form is not None and form not in FORMS:
        raise UsageError(f"there is no form {quoted(form)}", todo=f"take {listed(list(FORMS))}")
    predicted = FORMS[form or form_of(path)].read(path)
    if not len(predicted):
        raise DataError("has no predictions", where=path, todo="get the file again")
    return predicted


def form_of(path: Path) -> str:
    """Return the form of a file, by its content.

    Raises:
        DataError: it is of no form; the message says what its first record has.
    """
    record = first_record(path, head_of(path))
    for name, form in FORMS.items():
        if form.is_form(path, record):
            return name
    fields = ", ".join(printable(name, 30) for name in list(record)[:8])
    if {"question_id", "image", "text"} <= record.keys():
        todo = "give the file of answers, and this one to --rows"
        raise DataError("is a file of questions, not of answers", where=path, todo=todo)
    what = f"is not a file of predictions of a known form (its records have {fields or 'no fields'})"
    raise DataError(what, where=path, todo=f"say what it is with --form {', '.join(FORMS)}")
