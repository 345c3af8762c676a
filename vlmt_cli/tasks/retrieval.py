"""G2, image retrieval: how well does a caption describe an image? (equation 2)

Trained as a choice of four: the pair itself first, then the image with a random caption, a random image with the
caption, and the image with a hard caption (section 3.2).

Shapes: B batch, O options.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmt_cli.model.config import ViLBERTConfig
from vlmt_cli.model.vilbert import ViLBERT

OPTIONS = 4


def make_head(config: ViLBERTConfig) -> nn.Module:
    """Make W_i, which maps the overall representation to one score."""
    return nn.Linear(config.co_width, 1)


def loss(scores_BO: Tensor) -> Tensor:
    """Cross-entropy over the options, of which the first is right."""
    return F.cross_entropy(scores_BO, torch.zeros(len(scores_BO), dtype=torch.long, device=scores_BO.device))


def score(scores_BO: Tensor) -> Tensor:
    """Return whether the first option has the highest score, (B,)."""
    return (scores_BO.argmax(1) == 0).float()


@torch.inference_mode()
def score_matrix(
    trunk: ViLBERT,
    head: nn.Module,
    texts: Sequence[tuple[Tensor, Tensor, Tensor | None]],
    images: Sequence[tuple[Tensor, Tensor, Tensor]],
    at_once: int = 256,
) -> Tensor:
    """Score every caption against every image, as Recall@k takes (table 2, G2).

    What does not depend on the pair is computed once: a caption's layers before the first co-attention, an image's
    embedding, and both's projections for that layer. Captions of like lengths, and images of like numbers of
    regions, in a batch keep padding small.

    Args:
        trunk, head: a model in evaluation mode, and its retrieval head.
        texts: batches of captions, (tokens_BT, mask_BT, task_B).
        images: batches of images, (features_BVF, boxes_BV5, mask_BV).
        at_once: pairs that run through the joint layers together.

    Returns:
        Scores, (captions, images), in the order given.
    """
    encoded = [trunk.encode_text(tokens, mask, task) for tokens, mask, task in texts]
    columns = []
    for features, boxes, mask in images:
        image = trunk.encode_image(features, boxes, mask)
        rows = []
        for text in encoded:
            device = text.x_ND.device
            grid = torch.cartesian_prod(
                torch.arange(text.rows.batch, device=device), torch.arange(image.rows.batch, device=device)
            )
            scores = [
                head(trunk.fuse(trunk.join(text.repeat(pairs[:, 0]), image.repeat(pairs[:, 1]), pooled_only=True)))
                for pairs in torch.split(grid, at_once)
            ]
            rows.append(torch.cat(scores).view(text.rows.batch, image.rows.batch))
        columns.append(torch.cat(rows))
    return torch.cat(columns, dim=1)
