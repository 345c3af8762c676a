"""ViLBERT written the textbook way: the truth our model is tested against and the baseline it is timed against.

Nothing here is fast on purpose. Every sequence is padded, every attention writes out its scores, every forward
computes every head. The two streams are those of 12-in-1 section 3.1, the task heads those of section 3.2; where the
paper is silent (pooling, widths, dropout, order of layers) it follows the published checkpoints, whose parameter names
it bears: ``load_state_dict`` takes such a file as it is. In those names 1 is vision and 2 is text.
Shapes: B examples, L tokens, T = L + 1 with a task token and T = L without, R regions, row 0 being the whole image.
"""

import math
import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Config = dict[str, Any]
NUM_TASKS = 20
DEFAULTS: Config = {
    "fusion_method": "mul",
    "task_specific_tokens": False,
    "num_vqa_answers": 3129,
    "num_gqa_answers": 1533,
}


def tree(**children: nn.Module) -> Any:
    return nn.ModuleDict(children)


def norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-12)


def dense(width_in: int, width: int) -> Any:
    return tree(dense=nn.Linear(width_in, width))


def dense_norm(width_in: int, width: int) -> Any:
    return tree(dense=nn.Linear(width_in, width), LayerNorm=norm(width))


def mlp(width: int, inner: int, classes: int) -> Any:
    return tree(logit_fc=nn.Sequential(nn.Linear(width, inner), nn.GELU(), norm(inner), nn.Linear(inner, classes)))


def self_block(width: int, inner: int) -> Any:
    """A transformer block of one stream: TRM of section 3.1."""
    linears = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
    attention = tree(self=tree(**linears), output=dense_norm(width, width))
    return tree(attention=attention, intermediate=dense(width, inner), output=dense_norm(inner, width))


def co_block(vision: int, v_inner: int, text: int, t_inner: int, width: int) -> Any:
    """A co-attentional block: Co-TRM of section 3.1. q_dense1 and q_dense2 are in the files and used nowhere."""
    linears = {f"{name}1": nn.Linear(vision, width) for name in ("query", "key", "value")}
    linears |= {f"{name}2": nn.Linear(text, width) for name in ("query", "key", "value")}
    outputs = {f"{name}1": nn.Linear(width, vision) for name in ("dense", "q_dense")}
    outputs |= {f"{name}2": nn.Linear(width, text) for name in ("dense", "q_dense")}
    return tree(
        biattention=tree(**linears),
        biOutput=tree(**outputs, LayerNorm1=norm(vision), LayerNorm2=norm(text)),
        v_intermediate=dense(vision, v_inner),
        v_output=dense_norm(v_inner, vision),
        t_intermediate=dense(text, t_inner),
        t_output=dense_norm(t_inner, text),
    )


