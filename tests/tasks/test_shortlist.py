"""A shortlist by a cheap score: against brute force, and against the model's scores of all pairs."""

import numpy as np
import pytest

from vlmt_cli.tasks.retrieval.shortlist import Validation, choose_pairs, fill, fit, losses

CAPTIONS, IMAGES, K = 60, 12, 4


@pytest.fixture(scope="module")
def world():
    """Scores that a bilinear form gives, but for noise; and which image each caption is of."""
    rng = np.random.default_rng(3)
    texts, images = rng.normal(size=(CAPTIONS, 6)), rng.normal(size=(IMAGES, 5))
    scores = texts @ rng.normal(size=(6, 5)) @ images.T + rng.normal(size=(CAPTIONS, IMAGES))
    return texts, images, scores.astype(np.float32), rng.permutation(np.arange(CAPTIONS) % IMAGES)


def test_the_fit_finds_a_bilinear_score_from_some_pairs(world):
    texts, images, scores, own = world
    rng = np.random.default_rng(5)
    pairs = rng.integers(0, CAPTIONS, 500), rng.integers(0, IMAGES, 500)
    cheap = fit(Validation(texts + 7, images - 2, own, *pairs, scores[pairs] - 9)).of(texts + 7, images - 2)
    within = np.corrcoef(
        (cheap - cheap.mean(1, keepdims=True)).ravel(), (scores - scores.mean(1, keepdims=True)).ravel()
    )
    assert within[0, 1] > 0.8


def test_a_shortlist_has_the_best_of_each_caption_and_image(world):
    cheap = world[2]
    chosen = choose_pairs(cheap, K)
    for caption in range(CAPTIONS):
        for image in range(IMAGES):
            better = (cheap[caption] > cheap[caption, image]).sum(), (cheap[:, image] > cheap[caption, image]).sum()
            assert chosen[caption, image] == (min(better) < K)
    assert choose_pairs(cheap, CAPTIONS).all()


def shares(scores, own, sample):
    """Recall of a sample's captions and images, counted one by one."""
    ranks = {"": [], "caption ": []}
    for caption in range(CAPTIONS):
        if own[caption] in sample:
            ranks[""].append(sum(scores[caption] > scores[caption, own[caption]]) + 1)
    for image in sample:
        best = scores[own == image, image].max()
        ranks["caption "].append(sum(scores[own != image, image] > best) + 1)
    return {
        f"{way}Recall@{k}": np.mean([rank <= k for rank in found]) for way, found in ranks.items() for k in (1, 5, 10)
    }


def test_the_loss_is_that_of_a_brute_force_comparison(world):
    _, _, scores, own = world
    rng = np.random.default_rng(6)
    cheap = scores + 3 * rng.normal(size=scores.shape).astype(np.float32)
    chosen, sample = choose_pairs(cheap, K), np.array([1, 4, 5, 9])
    known = np.where(chosen | np.isin(own, sample)[:, None] | np.isin(np.arange(IMAGES), sample), scores, np.nan)
    filled = fill(known, cheap, chosen)
    assert np.isfinite(filled).all() and filled[~chosen].max() < filled[chosen].min()
    assert (filled[chosen] == scores[chosen]).all()
    exact, short = shares(scores, own, sample), shares(filled, own, sample)
    expected = {name: exact[name] - short[name] for name in exact}
    assert losses(known, filled, own, sample) == pytest.approx(expected) and any(expected.values())
    everything = np.ones_like(chosen)
    assert not any(losses(scores, fill(scores, cheap, everything), own, sample).values())
