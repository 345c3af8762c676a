"""The trunks on transformers' models compute what the library computes, called directly on the same padded inputs."""

import copy

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.bert import load_bert
from vlmt_cli.trunks.encoded import encode
from vlmt_cli.trunks.table import TRUNKS, make_trunk, trunk_config
from vlmt_cli.trunks.vilbert import checkpoint_layers

KINDS = ("lxmert", "visualbert", "uniter")
SMALL = {"width": 24, "heads": 3, "feedforward": 40, "vocabulary": 90, "positions": 40, "region_features": 7}
SMALL |= {"init_std": 0.3, "task_tokens": 4}
LENGTHS = {
    "ragged": ((7, 4, 2), (5, 1, 3)),  # the second image is IMG alone, the third text CLS and SEP
    "no text beyond CLS and SEP": ((2, 2), (3, 6)),
    "one region": ((6, 3), (2, 2)),
    "100 regions": ((9, 5), (101, 60)),
}


def small(kind):
    torch.manual_seed(3)
    trunk = make_trunk(trunk_config(kind, "tiny", **SMALL)).eval()
    for parameter in trunk.parameters():  # biases and norms, too, so that a wrong wire shows
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    return trunk


def batch(words, regions):
    torch.manual_seed(4)
    tokens = torch.randint(2, 90, (len(words), max(words)))
    boxes = torch.rand(len(regions), max(regions), 4).sort(-1).values[..., [0, 1, 2, 3]]
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1, keepdim=True)
    masks = [torch.arange(max(lengths)) < torch.tensor(lengths)[:, None] for lengths in (words, regions)]
    return tokens, masks[0], torch.randn(*masks[1].shape, 7), torch.cat([boxes, area], -1), masks[1]