class TextbookViLBERT(nn.Module):
    """ViLBERT with its pre-training heads and, unless ``task_heads`` is False, the heads of the twelve tasks.

    ``config`` has the keys of the published JSON files; ``fusion_method`` is "mul" (the default) or "sum", and
    ``num_vqa_answers`` and ``num_gqa_answers`` (defaults 3129, 1533) may be added. Raises ValueError for the two
    variants that are not written here, dynamic attention and no co-attention, and for another fusion.
    """

    def __init__(self, config: Config, task_heads: bool = True) -> None:
        super().__init__()
        self.config = c = DEFAULTS | config
        if c.get("dynamic_attention", False) or not c.get("with_coattention", True):
            raise ValueError("dynamic_attention must be false and with_coattention true")
        if c["fusion_method"] not in ("mul", "sum"):
            raise ValueError(f"fusion_method must be mul or sum, not {c['fusion_method']}")
        text, t_inner, vision, v_inner = (c[p + k] for p in ("", "v_") for k in ("hidden_size", "intermediate_size"))
        pooled, vocabulary = c["bi_hidden_size"], c["vocab_size"]
        self.places = list(zip(c["v_biattention_id"], c["t_biattention_id"], strict=True))
        self.has_task_heads = task_heads

        embeddings: dict[str, nn.Module] = {
            "word_embeddings": nn.Embedding(vocabulary, text, padding_idx=0),
            "position_embeddings": nn.Embedding(c["max_position_embeddings"], text),
            "token_type_embeddings": nn.Embedding(c["type_vocab_size"], text),
            "LayerNorm": norm(text),
        }
        if c["task_specific_tokens"]:
            embeddings["task_embeddings"] = nn.Embedding(NUM_TASKS, text)
        self.bert = tree(
            embeddings=tree(**embeddings),
            v_embeddings=tree(
                image_embeddings=nn.Linear(c["v_feature_size"], vision),
                image_location_embeddings=nn.Linear(5, vision),
                LayerNorm=norm(vision),
            ),
            encoder=tree(
                layer=nn.ModuleList(self_block(text, t_inner) for _ in range(c["num_hidden_layers"])),
                v_layer=nn.ModuleList(self_block(vision, v_inner) for _ in range(c["v_num_hidden_layers"])),
                c_layer=nn.ModuleList(co_block(vision, v_inner, text, t_inner, pooled) for _ in self.places),
            ),
            t_pooler=dense(text, pooled),
            v_pooler=dense(vision, pooled),
        )
        self.cls = tree(
            predictions=tree(transform=dense_norm(text, text), decoder=nn.Linear(text, vocabulary, bias=False)),
            bi_seq_relationship=nn.Linear(pooled, 2),
            imagePredictions=tree(transform=dense_norm(vision, vision), decoder=nn.Linear(vision, c["v_target_size"])),
        )
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight
        self.cls.predictions.bias = nn.Parameter(torch.zeros(vocabulary))
        if task_heads:
            self.vil_prediction = mlp(pooled, 2 * pooled, c["num_vqa_answers"])
            self.vil_prediction_gqa = mlp(pooled, 2 * pooled, c["num_gqa_answers"])
            self.vil_binary_prediction = mlp(2 * pooled, 2 * pooled, 2)
            self.vil_logit = nn.Linear(pooled, 1)
            self.vil_tri_prediction = nn.Linear(pooled, 3)
            self.vision_logit = nn.Linear(vision, 1)
            self.linguisic_logit = nn.Linear(text, 1)  # sic; in the files, read by no task
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=c["initializer_range"])
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def drop(self, x: Tensor, kind: str = "") -> Tensor:
        return F.dropout(x, self.config[f"{kind}_dropout_prob"] if kind else 0.1, self.training)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int, stream: str) -> Tensor:
        """Multi-head attention of (B, Q, D) to (B, K, D) under an additive mask (B, 1, 1, K): (B, Q, D)."""
        q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3]) + mask
        context = self.drop(scores.softmax(dim=-1), stream + "attention_probs") @ v
        return context.transpose(1, 2).flatten(2)

    def feed_forward(self, inner: Any, output: Any, x: Tensor, stream: str) -> Any:
        wide = F.gelu(inner.dense(x))
        return output.LayerNorm(x + self.drop(output.dense(wide), stream + "hidden"))

    def self_layer(self, m: Any, x: Tensor, mask: Tensor, stream: str) -> Any:
        qkv, output, heads = m.attention.self, m.attention.output, self.config[stream + "num_attention_heads"]
        context = self.attend(qkv.query(x), qkv.key(x), qkv.value(x), mask, heads, stream)
        x = output.LayerNorm(x + self.drop(output.dense(context), stream + "hidden"))
        return self.feed_forward(m.intermediate, m.output, x, stream)

    def co_layer(self, m: Any, v: Tensor, v_mask: Tensor, t: Tensor, t_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Each stream asks the other, both from the states before this layer; then each feeds forward alone."""
        qkv, output, heads = m.biattention, m.biOutput, self.config["bi_num_attention_heads"]
        for_v = self.attend(qkv.query1(v), qkv.key2(t), qkv.value2(t), t_mask, heads, "")
        for_t = self.attend(qkv.query2(t), qkv.key1(v), qkv.value1(v), v_mask, heads, "v_")
        v = output.LayerNorm1(v + self.drop(output.dense1(for_v), "v_hidden"))
        t = output.LayerNorm2(t + self.drop(output.dense2(for_t), "hidden"))
        v = self.feed_forward(m.v_intermediate, m.v_output, v, "v_")
        return v, self.feed_forward(m.t_intermediate, m.t_output, t, "")

    def encode(self, v: Tensor, v_mask: Tensor, t: Tensor, t_mask: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Co-attention k runs once v_biattention_id[k] vision and t_biattention_id[k] text layers have run."""
        m = self.bert.encoder
        after: dict[str, Tensor] = {}
        v_done = t_done = 0
        for k, (v_end, t_end) in enumerate([*self.places, (len(m.v_layer), len(m.layer))]):
            for layer in m.layer[t_done:t_end]:
                t = self.self_layer(layer, t, t_mask, "")
            for layer in m.v_layer[v_done:v_end]:
                v = self.self_layer(layer, v, v_mask, "v_")
            if k < len(self.places):
                v, t = self.co_layer(m.c_layer[k], v, v_mask, t, t_mask)
                after |= {f"after_connection_{k}_v": v, f"after_connection_{k}_t": t}
            v_done, t_done = v_end, t_end
        return v, t, after

    def embed_text(self, ids: Tensor, segments: Tensor, tasks: Tensor | None) -> Tensor:
        """The task token comes after CLS; it has no position and no segment, and moves no word's position."""
        m = self.bert.embeddings
        x = m.word_embeddings(ids) + m.token_type_embeddings(segments)
        x = x + m.position_embeddings(torch.arange(ids.shape[1], device=ids.device))
        if self.config["task_specific_tokens"]:
            x = torch.cat([x[:, :1], m.task_embeddings(tasks), x[:, 1:]], dim=1)
        return self.drop(m.LayerNorm(x), "hidden")

    def embed_image(self, features: Tensor, spatials: Tensor) -> Tensor:
        m = self.bert.v_embeddings
        x = m.LayerNorm(m.image_embeddings(features) + m.image_location_embeddings(spatials))
        return self.drop(x, "hidden")  # the text stream's rate, as published

    def forward(
        self,
        input_ids: Tensor,
        features: Tensor,
        spatials: Tensor,
        segment_ids: Tensor,
        input_mask: Tensor,
        image_mask: Tensor,
        task_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Every state and head of (B, L) ids, segments and mask, (B, R, F) features, (B, R, 5) boxes, (B, 1) tasks.

        Masks are 1 for what is there. A pair of ``vil_binary_prediction`` is two examples in a row, so an odd batch
        has no such output. The pre-training heads appear under both of their names.
        """
        if self.config["task_specific_tokens"]:
            input_mask = F.pad(input_mask, (1, 0), value=1)
        t_mask = (1 - input_mask[:, None, None, :].to(features.dtype)) * -10000.0
        v_mask = (1 - image_mask[:, None, None, :].to(features.dtype)) * -10000.0
        out = {
            "embedding_output_t": self.embed_text(input_ids, segment_ids, task_ids),
            "embedding_output_v": self.embed_image(features, spatials),
        }
        v, t, after = self.encode(out["embedding_output_v"], v_mask, out["embedding_output_t"], t_mask)
        pooled_t, pooled_v = (F.relu(m.dense(x[:, 0])) for m, x in ((self.bert.t_pooler, t), (self.bert.v_pooler, v)))
        out |= after | {"sequence_output_t": t, "sequence_output_v": v}
        out |= {"pooled_output_t": pooled_t, "pooled_output_v": pooled_v}
        fused = pooled_t * pooled_v if self.config["fusion_method"] == "mul" else pooled_t + pooled_v

        words, regions = self.cls.predictions, self.cls.imagePredictions
        hidden_t = words.transform.LayerNorm(F.gelu(words.transform.dense(t)))
        hidden_v = regions.transform.LayerNorm(F.gelu(regions.transform.dense(v)))
        out["linguisic_prediction"] = out["prediction_scores_t"] = words.decoder(hidden_t) + words.bias
        out["vision_prediction"] = out["prediction_scores_v"] = regions.decoder(hidden_v)
        out["seq_relationship_score"] = self.cls.bi_seq_relationship(self.drop(fused))
        if self.has_task_heads:
            fused = self.drop(fused)
            out["vil_prediction"] = self.vil_prediction.logit_fc(fused)
            out["vil_prediction_gqa"] = self.vil_prediction_gqa.logit_fc(fused)
            if len(fused) % 2 == 0:
                out["vil_binary_prediction"] = self.vil_binary_prediction.logit_fc(fused.view(len(fused) // 2, -1))
            out["vil_logit"] = self.vil_logit(fused)
            out["vil_tri_prediction"] = self.vil_tri_prediction(fused)
            out["vision_logit"] = self.vision_logit(self.drop(v)) + v_mask[:, 0, 0, :, None]
            out["linguisic_logit"] = self.linguisic_logit(self.drop(t))
        return out


def task_loss(name: str, out: dict[str, Tensor], target: Tensor) -> Tensor:
    """One task group's loss in nats: a mean over the batch, and over answers or regions a sum.

    Targets: soft scores (B, answers); region overlaps (B, R, 1), padding rows 0; one-hot (B/2, 2) and (B, 3); and for
    retrieval the index (B/4,) of the right one among four examples in a row. Raises ValueError for another name.
    """
    bce = F.binary_cross_entropy_with_logits
    match name:
        case "loss_VL_classifier":
            return bce(out["vil_prediction"], target) * target.shape[1]
        case "loss_VL_classifier_GQA":
            return bce(out["vil_prediction_gqa"], target) * target.shape[1]
        case "loss_V_logit":
            return bce(out["vision_logit"], target) * target.shape[1]
        case "loss_VL_binary":
            return bce(out["vil_binary_prediction"], target)
        case "loss_VL_tri":
            return bce(out["vil_tri_prediction"], target)
        case "loss_VL_logit":
            return F.cross_entropy(out["vil_logit"].view(-1, 4), target)
    raise ValueError(f"no task loss is called {name}")


def pretraining_losses(out: dict[str, Tensor], batch: dict[str, Tensor], objective: int) -> dict[str, Tensor]:
    """Masked words, masked regions and alignment (section 3.1), for a model without task token.

    ``batch``: masked_lm_labels (B, L), -1 where nothing is asked; image_label (B, R-1), 1 where asked, else -1;
    image_target (B, R-1, classes) distributions; next_sentence_label (B,), 0 aligned, 1 not. Objective 0 asks all,
    objective 1 asks no word and no region of a misaligned pair. A loss with nothing asked is NaN.
    """
    word_labels, region_labels = batch["masked_lm_labels"], batch["image_label"]
    if objective == 1:
        misaligned = batch["next_sentence_label"][:, None] == 1
        word_labels = word_labels.masked_fill(misaligned, -1)
        region_labels = region_labels.masked_fill(misaligned, -1)
    asked = region_labels == 1
    log_probs = F.log_softmax(out["prediction_scores_v"][:, 1:], dim=-1)
    divergence = F.kl_div(log_probs, batch["image_target"], reduction="none").sum(dim=-1)
    word_scores = out["prediction_scores_t"].flatten(0, 1)
    return {
        "masked_lm_loss": F.cross_entropy(word_scores, word_labels.flatten(), ignore_index=-1),
        "masked_img_loss": (divergence * asked).sum() / asked.sum(),
        "next_sentence_loss": F.cross_entropy(out["seq_relationship_score"], batch["next_sentence_label"]),
    }


def random_config(seed: int) -> Config:
    """Another tiny model. Four seeds in a row have both fusions, each with and without a task token."""
    rng = random.Random(seed)
    connections = rng.randint(1, 3)
    layers, v_layers = (rng.randint(connections, connections + 2) for _ in range(2))
    heads, v_heads, bi_heads = (rng.randint(1, 4) for _ in range(3))
    return {
        "num_hidden_layers": layers,
        "v_num_hidden_layers": v_layers,
        "t_biattention_id": sorted(rng.sample(range(layers), connections)),
        "v_biattention_id": sorted(rng.sample(range(v_layers), connections)),
        "num_attention_heads": heads,
        "v_num_attention_heads": v_heads,
        "bi_num_attention_heads": bi_heads,
        "hidden_size": heads * rng.choice([4, 6, 8]),
        "v_hidden_size": v_heads * rng.choice([4, 6, 8]),
        "bi_hidden_size": bi_heads * rng.choice([4, 6, 8]),
        "intermediate_size": rng.randint(16, 48),
        "v_intermediate_size": rng.randint(16, 48),
        "v_feature_size": rng.randint(8, 24),
        "v_target_size": rng.randint(5, 20),
        "vocab_size": rng.randint(40, 160),
        "num_vqa_answers": rng.randint(5, 40),
        "num_gqa_answers": rng.randint(5, 40),
        "type_vocab_size": 2,
        "max_position_embeddings": 24,
        "hidden_act": "gelu",
        "v_hidden_act": "gelu",
        "initializer_range": 0.02,
        "fusion_method": ("mul", "sum")[seed % 2],
        "task_specific_tokens": seed // 2 % 2 == 0,
        **{f"{p}{k}_dropout_prob": 0.1 for p in ("", "v_") for k in ("hidden", "attention_probs")},
    }


def randomise(model: nn.Module, seed: int) -> None:
    """Fill every parameter with large random values, biases and norms too, so that wrong wiring shows."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.1, generator=rng)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.data += 1
        elif isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(std=module.weight.shape[1] ** -0.5, generator=rng)


def random_inputs(config: Config, seed: int, examples: int = 8) -> dict[str, Tensor]:
    """Arguments of ``forward``: ragged token and region counts, padded with zeros to the longest a batch may have."""
    rng = torch.Generator().manual_seed(seed)
    tokens, regions = (int(torch.randint(low, low + 6, (), generator=rng)) for low in (7, 5))
    text_lengths = torch.randint(3, tokens + 1, (examples, 1), generator=rng)
    image_lengths = torch.randint(2, regions + 1, (examples, 1), generator=rng)
    input_mask = (torch.arange(tokens) < text_lengths).long()
    image_mask = (torch.arange(regions) < image_lengths).long()
    ids = torch.randint(3, config["vocab_size"], (examples, tokens), generator=rng)
    ids[:, 0] = 1
    ids.scatter_(1, text_lengths - 1, 2)
    features = torch.randn(examples, regions, config["v_feature_size"], generator=rng) * image_mask[:, :, None]
    features[:, 0] = features[:, 1:].sum(dim=1) / (image_lengths - 1)
    corners = torch.rand(examples, regions, 2, 2, generator=rng).sort(dim=2).values
    area = (corners[:, :, 1] - corners[:, :, 0]).prod(dim=-1, keepdim=True)
    spatials = torch.cat([corners.flatten(2), area], dim=-1) * image_mask[:, :, None]
    spatials[:, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0])
    return {
        "input_ids": ids * input_mask,
        "features": features,
        "spatials": spatials,
        "segment_ids": torch.randint(config["type_vocab_size"], ids.shape, generator=rng) * input_mask,
        "input_mask": input_mask,
        "image_mask": image_mask,
        "task_ids": torch.randint(NUM_TASKS, (examples, 1), generator=rng),
    }
