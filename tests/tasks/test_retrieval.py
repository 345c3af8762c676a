"""Every caption against every image, computed once where it can be."""

import torch
from trunks.test_vilbert import SMALL, batch

from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.retrieval.head import loss, score
from vlmt_cli.tasks.retrieval.matrix import score_matrix
from vlmt_cli.trunks.config import make_config


def test_the_matrix_holds_each_pairs_own_score():
    torch.manual_seed(0)
    trunk = make_config(**SMALL, text_placement=(1, 2), vision_placement=(0, 1))
    model = MultiTaskModel(ModelConfig(trunk=trunk, heads=("retrieval",))).eval()
    texts = [batch([(5, 1), (3, 1), (7, 1)], 1), batch([(2, 1)], 2)]
    images = [batch([(1, 4), (1, 8)], 3), batch([(1, 6), (1, 1), (1, 3)], 4)]
    matrix = score_matrix(
        model.trunk,
        model.heads["retrieval"],
        [(tokens, mask, task) for tokens, mask, *_, task in texts],
        [(features, boxes, mask) for _, _, features, boxes, mask, _ in images],
        at_once=2,
    )
    assert matrix.shape == (4, 5)
    i = 0
    for text in texts:
        for row in range(len(text[0])):
            j = 0
            for image in images:
                for column in range(len(image[0])):
                    pair = [text[0][row : row + 1], text[1][row : row + 1]]
                    pair += [part[column : column + 1] for part in image[2:5]] + [text[5][row : row + 1]]
                    torch.testing.assert_close(matrix[i, j], model("retrieval", *pair)[0, 0], atol=5e-5, rtol=1e-4)
                    j += 1
            i += 1


def test_the_first_of_four_options_is_right():
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, 0.0, 0.0]])
    assert score(scores, {}).tolist() == [1.0, 0.0]
    by_hand = -(scores[:, 0] - scores.exp().sum(1).log()).mean()
    torch.testing.assert_close(loss(scores, {}), by_hand)