def direct(kind, trunk, tokens, token_mask, features, boxes, region_mask):
    """Call the library alone; returns the states of words and of regions, and the pooled CLS."""
    if kind == "lxmert":
        said = trunk.model(
            input_ids=tokens,
            attention_mask=token_mask.float(),
            visual_feats=features,
            visual_pos=boxes[..., :4],
            visual_attention_mask=region_mask.float(),
        )
        return said.language_output, said.vision_output, said.pooled_output
    count = tokens.shape[1]
    if kind == "visualbert":
        said = trunk.model(
            input_ids=tokens,
            attention_mask=token_mask.float(),
            visual_embeds=features,
            visual_attention_mask=region_mask.float(),
        )
    else:  # the paper's embeddings, written out, into a BERT that adds nothing to them
        words, regions = trunk.model.embeddings, trunk.regions
        x1, y1, x2, y2 = boxes[..., :4].unbind(-1)
        seven = torch.stack([x1, y1, x2, y2, x2 - x1, y2 - y1, (x2 - x1) * (y2 - y1)], -1)
        region = regions.img_layer_norm(regions.img_linear(features)) + regions.pos_layer_norm(
            regions.pos_linear(seven)
        )
        region = regions.LayerNorm(region + words.token_type_embeddings.weight[1])
        bert = copy.copy(trunk.model)
        bert._modules = dict(trunk.model._modules) | {"embeddings": lambda inputs_embeds, **_: inputs_embeds}
        said = bert(
            inputs_embeds=torch.cat([words(tokens), region], 1),
            attention_mask=torch.cat([token_mask, region_mask], 1).long(),
        )
    return said.last_hidden_state[:, :count], said.last_hidden_state[:, count:], said.pooler_output


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_states_and_gradients_are_the_librarys(kind, lengths):
    trunk, inputs = small(kind), batch(*lengths)
    weights = [torch.randn(60, 24), torch.randn(300, 24), torch.randn(3, 24)]

    def gradients(states):
        trunk.zero_grad()
        sum((state * weight[: len(state)]).sum() for state, weight in zip(states, weights, strict=True)).backward()
        return {name: part.grad.clone() for name, part in trunk.named_parameters() if part.grad is not None}

    encoded = encode(trunk, *inputs)
    words, regions, pooled = direct(kind, trunk, *inputs)
    real_words, real_regions = inputs[1].flatten(), inputs[4].flatten()
    ours = [encoded.text[real_words], encoded.vision[real_regions], trunk.fuse(encoded)]
    theirs = [words.flatten(0, 1)[real_words], regions.flatten(0, 1)[real_regions], pooled]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    found, right = gradients(ours), gradients(theirs)
    assert found.keys() == right.keys() and len(found) > 40
    scale = max(float(gradient.abs().max()) for gradient in right.values())
    for name, gradient in right.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5 * scale, rtol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_maps_padding_and_the_task_token(kind):
    trunk, inputs = small(kind), batch(*LENGTHS["ragged"])
    task = torch.tensor([1, 2, 1])
    whole = encode(trunk, *inputs, task, return_attention=True)
    pairs = (torch.tensor([2, 0, 1]), torch.tensor([1, 0, 1]))
    paired = encode(trunk, *inputs, task, pairs=pairs, pooled_only=True)
    torch.testing.assert_close(trunk.fuse(paired)[1:], trunk.fuse(whole)[:2], atol=1e-5, rtol=1e-5)
    assert paired.text is None
    # What stands at padding, and beside a row in its batch, changes nothing.
    alone = encode(trunk, inputs[0][1:2, :4], inputs[1][1:2, :4], inputs[2][1:2, :1], inputs[3][1:2, :1],
                   inputs[4][1:2, :1], task[1:2])  # fmt: skip
    torch.testing.assert_close(trunk.fuse(alone)[0], trunk.fuse(whole)[1], atol=1e-5, rtol=1e-5)
    other = encode(trunk, *inputs, torch.tensor([1, 3, 1]))
    moved = (trunk.fuse(other) - trunk.fuse(whole)).abs().amax(1) > 1e-3
    assert moved.tolist() == [False, True, False]
    maps = whole.maps
    assert whole.text_rows.length == 8
    if kind == "lxmert":
        assert [len(kept) for kept in vars(maps).values()] == [4, 4, 2, 2]
        rows = [kept.sum(-1) for kind in vars(maps).values() for kept in kind]
    else:
        rows = [a.sum(-1) + b.sum(-1) for a, b in zip(maps.text_text, maps.text_image, strict=True)]
        rows += [a.sum(-1) + b.sum(-1) for a, b in zip(maps.image_text, maps.image_image, strict=True)]
    assert all(torch.allclose(row, torch.ones_like(row), atol=1e-5) for row in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointed_layers_have_the_gradients_of_plain_ones(kind):
    """Dropout included; a part whose output nobody reads has no gradient in either."""
    found, kept = [], []
    for checkpointed in (False, True):
        trunk = small(kind).train()
        if checkpointed:
            checkpoint_layers(trunk)
        inputs, sizes = batch(*LENGTHS["ragged"]), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x):
            loss = trunk.fuse(encode(trunk, *inputs, pooled_only=True)).square().sum()
        loss.backward()
        kept.append(sum(sizes))
        found.append({name: value.grad for name, value in trunk.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys() and all(torch.equal(found[1][name], found[0][name]) for name in found[0])
    assert kept[1] < kept[0] / 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_bert_fills_what_has_its_form_and_every_tensor_is_accounted_for(kind, tmp_path):
    bert = BertForMaskedLM(BertConfig(vocab_size=90, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
                                      intermediate_size=40, max_position_embeddings=40))  # fmt: skip
    bert.save_pretrained(tmp_path)
    model = MultiTaskModel(ModelConfig(trunk=trunk_config(kind, "tiny", **SMALL), heads=(), pretraining=True))
    report = load_bert(model.trunk, model.pretraining, str(tmp_path))
    state, theirs = model.state_dict(), bert.state_dict()
    assert set(report.loaded) | set(report.random) == set(state) and not set(report.loaded) & set(report.random)
    assert all(torch.equal(state[name], theirs[part]) for name, [part] in report.loaded.items())
    assert len(report.loaded) == {"visualbert": 44}.get(kind, 42)
    assert {name.split(".")[3] for name in report.unused} == {"2"}  # the third layer


def test_every_trunk_has_what_the_table_says():
    for kind in TRUNKS:
        config = trunk_config(kind)
        assert config.kind == kind and config.text_width == 768 and config.streams()
        assert config.with_dropout(0).region_dropout == 0
