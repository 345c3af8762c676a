"""The authors' JSON configuration, and ours.

Their code reads more switches than their weights were made with: what changes the computation in a way that ours
has no word for is refused, what nothing reads is left alone (``bi_intermediate_size``, ``pooling_method``, ...).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vlmt_cli.base.errors import UsageError
from vlmt_cli.trunks.config import PRESETS, ViLBERTConfig, parse_config

TASK_TOKENS = 20  # of which the twelve tasks use twelve
FUSIONS = {"mul": "product", "sum": "sum"}
KEYS = {
    "text.width": "hidden_size",
    "text.layers": "num_hidden_layers",
    "text.heads": "num_attention_heads",
    "text.feedforward": "intermediate_size",
    "text.dropout": "hidden_dropout_prob",
    "text.attention_dropout": "attention_probs_dropout_prob",
    "vision.width": "v_hidden_size",
    "vision.layers": "v_num_hidden_layers",
    "vision.heads": "v_num_attention_heads",
    "vision.feedforward": "v_intermediate_size",
    "vision.dropout": "v_hidden_dropout_prob",
    "vision.attention_dropout": "v_attention_probs_dropout_prob",
    "co_width": "bi_hidden_size",
    "co_heads": "bi_num_attention_heads",
    "text_placement": "t_biattention_id",
    "vision_placement": "v_biattention_id",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "segments": "type_vocab_size",
    "region_features": "v_feature_size",
    "region_classes": "v_target_size",
    "init_std": "initializer_range",
}
"""Our keys by theirs."""
ONLY = {
    "hidden_act": "gelu",
    "v_hidden_act": "gelu",
    "model": "bert",
    "dynamic_attention": False,
    "in_batch_pairs": False,
    "visual_target": 0,
}
"""Their switches that have one position here."""


def config_from_authors(values: Mapping[str, Any], where: object = "the authors' config") -> ViLBERTConfig:
    """Translate their configuration.

    Args:
        values: what their JSON holds; ``task_specific_tokens`` decides between 20 task tokens and none.
        where: the file, for errors.

    Raises:
        UsageError: it asks for what is not supported, lacks a size, or makes no possible model.
    """
    for key, only in ONLY.items():
        if values.get(key, only) != only:
            raise UsageError(f"{key} is {values[key]!r}, and only {only!r} is supported", where=where)
    fusion = values.get("fusion_method", "mul")
    if fusion not in FUSIONS:
        raise UsageError(f"fusion_method is {fusion!r}, and only 'mul' and 'sum' are known", where=where)
    if absent := [authors for authors in KEYS.values() if authors not in values]:
        todo = "give the JSON that the weights were made with, whole"
        raise UsageError(f"the config lacks {', '.join(absent)}", where=where, todo=todo)
    ours: dict[str, Any] = {"text": {}, "vision": {}, "fusion": FUSIONS[fusion]}
    for key, authors in KEYS.items():
        stream, _, name = key.rpartition(".")
        (ours[stream] if stream else ours)[name] = values[authors]
    if not values.get("with_coattention", True):
        ours |= {"text_placement": (), "vision_placement": ()}
    ours["task_tokens"] = TASK_TOKENS if values.get("task_specific_tokens", False) else 0
    return parse_config(ours, where)


def config_to_authors(config: ViLBERTConfig) -> dict[str, Any]:
    """Translate our configuration back, into what their code needs to read weights that we wrote."""
    ours = config.model_dump(mode="json")
    streams = {f"{stream}.{name}": value for stream in ("text", "vision") for name, value in ours[stream].items()}
    values = {authors: (streams | ours)[key] for key, authors in KEYS.items()}
    fusion = next(authors for authors, name in FUSIONS.items() if name == config.fusion)
    return values | ONLY | {"fusion_method": fusion, "task_specific_tokens": config.task_tokens > 0}


def config_from_shapes(shapes: Mapping[str, Sequence[int]], where: object) -> ViLBERTConfig:
    """Tell the configuration of weights that came without one, where they are of the paper's size.

    Heads and placement leave no trace in the shapes (their base config with two layers has 1024 heads of width
    one), so that other sizes cannot be told. The dropout rates and the fusion are the paper's.

    Args:
        shapes: of the authors' tensors, by their names.
        where: the file, for errors.

    Raises:
        UsageError: the weights are of another size, or lack what tells it.
    """
    base = PRESETS["base"]
    expected = {
        f"bert.encoder.{kind}.{layers - 1}.{part}.weight": width
        for kind, layers, part, width in (
            ("layer", base.text.layers, "attention.self.query", base.text.width),
            ("v_layer", base.vision.layers, "attention.self.query", base.vision.width),
            ("c_layer", len(base.text_placement), "biattention.query2", base.co_width),
        )
    }
    beyond = {f"bert.encoder.{kind}.{layers}." for kind, layers in (("layer", 12), ("v_layer", 6), ("c_layer", 6))}
    sizes = {
        "vocabulary": ("bert.embeddings.word_embeddings.weight", 0),
        "positions": ("bert.embeddings.position_embeddings.weight", 0),
        "segments": ("bert.embeddings.token_type_embeddings.weight", 0),
        "region_features": ("bert.v_embeddings.image_embeddings.weight", 1),
    }
    is_base = all(shapes.get(name, (0,))[0] == width for name, width in expected.items())
    is_base &= not any(name.startswith(tuple(beyond)) for name in shapes)
    if not is_base or any(len(shapes.get(name, ())) != 2 for name, _ in sizes.values()):
        raise UsageError(
            "the weights are not of the paper's size, and shapes do not tell heads and placement",
            where=where,
            todo="give the config that they were made with: --config FILE.json",
        )
    changes = {key: shapes[name][axis] for key, (name, axis) in sizes.items()}
    classes = shapes.get("cls.imagePredictions.decoder.bias")
    tokens = shapes.get("bert.embeddings.task_embeddings.weight")
    changes |= {"region_classes": classes[0] if classes else base.region_classes}
    changes |= {"task_tokens": tokens[0] if tokens else 0}
    return base.model_copy(update=changes)
