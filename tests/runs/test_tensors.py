import pytest
import torch

from vlmt_cli.runs.tensors import make_model
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.table import TRUNKS, trunk_config


@pytest.mark.parametrize("kind", TRUNKS)
def test_whole_weights_make_the_same_model_and_draw_no_random_number(kind):
    config = ModelConfig(trunk=trunk_config(kind, "tiny"), answers={"vqa": 7, "gqa": 2})
    model = MultiTaskModel(config)
    before = torch.get_rng_state()
    made = make_model(config, model.state_dict())
    assert torch.equal(torch.get_rng_state(), before) and not made.training
    for one, two in zip([*model.parameters(), *model.buffers()], [*made.parameters(), *made.buffers()], strict=True):
        assert torch.equal(one, two) and one.data_ptr() != two.data_ptr()
