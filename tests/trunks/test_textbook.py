"""The textbook ViLBERT against recorded outputs, losses and gradients of the published implementation."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.textbook import TextbookViLBERT, pretraining_losses, random_config, random_inputs, randomise, task_loss

PARITY = Path(__file__).parents[1] / "data" / "parity"
TARGETS = {
    "loss_VL_classifier": "target_vqa",
    "loss_VL_classifier_GQA": "target_gqa",
    "loss_V_logit": "target_region",
    "loss_VL_binary": "target_binary",
    "loss_VL_tri": "target_tri",
}
# The published base model: the twelve-in-one configuration.
BASE: dict[str, Any] = {
    **{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    **{"v_hidden_size": 1024, "v_num_hidden_layers": 6, "v_num_attention_heads": 8, "v_intermediate_size": 1024},
    **{"bi_hidden_size": 1024, "bi_num_attention_heads": 8, "v_feature_size": 2048, "v_target_size": 1601},
    **{"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02},
    **{"v_biattention_id": [0, 1, 2, 3, 4, 5], "t_biattention_id": [6, 7, 8, 9, 10, 11]},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parity(name: str) -> dict[str, Any]:
    path = PARITY / name
    return json.loads(path.read_text()) if path.suffix == ".json" else load_file(path)


def published(kind: str) -> TextbookViLBERT:
    config = parity("config.json" if kind == "vl" else "config_pretrain.json")
    model = TextbookViLBERT(config, task_heads=kind == "vl").eval()
    model.load_state_dict(parity(f"{kind}_model.safetensors"), strict=True)
    return model


def run_tasks(model: TextbookViLBERT) -> dict[str, Tensor]:
    return model(**{k: v for k, v in parity("vl_inputs.safetensors").items() if not k.startswith("target_")})


def run_pretraining(model: TextbookViLBERT, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    names = "input_ids image_feat image_loc token_type_ids attention_mask image_attention_mask".split()
    return model(*(batch[name] for name in names))


def task_losses(out: dict[str, Tensor]) -> dict[str, Tensor]:
    inputs = parity("vl_inputs.safetensors")
    targets = {name: inputs[key] for name, key in TARGETS.items()}
    targets["loss_VL_logit"] = torch.zeros(len(out["vil_logit"]) // 4, dtype=torch.long)
    return {name: task_loss(name, out, target) for name, target in targets.items()}


def assert_gradient_norms(model: nn.Module, loss: Tensor, expected: dict[str, float | None]) -> None:
    model.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    norms = {name: p.grad if p.grad is None else p.grad.double().norm() for name, p in model.named_parameters()}
    assert norms.keys() == expected.keys()
    for name, norm in norms.items():
        # What is zero but for rounding (a key's bias, say) has a norm of rounding size.
        assert (norm is None) == (expected[name] is None), name
        assert norm is None or norm.item() == pytest.approx(expected[name], rel=1e-4, abs=5e-5), name


def test_every_state_and_head_of_the_task_model_agrees() -> None:
    with torch.no_grad():
        out = run_tasks(published("vl"))
    there = parity("vl_inputs.safetensors")["image_mask"].bool()
    expected = parity("vl_outputs.safetensors")
    states = {name for name in expected if not name.startswith(("loss_", "odd_batch3_"))}
    assert states <= out.keys()
    for name in states - {"vision_logit"}:
        torch.testing.assert_close(out[name], expected[name], atol=5e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    logits, logits_expected = out["vision_logit"], expected["vision_logit"]
    torch.testing.assert_close(logits[there], logits_expected[there], atol=5e-5, rtol=1e-4)
    torch.testing.assert_close(logits[~there], logits_expected[~there], atol=2e-3, rtol=0)  # near -10000: two ulps


def test_every_task_loss_and_its_gradient_agree() -> None:
    model = published("vl")
    expected, norms = parity("vl_outputs.safetensors"), parity("vl_grad_norms.json")
    losses = task_losses(run_tasks(model))
    assert losses.keys() == norms.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss[None], expected[name], atol=0, rtol=1e-5)
        assert_gradient_norms(model, loss, norms[name])


def test_pretraining_heads_losses_and_gradients_agree() -> None:
    model = published("pretrain")
    batch, expected = parity("pretrain_inputs.safetensors"), parity("pretrain_outputs.safetensors")
    out = run_pretraining(model, batch)
    for name in ("prediction_scores_t", "prediction_scores_v", "seq_relationship_score"):
        torch.testing.assert_close(out[name], expected[name], atol=5e-5, rtol=1e-4)
    for objective in (0, 1):
        for name, loss in pretraining_losses(out, batch, objective).items():
            torch.testing.assert_close(loss[None], expected[f"{name}_objective{objective}"], atol=0, rtol=1e-5)
    total = torch.stack(list(pretraining_losses(out, batch, 1).values())).sum()
    assert_gradient_norms(model, total, parity("pretrain_grad_norms.json"))


@pytest.mark.parametrize(
    ("task_token", "task_heads", "parameters", "keys"),
    [(True, True, 268_028_859, 560), (False, True, 268_013_499, 559), (False, False, 250_044_029, 533)],
)
def test_base_model_has_the_published_size(task_token: bool, task_heads: bool, parameters: int, keys: int) -> None:
    with torch.device("meta"):
        model = TextbookViLBERT(BASE | {"task_specific_tokens": task_token}, task_heads)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("layers", "v_layers", "t_places", "v_places", "order"),
    [
        (4, 2, [2, 3], [0, 1], "t0 t1 c0 t2 v0 c1 t3 v1"),
        (3, 4, [0, 2], [1, 2], "v0 c0 t0 t1 v1 c1 t2 v2 v3"),
        (2, 1, [0], [0], "c0 t0 t1 v0"),
    ],
)
def test_layers_run_in_the_order_of_their_places(
    layers: int, v_layers: int, t_places: list[int], v_places: list[int], order: str
) -> None:
    config = random_config(0) | {"num_hidden_layers": layers, "v_num_hidden_layers": v_layers}
    config |= {"t_biattention_id": t_places, "v_biattention_id": v_places}
    model, ran = TextbookViLBERT(config), list[str]()
    encoder = model.bert.encoder
    entries = {f"t{i}": layer.attention.self.query for i, layer in enumerate(encoder.layer)}
    entries |= {f"v{i}": layer.attention.self.query for i, layer in enumerate(encoder.v_layer)}
    entries |= {f"c{i}": layer.biattention.query1 for i, layer in enumerate(encoder.c_layer)}
    for label, linear in entries.items():
        linear.register_forward_hook(lambda *_, label=label: ran.append(label))
    model(**random_inputs(config, 0))
    assert " ".join(ran) == order


@pytest.mark.parametrize("seed", range(8))
def test_padding_changes_nothing_that_is_there(seed: int) -> None:
    config = random_config(seed)
    model = TextbookViLBERT(config).eval().double()
    randomise(model, seed)
    inputs = random_inputs(config, seed)
    inputs |= {name: inputs[name].double() for name in ("features", "spatials")}
    with torch.no_grad():
        out = model(**inputs)
        for i in range(len(inputs["input_ids"])):
            tokens, regions = int(inputs["input_mask"][i].sum()), int(inputs["image_mask"][i].sum())
            one = {name: value[i : i + 1] for name, value in inputs.items()}
            one |= {name: one[name][:, :tokens] for name in ("input_ids", "segment_ids", "input_mask")}
            one |= {name: one[name][:, :regions] for name in ("features", "spatials", "image_mask")}
            for name, alone in model(**one).items():
                batched = out[name][i : i + 1]
                if alone.dim() == 3:
                    batched = batched[:, : alone.shape[1]]
                torch.testing.assert_close(alone, batched, atol=1e-9, rtol=1e-9)


def test_random_configs_differ_where_a_model_can_go_wrong() -> None:
    configs = [random_config(seed) for seed in range(24)]
    assert {(c["fusion_method"], c["task_specific_tokens"]) for c in configs} == {
        (fusion, task) for fusion in ("mul", "sum") for task in (True, False)
    }
    for stream, layers in (("t", "num_hidden_layers"), ("v", "v_num_hidden_layers")):
        places = [(c[f"{stream}_biattention_id"], c[layers]) for c in configs]
        assert any(ids[0] == 0 for ids, _ in places), "co-attention before any layer"
        assert any(ids[-1] < n - 1 for ids, n in places), "several trailing layers"
        assert any(b - a > 1 for ids, _ in places for a, b in pairwise(ids)), "uneven"
    assert random_config(5) == random_config(5)


def test_dropout_acts_in_training_only() -> None:
    config = random_config(1)
    model, inputs = TextbookViLBERT(config), random_inputs(config, 1)
    assert not torch.equal(model(**inputs)["vil_logit"], model(**inputs)["vil_logit"])
    model.eval()
    assert torch.equal(model(**inputs)["vil_logit"], model(**inputs)["vil_logit"])


def test_an_odd_batch_has_no_pairs() -> None:
    config = random_config(2)
    assert "vil_binary_prediction" not in TextbookViLBERT(config)(**random_inputs(config, 2, examples=3))


@pytest.mark.parametrize(
    "wrong", [{"dynamic_attention": True}, {"with_coattention": False}, {"fusion_method": "concat"}]
)
def test_variants_not_written_here_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TextbookViLBERT(random_config(0) | wrong)
