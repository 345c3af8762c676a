"""The model computes the authors' numbers on the authors' weights, whatever stands beside a row in its batch."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from trunks.authors_files import load, load_pretraining, load_tasks, trunk_config

from benchmarks import textbook
from vlmt_cli.tasks.config import HEADS, ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.referring import head as referring
from vlmt_cli.tasks.retrieval import head as retrieval
from vlmt_cli.tasks.verification import head as verification
from vlmt_cli.tasks.vqa import head as vqa
from vlmt_cli.trunks import layers, vilbert
from vlmt_cli.trunks.authors import authors_names
from vlmt_cli.trunks.config import PRESETS, make_config
from vlmt_cli.trunks.pretraining import PretrainingLabels
from vlmt_cli.trunks.vilbert import ViLBERT, checkpoint_layers

PARITY = Path(__file__).parents[1] / "data" / "parity"
OUTPUTS = {
    "vqa": "vil_prediction",
    "gqa": "vil_prediction_gqa",
    "retrieval": "vil_logit",
    "referring": "vision_logit",
    "nlvr2": "vil_binary_prediction",
    "snli_ve": "vil_tri_prediction",
}


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def files():
    return load_file(PARITY / "vl_inputs.safetensors"), load_file(PARITY / "vl_outputs.safetensors")


@pytest.fixture(params=[True, False], ids=["packed", "padded"])
def model(request):
    model = load_tasks()
    model.trunk.packed = request.param
    return model.eval()


def arguments(inputs):
    return {
        "tokens_BT": inputs["input_ids"],
        "token_mask_BT": inputs["input_mask"],
        "features_BVF": inputs["features"],
        "boxes_BV5": inputs["spatials"],
        "region_mask_BV": inputs["image_mask"],
        "task_B": inputs["task_ids"].squeeze(1),
        "segments_BT": inputs["segment_ids"],
    }


def test_every_state_is_the_authors(model, files):
    inputs, expected = files
    encoded = model.trunk(**arguments(inputs), return_states=True)
    words = torch.cat([inputs["input_mask"][:, :1], inputs["input_mask"]], 1).bool()
    regions = inputs["image_mask"].bool()
    states = {"sequence_output": (encoded.text, encoded.vision)}
    states |= {f"after_connection_{k}": pair for k, pair in enumerate(encoded.after_co)}
    for name, (text, vision) in states.items():
        same(encoded.text_rows.pad(text)[words], expected[f"{name}_t"][words])
        same(encoded.vision_rows.pad(vision)[regions], expected[f"{name}_v"][regions])
    same(encoded.pooled_text, expected["pooled_output_t"])
    same(encoded.pooled_vision, expected["pooled_output_v"])


def losses(model, inputs):
    def output(head):
        encoded = model.trunk(**arguments(inputs), pooled_only=head != "referring")
        return model.read(head, encoded)

    def labels(target):
        return {"labels": inputs[target].argmax(1)}

    form = model.config.verification_loss
    return {
        "loss_VL_classifier": lambda: vqa.loss(output("vqa"), {"scores": inputs["target_vqa"]}),
        "loss_VL_classifier_GQA": lambda: vqa.loss(output("gqa"), {"scores": inputs["target_gqa"]}),
        "loss_VL_logit": lambda: retrieval.loss(retrieval.options(output("retrieval"), {}), {}),
        "loss_V_logit": lambda: referring.loss(output("referring"), {"ious": inputs["target_region"].squeeze(-1)}),
        "loss_VL_binary": lambda: verification.loss(
            output("nlvr2"), {"labels": inputs["target_binary"].argmax(1)}, form
        ),
        "loss_VL_tri": lambda: verification.loss(output("snli_ve"), labels("target_tri"), form),
    }


@pytest.mark.parametrize("head", HEADS)
def test_every_head_is_the_authors(model, files, head):
    inputs, expected = files
    encoded = model.trunk(**arguments(inputs), pooled_only=head != "referring")
    ours, theirs = model.read(head, encoded), expected[OUTPUTS[head]]
    if head == "referring":
        real = inputs["image_mask"].bool()
        assert (ours[~real] == referring.PADDING).all()
        ours, theirs = ours[real], theirs.squeeze(-1)[real]
    same(ours, theirs)


def gradients(model):
    """The norm of each of the authors' tensors' gradients; the parts of a joined projection apart."""
    norms = {}
    for name, parameter in model.named_parameters():
        parts = authors_names(name)
        gradient = parameter.grad
        for part, piece in zip(
            parts, [None] * len(parts) if gradient is None else gradient.chunk(len(parts)), strict=True
        ):
            norms[part] = None if piece is None else piece.norm().item()
    return norms


def check_gradients(ours, theirs):
    for name, norm in ours.items():
        if norm is None:
            assert not theirs[name], name
        else:
            assert norm == pytest.approx(theirs[name] or 0.0, rel=1e-4, abs=5e-5), name


@pytest.mark.parametrize("name", ["loss_VL_classifier", "loss_VL_classifier_GQA", "loss_VL_logit", "loss_V_logit",
                                  "loss_VL_binary", "loss_VL_tri"])  # fmt: skip
def test_every_loss_and_gradient_is_the_authors(model, files, name):
    inputs, expected = files
    loss = losses(model, inputs)[name]()
    torch.testing.assert_close(loss, expected[name].squeeze(), rtol=1e-5, atol=0)
    loss.backward()
    check_gradients(gradients(model), json.loads((PARITY / "vl_grad_norms.json").read_text())[name])


@pytest.mark.parametrize("packed", [True, False])
def test_pretraining_losses_and_gradients_are_the_authors(packed):
    model = load_pretraining().eval()
    model.trunk.packed = packed
    inputs = load_file(PARITY / "pretrain_inputs.safetensors")
    expected = load_file(PARITY / "pretrain_outputs.safetensors")
    encoded = model.trunk(
        inputs["input_ids"], inputs["attention_mask"], inputs["image_feat"], inputs["image_loc"],
        inputs["image_attention_mask"], segments_BT=inputs["token_type_ids"],
    )  # fmt: skip
    image = torch.zeros_like(inputs["image_label"][:, :1])
    labels = PretrainingLabels(
        words_BT=inputs["masked_lm_labels"],
        regions_BV=torch.cat([image, inputs["image_label"] == 1], 1).bool(),
        region_classes_BVC=F.pad(inputs["image_target"], (0, 0, 1, 0)),
        misaligned_B=inputs["next_sentence_label"],
    )
    for objective, aligned_only in ((0, False), (1, True)):
        ours = model.pretraining(model.trunk, encoded, labels, aligned_only)
        for name, theirs in (("words", "masked_lm"), ("regions", "masked_img"), ("alignment", "next_sentence")):
            wanted = expected[f"{theirs}_loss_objective{objective}"].squeeze()
            torch.testing.assert_close(ours[name], wanted, rtol=1e-5, atol=1e-6)
    sum(ours.values()).backward()
    check_gradients(gradients(model), json.loads((PARITY / "pretrain_grad_norms.json").read_text()))


SMALL = {
    "text": {"width": 24, "layers": 3, "heads": 3, "feedforward": 16},
    "vision": {"width": 16, "layers": 3, "heads": 2, "feedforward": 20},
    "co_width": 12,
    "co_heads": 3,
    "vocabulary": 40,
    "positions": 16,
    "region_features": 10,
    "region_classes": 7,
    "init_std": 0.2,
}
PLACEMENTS = [((1, 2), (0, 1)), ((0, 0), (1, 3)), ((3,), (3,)), ((0, 3), (1, 3)), ((), ())]


def batch(lengths, seed=0):
    """Rows of the given (tokens, regions), padded to the longest, with rubbish in the padding."""
    generator = torch.Generator().manual_seed(seed)
    longest_text, longest_image = (max(column) for column in zip(*lengths, strict=True))
    n = len(lengths)
    tokens = torch.randint(0, 40, (n, longest_text), generator=generator)
    features = torch.randn(n, longest_image, 10, generator=generator)
    boxes = torch.rand(n, longest_image, 5, generator=generator)
    text_mask = torch.arange(longest_text) < torch.tensor([words for words, _ in lengths])[:, None]
    image_mask = torch.arange(longest_image) < torch.tensor([regions for _, regions in lengths])[:, None]
    task = torch.randint(0, 20, (n,), generator=generator)
    return tokens, text_mask, features, boxes, image_mask, task


def one(whole, row, length):
    """One row of a batch, alone and without padding."""
    words, regions = length
    tokens, token_mask, features, boxes, region_mask, task = (part[row : row + 1] for part in whole)
    return (
        tokens[:, :words],
        token_mask[:, :words],
        features[:, :regions],
        boxes[:, :regions],
        region_mask[:, :regions],
        task,
    )


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 8)), min_size=1, max_size=4),
    placement=st.sampled_from(PLACEMENTS),
    packed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_row_depends_on_neither_padding_nor_neighbours(lengths, placement, packed, seed):
    torch.manual_seed(seed)
    config = make_config(**SMALL, text_placement=placement[0], vision_placement=placement[1])
    trunk = ViLBERT(config).eval()
    trunk.packed = packed
    whole = batch(lengths, seed)
    encoded, pooled = trunk(*whole), trunk(*whole, pooled_only=True)
    same(pooled.pooled_text, encoded.pooled_text)
    same(pooled.pooled_vision, encoded.pooled_vision)
    text, vision = encoded.text_rows.pad(encoded.text), encoded.vision_rows.pad(encoded.vision)
    for row, (words, regions) in enumerate(lengths):
        alone = trunk(*one(whole, row, (words, regions)))
        same(text[row, : words + 1], alone.text_rows.pad(alone.text)[0])
        same(vision[row, :regions], alone.vision_rows.pad(alone.vision)[0])
        same(encoded.pooled_text[row], alone.pooled_text[0])


@settings(max_examples=25, deadline=None)
@given(
    placement=st.sampled_from(PLACEMENTS),
    packed=st.booleans(),
    pairs=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=5),
)
def test_a_pair_is_what_its_text_and_image_make(placement, packed, pairs):
    torch.manual_seed(0)
    trunk = ViLBERT(make_config(**SMALL, text_placement=placement[0], vision_placement=placement[1])).eval()
    trunk.packed = packed
    texts, images = batch([(5, 1), (3, 1)]), batch([(1, 4), (1, 7), (1, 2)])
    which_text, which_image = (torch.tensor(column) for column in zip(*pairs, strict=True))
    once = trunk(texts[0], texts[1], images[2], images[3], images[4], texts[5], pairs=(which_text, which_image))
    each = trunk(
        *(part[which_text] for part in texts[:2]), *(part[which_image] for part in images[2:5]), texts[5][which_text]
    )
    same(once.pooled_text, each.pooled_text)
    same(once.pooled_vision, each.pooled_vision)


@pytest.mark.parametrize("packed", [True, False])
def test_attention_maps_sum_to_one_and_give_padding_nothing(packed):
    torch.manual_seed(0)
    trunk = ViLBERT(make_config(**SMALL, text_placement=(1, 2), vision_placement=(0, 1))).eval()
    trunk.packed = packed
    lengths = [(6, 3), (2, 8)]
    whole = batch(lengths)
    encoded = trunk(*whole, return_attention=True)
    same(encoded.pooled_text, trunk(*whole).pooled_text)
    maps = encoded.maps
    counts = (len(maps.text_text), len(maps.image_image), len(maps.text_image), len(maps.image_text))
    assert counts == (3, 3, 2, 2)
    for row, (words, regions) in enumerate(lengths):
        sizes = {"text": words + 1, "image": regions}
        for name in ("text_text", "image_image", "text_image", "image_text"):
            queries, keys = (sizes[part] for part in name.split("_"))
            for layer in getattr(maps, name):
                assert layer.shape[1] == 2 if name == "image_image" else layer.shape[1] == 3
                same(layer[row, :, :queries].sum(-1), torch.ones(layer.shape[1], queries))
                assert not layer[row, :, :queries, keys:].any()


def test_only_the_head_in_use_gets_a_gradient():
    torch.manual_seed(0)
    config = ModelConfig(
        trunk=make_config(**SMALL, text_placement=(1,), vision_placement=(1,)), answers={"vqa": 5, "gqa": 4}
    )
    model = MultiTaskModel(config)
    model("snli_ve", *batch([(4, 3), (2, 5)])).sum().backward()
    moved = {
        name.split(".")[1] for name, value in model.heads.named_parameters(prefix="heads") if value.grad is not None
    }
    assert moved == {"snli_ve"}


def test_the_base_model_runs_its_layers_in_the_papers_order():
    order = [f"{kind[0]}{number}" for kind, number in PRESETS["base"].order()]
    middle = [step for k in range(5) for step in (f"c{k}", f"t{k + 6}", f"v{k}")]
    assert order == [f"t{i}" for i in range(6)] + middle + ["c5", "t11", "v5"]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("packed", [True, False])
def test_other_models_agree_with_the_textbook(seed, packed):
    theirs = textbook.random_config(seed)
    reference = textbook.TextbookViLBERT(theirs)
    textbook.randomise(reference, seed)
    reference.eval()
    inputs = textbook.random_inputs(theirs, seed)
    answers = {"vqa": theirs.get("num_vqa_answers", 3129), "gqa": theirs.get("num_gqa_answers", 1533)}
    config = ModelConfig(trunk=trunk_config(theirs), pretraining=True, answers=answers, entailment_head="linear")
    model = load(config, reference.state_dict()).eval()
    model.trunk.packed = packed
    expected = reference(**inputs)
    mine = arguments(inputs) if theirs["task_specific_tokens"] else arguments(inputs) | {"task_B": None}
    for head in HEADS:
        ours = model.read(head, model.trunk(**mine, pooled_only=head != "referring"))
        wanted = expected[OUTPUTS[head]]
        if head == "referring":
            real = inputs["image_mask"].bool()
            ours, wanted = ours[real], wanted.squeeze(-1)[real]
        same(ours, wanted)


def test_training_drops_each_embeddings_output_and_testing_none():
    trunk = ViLBERT(
        make_config(**SMALL | {"text": SMALL["text"] | {"dropout": 0.25}}, text_placement=(), vision_placement=())
    )
    tokens, mask = torch.randint(40, (100, 16)), torch.ones(100, 16, dtype=torch.bool)
    features, boxes = torch.randn(100, 16, 10), torch.rand(100, 16, 5)

    def dropped():
        text, _ = trunk.text_embedding(tokens, mask, None, None, packed=(False, False))
        vision, _ = trunk.region_embedding(features, boxes, mask, packed=(False, False))
        return [float((out == 0).float().mean()) for out in (text, vision)]

    assert dropped() == pytest.approx([0.25, 0.25], abs=0.02)
    trunk.eval()
    assert dropped() == [0, 0]


def test_a_box_that_overlaps_by_half_is_not_located():
    scores = torch.tensor([[0.0, 9.0], [0.0, 9.0]])
    ious = torch.tensor([[0.0, 0.5], [0.0, 0.501]])  # the target is above 0.5, as section 2.1 has it
    assert referring.score(scores, {"ious": ious}).tolist() == [0, 1]


def test_checkpointed_layers_have_the_gradients_of_plain_ones():
    """Dropout included, whose numbers are drawn again; and layers keep nothing but what comes in."""
    config = make_config(
        **SMALL | {"text": SMALL["text"] | {"dropout": 0.3}}, text_placement=(1, 2), vision_placement=(0, 1)
    )
    inputs, found, kept = batch([(5, 3), (2, 7)]), [], []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        trunk = ViLBERT(config).train()
        if checkpointed:
            checkpoint_layers(trunk)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            encoded = trunk(*inputs)
            loss = encoded.text.square().sum() + encoded.vision.square().sum()
        loss.backward()
        kept.append(sum(sizes))
        found.append({name: value.grad for name, value in trunk.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys() and all(torch.equal(found[1][name], found[0][name]) for name in found[0])
    assert kept[1] < kept[0] / 2
    trunk.eval()
    with torch.no_grad():
        same(trunk(*inputs).pooled_text, trunk(*inputs).pooled_text)


def one_by_one(q_NHd, k_MHd, v_MHd, queries, keys, most_q, most_k):
    """What stands in for ``varlen_attn``: it takes the same, and attends in one sequence after another."""
    assert queries.dtype == keys.dtype == torch.int32 and queries[-1] == len(q_NHd) and keys[-1] == len(k_MHd)
    assert (most_q, most_k) == (queries.diff().max(), keys.diff().max())
    out = []
    for q, k in zip(pairwise(queries.tolist()), pairwise(keys.tolist()), strict=True):
        parts = q_NHd[slice(*q)], k_MHd[slice(*k)], v_MHd[slice(*k)]
        out.append(F.scaled_dot_product_attention(*(part.transpose(0, 1) for part in parts)).transpose(0, 1))
    return torch.cat(out)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_attention_of_packed_rows_is_that_of_padded_ones(placement, monkeypatch):
    """Losses and gradients; all heads' kinds of reading, and pairs of texts and images."""
    torch.manual_seed(0)
    trunk = ViLBERT(make_config(**SMALL, text_placement=placement[0], vision_placement=placement[1])).eval()
    monkeypatch.setattr(layers, "varlen_attn", one_by_one)
    whole = batch([(5, 3), (2, 7), (9, 1), (9, 7)])
    pairs = torch.tensor([0, 3, 1, 1, 2]), torch.tensor([2, 0, 1, 3, 3])
    found = []
    for to_attention in (False, True):
        monkeypatch.setattr(vilbert, "takes_packed", lambda device, dropout, to_attention=to_attention: to_attention)
        encoded, pooled = trunk(*whole), trunk(*whole, pairs=pairs, pooled_only=True)
        read = (encoded.text, encoded.vision, pooled.pooled_text, pooled.pooled_vision)
        loss = sum((state * torch.linspace(-1, 1, state.numel()).view_as(state)).sum() for state in read)
        trunk.zero_grad()
        loss.backward()
        found.append({name: value.grad for name, value in trunk.named_parameters() if value.grad is not None})
        found[-1] |= {"loss": loss.detach(), "text": encoded.text.detach()}
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-5)
