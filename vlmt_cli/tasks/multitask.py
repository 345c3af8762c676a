"""One trunk, six heads (section 3.2, figure 5): the model of all tasks.

Only the head that a batch needs runs.
"""

from typing import Any

from torch import Tensor, nn

from vlmt_cli.tasks.config import ModelConfig, task_of
from vlmt_cli.tasks.groups import head_of
from vlmt_cli.trunks.encoded import Encoded, encode
from vlmt_cli.trunks.pretraining import Masked, PretrainingHeads
from vlmt_cli.trunks.table import make_trunk
from vlmt_cli.trunks.vilbert import initialise


def make_heads(config: ModelConfig) -> nn.ModuleDict:
    """Make the heads that a config names."""
    return nn.ModuleDict({head: head_of(task_of(head)).make_head(config, head) for head in config.heads})


def reads_regions(head: str) -> bool:
    """Say whether a head reads the state of every region, or the pooled states."""
    return head_of(task_of(head)).READS_REGIONS


class MultiTaskModel(nn.Module):
    """A trunk with heads, and pre-training heads where the config asks for them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk: Any = make_trunk(config.trunk)
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
        masked: Masked | None = None,
    ) -> Any:
        """Return a head's output for a batch; the arguments are ``encode``'s.

        Pre-training comes in here, too, with ``masked``: what deals with precision and processes wraps this method
        alone.

        Returns:
            ``vqa`` and ``gqa``: (P, answers). ``retrieval``: (P, 1). ``referring``: (P, V). ``snli_ve``: (P, 3).
            ``nlvr2``: (P / 2, 2), where pairs 2i and 2i + 1 are an example's two images.
        """
        if masked is not None:
            return self.pretrain(tokens_BT, token_mask_BT, features_BVF, boxes_BV5, region_mask_BV, masked)
        inputs = (tokens_BT, token_mask_BT, features_BVF, boxes_BV5, region_mask_BV, task_B)
        encoded = encode(self.trunk, *inputs, pairs=pairs, pooled_only=not reads_regions(head))
        return self.read(head, encoded)

    def pretrain(
        self,
        tokens_BT: Tensor,
        token_mask_BT: Tensor,
        features_BVF: Tensor,
        boxes_BV5: Tensor,
        region_mask_BV: Tensor,
        masked: Masked,
    ) -> dict[str, tuple[Tensor, int]]:
        """Return the sums and counts of the pre-training losses (``PretrainingHeads.sums``) of a masked batch."""
        assert self.pretraining is not None, "the model has no pre-training heads"
        encoded = encode(self.trunk, tokens_BT, token_mask_BT, features_BVF, boxes_BV5, region_mask_BV)
        return self.pretraining.sums(self.trunk, encoded, masked)

    def read(self, head: str, encoded: Encoded) -> Tensor:
        """Return a head's output for what the trunk encoded."""
        module = self.heads[head]
        output: Tensor
        if reads_regions(head):
            output = module(encoded.vision, encoded.vision_rows)
        else:
            output = module(self.trunk.fuse(encoded))
        return output
