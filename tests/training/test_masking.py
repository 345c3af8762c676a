"""Masking against its definition, read out box by box in plain Python; and its shares, with fixed seeds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.training.masking import img_feature, mask_regions, mask_words, masked_shares

CLS, SEP, PAD, MASK = 101, 102, 0, 103
VOCABULARY = 30_522


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def captions(batch, length):
    """Captions of all lengths from none to all places."""
    lengths = torch.arange(batch) % (length - 1) + 2
    places = torch.arange(length)
    tokens = torch.randint(1000, VOCABULARY, (batch, length), generator=seeded(9))
    tokens = torch.where(places < lengths[:, None], tokens, PAD)
    tokens[:, 0] = CLS
    tokens[torch.arange(batch), lengths - 1] = SEP
    return tokens, (places > 0) & (places < lengths[:, None] - 1)


def test_words_are_masked_as_bert_masks_them():
    tokens, maskable = captions(4000, 36)
    before = tokens.clone()
    read, labels = mask_words(tokens, maskable, MASK, VOCABULARY, seeded())
    sampled = labels != -1
    assert torch.equal(tokens, before)
    assert not (sampled & ~maskable).any()  # CLS, SEP, padding
    assert torch.equal(read[~sampled], tokens[~sampled])
    assert torch.equal(labels[sampled], tokens[sampled])
    share = sampled.sum() / maskable.sum()
    as_mask, as_is = (read[sampled] == MASK).float().mean(), (read[sampled] == tokens[sampled]).float().mean()
    others = read[sampled & (read != MASK) & (read != tokens)]
    assert sampled.sum() > 10_000
    assert share.item() == pytest.approx(0.15, abs=0.005)
    assert as_mask.item() == pytest.approx(0.8, abs=0.015)
    assert as_is.item() == pytest.approx(0.1, abs=0.012)
    assert len(others) / sampled.sum().item() == pytest.approx(0.1, abs=0.012)
    assert others.min() < 1000 and others.max() > VOCABULARY * 0.99  # of the whole vocabulary
    assert others.float().mean().item() == pytest.approx(VOCABULARY / 2, rel=0.05)


def test_every_place_is_sampled_by_itself():
    tokens = torch.full((5000, 12), 2000)
    _, labels = mask_words(tokens, torch.ones_like(tokens), MASK, VOCABULARY, seeded())
    sampled = (labels != -1).float()
    torch.testing.assert_close(sampled.mean(0), torch.full((12,), 0.15), atol=0.02, rtol=0)
    assert sampled.sum(1).var().item() == pytest.approx(12 * 0.15 * 0.85, rel=0.08)  # binomial; some captions have none
    assert (sampled.sum(1) == 0).any()


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (1, 1)])
def test_share_from_none_to_all(share, expected):
    tokens, maskable = captions(20, 10)
    _, labels = mask_words(tokens, maskable, MASK, VOCABULARY, seeded(), share)
    assert ((labels != -1) == (maskable & bool(expected))).all()
    boxes, there = torch.rand(4, 6, 4), torch.ones(4, 6)
    assert (mask_regions(boxes, there, seeded(), share).sampled_BV == bool(expected)).all()


def overlap_of(a, b):
    """IoU in plain Python."""
    if a == b:
        return 1.0
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared
    return shared / union if union else 0.0


sides = st.integers(0, 8)
a_box = st.tuples(sides, sides, sides, sides).map(
    lambda s: (min(s[0], s[2]), min(s[1], s[3]), max(s[0], s[2]), max(s[1], s[3]))
)
images = st.lists(st.lists(a_box, min_size=1, max_size=9), min_size=1, max_size=3)


def padded(images):
    longest = max(map(len, images)) + 1
    boxes = torch.zeros(len(images), longest, 4)
    there = torch.zeros(len(images), longest, dtype=torch.bool)
    for i, image in enumerate(images):
        boxes[i, : len(image)] = torch.tensor(image, dtype=torch.float32)
        there[i, : len(image)] = True
    return boxes, there


@settings(max_examples=150, deadline=None)
@given(images, st.integers(0, 2**31), st.sampled_from([0.1, 0.3, 0.6]))
def test_regions_are_masked_by_definition(images, seed, share):
    boxes, there = padded(images)
    masked = mask_regions(boxes, there, seeded(seed), share)
    alone = mask_regions(boxes, there, seeded(seed), share, neighbours=False)
    sampled, zeroed, visible = (kind.tolist() for kind in masked)
    assert torch.equal(masked.sampled_BV, alone.sampled_BV)
    assert not (alone.zeroed_BV & ~alone.sampled_BV).any()
    for i, image in enumerate(images):
        for j, box in enumerate(image):
            others = [k for k in range(len(image)) if k != j and sampled[i][k]]
            near = any(overlap_of(box, image[k]) > 0.4 for k in others)
            # One hop and no more: zeroed alone, or the neighbour of a sampled region.
            assert zeroed[i][j] == (bool(alone.zeroed_BV[i, j]) or near)
            assert visible[i][j] == (not sampled[i][j] and not near)
        for kind in (sampled, zeroed, visible):
            assert not any(kind[i][len(image) :])  # padding, whose boxes are all equal


def test_a_neighbour_overlaps_by_more_than_the_threshold_and_has_none_of_its_own():
    row = [
        [0, 0, 10, 10],  # sampled alone in the images looked at
        [0, 0, 4, 10],  # IoU 0.4 exactly
        [0, 0, 5, 10],  # 0.5
        [2, 0, 5, 10],  # 0.3, and 0.6 with the one before
    ]
    boxes, there = torch.tensor([row] * 300, dtype=torch.float32), torch.ones(300, 4, dtype=torch.bool)
    masked = mask_regions(boxes, there, seeded(), share=0.2)
    alone = (masked.sampled_BV == torch.tensor([True, False, False, False])).all(1)
    assert alone.sum() > 20
    assert (masked.zeroed_BV[alone, 1:] == torch.tensor([False, True, False])).all()
    assert (masked.visible_BV[alone, 1:] == torch.tensor([True, False, True])).all()


def test_a_kept_region_hides_its_neighbours_and_is_not_kept_beside_another_sampled_one():
    boxes = torch.tensor([[[0, 0, 10, 10], [1, 0, 10, 10], [50, 50, 60, 60]]] * 4000, dtype=torch.float32)
    masked = mask_regions(boxes, torch.ones(4000, 3), seeded())
    sampled, zeroed, visible = masked
    pair = sampled[:, 0] & sampled[:, 1]
    kept = sampled & ~zeroed
    assert pair.sum() > 50 and zeroed[pair, :2].all()  # either would give the other away
    assert kept[:, 0].sum() > 20 and zeroed[kept[:, 0], 1].all()
    assert not (kept & visible).any()  # seen in its place, not in IMG
    assert kept[:, 2].sum().item() / sampled[:, 2].sum().item() == pytest.approx(0.1, abs=0.03)


def test_shares_of_regions():
    """Without overlap 15% are sampled and nine tenths of these zeroed; boxes in threes have their like zeroed, too."""
    apart = (torch.arange(30.0)[:, None] * 20 + torch.tensor([0.0, 0.0, 10.0, 10.0])).expand(1000, 30, 4)
    there = torch.arange(30) < (torch.arange(1000) % 30 + 1)[:, None]
    shares = masked_shares(mask_regions(apart, there, seeded()), there)
    assert shares["sampled"].item() == pytest.approx(0.15, abs=0.01)
    assert shares["zeroed"].item() == pytest.approx(0.135, abs=0.01)
    assert torch.equal(shares["masked"], shares["sampled"])
    threes = apart[:, :10].repeat_interleave(3, 1)
    everywhere = torch.ones(1000, 30)
    shares = masked_shares(mask_regions(threes, everywhere, seeded()), everywhere)
    assert shares["sampled"].item() == pytest.approx(0.15, abs=0.01)
    assert shares["masked"].item() == pytest.approx(1 - 0.85**3, abs=0.02)
    nothing = torch.zeros(2, 3)
    assert masked_shares(mask_regions(torch.zeros(2, 3, 4), nothing, seeded()), nothing)["masked"] == 0


def test_a_generator_decides_all():
    tokens, maskable = captions(50, 20)
    boxes, there = torch.rand(50, 8, 4).cumsum(-1), torch.ones(50, 8)

    def draw(generator):
        torch.rand(3)  # the global generator has no part in it
        return *mask_words(tokens, maskable, MASK, VOCABULARY, generator), *mask_regions(boxes, there, generator)

    generator = seeded(5)
    first, then, again = draw(generator), draw(generator), draw(seeded(5))
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, then))
    stand_in = seeded(5)
    assert all(map(torch.equal, first, draw(lambda shape: torch.rand(shape, generator=stand_in))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_img_is_the_mean_of_what_is_visible(dtype):
    features = torch.randn(6, 40, 16, generator=seeded()).to(dtype) * 100
    features[0] = 60_000 if dtype == torch.float16 else 1e30  # whose sum float16 could not hold
    visible = torch.rand(6, 40, generator=seeded(1)) < 0.5
    visible[4] = False
    visible[5] = torch.arange(40) == 7
    img = img_feature(features, visible)
    assert img.dtype == dtype
    for i in (0, 1, 2, 3, 5):
        expected = features[i][visible[i]].double().mean(0)
        torch.testing.assert_close(img[i].double(), expected, rtol=1e-3, atol=1e-2 if dtype == torch.float16 else 1e-4)
    assert not img[4].any()  # nothing is left


@settings(max_examples=50, deadline=None)
@given(images, st.integers(0, 2**31), st.booleans())
def test_nothing_that_is_masked_reaches_img(images, seed, neighbours):
    boxes, there = padded(images)
    masked = mask_regions(boxes, there, seeded(seed), 0.4, neighbours=neighbours)
    features = torch.randn(*there.shape, 5, generator=seeded(seed))
    other = torch.where((masked.sampled_BV | masked.zeroed_BV)[..., None], 1000.0, features)
    assert torch.equal(img_feature(features, masked.visible_BV), img_feature(other, masked.visible_BV))
