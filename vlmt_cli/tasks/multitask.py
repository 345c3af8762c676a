"""One trunk, six heads (section 3.2, figure 5): the model of all tasks.

Only the head that a batch needs runs.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator
from torch import Tensor, nn

from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.pretraining import PretrainingHeads, PretrainingLabels
from vlmt_cli.model.vilbert import Encoded, ViLBERT, initialise
from vlmt_cli.tasks import referring, retrieval, verification, vqa

Head = Literal["vqa", "gqa", "retrieval", "referring", "nlvr2", "snli_ve"]
HEADS: tuple[Head, ...] = ("vqa", "gqa", "retrieval", "referring", "nlvr2", "snli_ve")
READS_REGIONS = ("referring",)


class ModelConfig(BaseModel):
    """A whole model: its trunk, which heads it has, and the forms that the paper and the authors' code differ in.

    Attributes:
        trunk: sizes.
        heads: which of ``HEADS``.
        pretraining: whether it has the pre-training heads.
        answers: the length of each answer vocabulary, for heads ``vqa`` and ``gqa``.
        task_token: table 6, rows 1 to 3: which token stands after CLS, a ``dataset``'s, its ``group``'s, or ``none``.
        entailment_head: ``mlp`` (section 3.2) or the authors' ``linear``.
        verification_loss: ``softmax`` (equation 4) or the authors' ``binary``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trunk: ViLBERTConfig
    heads: tuple[Head, ...] = HEADS
    pretraining: bool = False
    answers: dict[str, PositiveInt] = {"vqa": 3129, "gqa": 1533}
    task_token: Literal["dataset", "group", "none"] = "dataset"
    entailment_head: Literal["mlp", "linear"] = "mlp"
    verification_loss: Literal["softmax", "binary"] = "softmax"

    @model_validator(mode="after")
    def _knows_its_vocabularies(self) -> "ModelConfig":
        for head in ("vqa", "gqa"):
            if head in self.heads and head not in self.answers:
                raise ValueError(f"answers: the head {head} needs the length of its answer vocabulary")
        return self


def make_heads(config: ModelConfig) -> nn.ModuleDict:
    """Make the heads that a config names."""
    trunk = config.trunk
    makers = {
        "vqa": lambda: vqa.make_head(trunk, config.answers["vqa"]),
        "gqa": lambda: vqa.make_head(trunk, config.answers["gqa"]),
        "retrieval": lambda: retrieval.make_head(trunk),
        "referring": lambda: referring.make_head(trunk),
        "nlvr2": lambda: verification.make_pair_head(trunk),
        "snli_ve": lambda: verification.make_entailment_head(trunk, config.entailment_head),
    }
    return nn.ModuleDict({head: makers[head]() for head in config.heads})


class MultiTaskModel(nn.Module):
    """A trunk with heads, and pre-training heads where the config asks for them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ViLBERT(config.trunk)
        self.heads = make_heads(config)
        self.heads.apply(lambda module: initialise(module, config.trunk.init_std))
        self.pretraining = PretrainingHeads(config.trunk) if config.pretraining else None

    def forward(
        self,
        head: str,
        tokens_BT: Tensor,
        token_mask_BT: Tensor,
        features_BVF: Tensor,
        boxes_BV5: Tensor,
        region_mask_BV: Tensor,
        task_B: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return a head's output for a batch; the arguments are ``ViLBERT.forward``'s.

        Pre-training has another entrance, ``pretrain``.

        Returns:
            ``vqa`` and ``gqa``: (P, answers). ``retrieval``: (P, 1). ``referring``: (P, V). ``snli_ve``: (P, 3).
            ``nlvr2``: (P / 2, 2), where pairs 2i and 2i + 1 are an example's two images.
        """
        inputs = (tokens_BT, token_mask_BT, features_BVF, boxes_BV5, region_mask_BV, task_B)
        encoded = self.trunk(*inputs, pairs=pairs, pooled_only=head not in READS_REGIONS)
        return self.read(head, encoded)

    def pretrain(
        self,
        tokens_BT: Tensor,
        token_mask_BT: Tensor,
        features_BVF: Tensor,
        boxes_BV5: Tensor,
        region_mask_BV: Tensor,
        labels: PretrainingLabels,
        aligned_only: bool = True,
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the sums and counts of the pre-training losses (``PretrainingHeads.sums``) of a masked batch."""
        assert self.pretraining is not None, "the model has no pre-training heads"
        encoded = self.trunk(tokens_BT, token_mask_BT, features_BVF, boxes_BV5, region_mask_BV)
        return self.pretraining.sums(self.trunk, encoded, labels, aligned_only)

    def read(self, head: str, encoded: Encoded) -> Tensor:
        """Return a head's output for what the trunk encoded."""
        module = self.heads[head]
        output: Tensor
        if head in READS_REGIONS:
            output = module(encoded.vision, encoded.vision_rows)
        elif head == "nlvr2":
            output = module(verification.pair_up(self.trunk.fuse(encoded)))
        else:
            output = module(self.trunk.fuse(encoded))
        return output
