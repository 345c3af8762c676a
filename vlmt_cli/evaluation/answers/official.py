"""Files as the benchmarks' own servers and scripts take them.

VQA v2     [{"question_id": 262148000, "answer": "yes"}, ...]
GQA        [{"questionId": "05451384", "prediction": "yes"}, ...]
NLVR2      test1-0-0-0,True                  a line a pair; or {"identifier": "test1-0-0-0", "prediction": "True"}
SNLI-VE    {"pairID": "341.jpg#4r1c", "label": "neutral"}
COCO       [{"image_id": 391895, "caption": "a man on a motorcycle"}, ...]
POPE       {"question": "Is there a snowboard in the image?", "answer": "Yes, there is."}
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from vlmt_cli.evaluation.answers.predicted import Form, Predicted, gather
from vlmt_cli.evaluation.answers.records import Record, has, has_any, read_records

_LABELS = ("prediction", "predicted_label", "pred_label", "label", "answer")


def _form(name: str, title: str, is_form: Callable[[Path, Record], bool], fields: dict[str, Sequence[str]]) -> Form:
    def read(path: Path) -> Predicted:
        return gather(path, name, read_records(path), fields)

    return Form(title, is_form, read)


VQA = _form(
    "vqa", "VQA's results", lambda path, record: set(record) == {"question_id", "answer"},
    {"answers": ("answer",), "ids": ("question_id",)},
)  # fmt: skip
GQA = _form(
    "gqa", "GQA's predictions", lambda path, record: has(record, "questionId", "prediction"),
    {"answers": ("prediction",), "ids": ("questionId",)},
)  # fmt: skip
NLVR2 = _form(
    "nlvr2", "NLVR2's predictions",
    lambda path, record: (
        (has(record, "identifier") and has_any(record, _LABELS))
        or (set(record) == {"0", "1"} and str(record["1"]).strip().lower() in ("true", "false"))
    ),
    {"answers": (*_LABELS, "1"), "ids": ("identifier", "0")},
)  # fmt: skip
SNLI_VE = _form(
    "snli_ve", "SNLI-VE's labels", lambda path, record: has(record, "pairID") and has_any(record, _LABELS),
    {"answers": _LABELS, "ids": ("pairID",)},
)  # fmt: skip
COCO = _form(
    "coco", "COCO's results of captions", lambda path, record: has(record, "image_id", "caption"),
    {"answers": ("caption",), "images": ("image_id",)},
)  # fmt: skip
POPE = _form(
    "pope", "POPE's answers", lambda path, record: set(record) - {"image"} == {"question", "answer"},
    {"answers": ("answer",), "texts": ("question",), "images": ("image",)},
)  # fmt: skip
