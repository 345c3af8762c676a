"""The authors' tiny models with random weights, loaded into ours."""

import json
from pathlib import Path

from safetensors.torch import load_file

from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.authors import from_authors, tidy
from vlmt_cli.trunks.config import StreamConfig, ViLBERTConfig

PARITY = Path(__file__).parents[1] / "data" / "parity"


def trunk_config(values):
    """Their configuration in our words."""
    streams = {}
    for name, prefix in (("text", ""), ("vision", "v_")):
        streams[name] = StreamConfig(
            width=values[f"{prefix}hidden_size"],
            layers=values[f"{prefix}num_hidden_layers"],
            heads=values[f"{prefix}num_attention_heads"],
            feedforward=values[f"{prefix}intermediate_size"],
        )
    return ViLBERTConfig(
        **streams,
        co_width=values["bi_hidden_size"],
        co_heads=values["bi_num_attention_heads"],
        text_placement=values["t_biattention_id"],
        vision_placement=values["v_biattention_id"],
        vocabulary=values["vocab_size"],
        positions=values["max_position_embeddings"],
        region_features=values["v_feature_size"],
        region_classes=values["v_target_size"],
        task_tokens=20 if values["task_specific_tokens"] else 0,
        fusion={"mul": "product", "sum": "sum"}[values["fusion_method"]],
    )


def load(config, theirs):
    """Make a model of ``config`` and give it their tensors, all of them."""
    model = MultiTaskModel(config)
    tensors, missing, _ = from_authors(model.state_dict(), tidy(theirs))
    assert not missing
    model.load_state_dict(tensors)
    return model


def load_tasks():
    """The multi-task model of the parity files."""
    trunk = trunk_config(json.loads((PARITY / "config.json").read_text()))
    config = ModelConfig(trunk=trunk, pretraining=True, entailment_head="linear", verification_loss="binary")
    return load(config, load_file(PARITY / "vl_model.safetensors"))


def load_pretraining():
    """The pre-training model of the parity files."""
    trunk = trunk_config(json.loads((PARITY / "config_pretrain.json").read_text()))
    config = ModelConfig(trunk=trunk, heads=(), pretraining=True, answers={})
    return load(config, load_file(PARITY / "pretrain_model.safetensors"))
