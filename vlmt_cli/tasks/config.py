"""What a whole model is made of: its trunk, its heads, and the forms that the paper and the authors' code differ in."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, model_validator

from vlmt_cli.base.schema import nearest
from vlmt_cli.datasets.table import TASKS, TWELVE, VOCABULARIES
from vlmt_cli.trunks.config import Size, TrunkConfig
from vlmt_cli.trunks.table import read_trunk

HEADS = tuple(dict.fromkeys(TASKS[name].head for name in TWELVE))
"""The six heads of the paper's model (section 3.2)."""
ANSWERS = {"vqa": 3129, "gqa": 1533}
"""The lengths of the paper's two answer vocabularies."""


class ModelConfig(BaseModel):
    """A whole model.

    Attributes:
        trunk: which, and its sizes.
        heads: which of the heads that tasks name.
        pretraining: whether it has the pre-training heads.
        answers: the length of each answer vocabulary, for heads that have one.
        task_token: table 6, rows 1 to 3: which token stands after CLS, a ``dataset``'s, its ``group``'s, or ``none``.
        entailment_head: ``mlp`` (section 3.2) or the authors' ``linear``.
        verification_loss: ``softmax`` (equation 4) or the authors' ``binary``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    trunk: Annotated[SerializeAsAny[TrunkConfig], BeforeValidator(read_trunk)]
    heads: tuple[str, ...] = HEADS
    pretraining: bool = False
    answers: dict[str, Size] = ANSWERS
    task_token: Literal["dataset", "group", "none"] = "dataset"
    entailment_head: Literal["mlp", "linear"] = "mlp"
    verification_loss: Literal["softmax", "binary"] = "softmax"

    @model_validator(mode="after")
    def _knows_its_heads(self) -> "ModelConfig":
        known = dict.fromkeys(row.head for row in TASKS.values())
        for head in self.heads:
            if head not in known:
                raise ValueError(f"heads: no such head {head!r}; {nearest(head, known)}")
            if head in VOCABULARIES and head not in self.answers:
                raise ValueError(f"answers: the head {head} needs the length of its answer vocabulary")
        return self


def task_of(head: str) -> str:
    """Return the first task that a head answers."""
    return next(name for name, row in TASKS.items() if row.head == head)
