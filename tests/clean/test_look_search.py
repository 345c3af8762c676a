"""Looks of mirrored and turned pictures, and the search for them against a comparison of all with all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.clean.look_search import look_index
from vlmt_cli.clean.looks import exchanged, looks_of

TURNS = [lambda grey, k=k, flip=flip: np.rot90(grey[:, ::-1] if flip else grey, k) for k in range(4) for flip in (0, 1)]


def greys(count: int, seed: int) -> np.ndarray:
    """Noise, whose frequencies are far from zero."""
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64), dtype=np.uint8)


def test_every_mirror_image_and_turn_is_at_distance_zero():
    pictures = greys(5, 0)
    index = look_index(looks_of(pictures)[0], 24)
    for turn in TURNS:
        turned = looks_of(np.stack([turn(picture) for picture in pictures]))[0]
        near = index.near(turned)
        assert near.query.tolist() == near.row.tolist() == list(range(5))
        assert not near.distance.any() and not near.detail.any()


def flipped(look: np.ndarray, bits: list[int]) -> np.ndarray:
    changed = np.unpackbits(look.view(np.uint8))
    changed[bits] ^= 1
    return np.packbits(changed).view(np.uint64)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([0, 1, 40, 1500]),  # where bands are and are not worth it
    distance=st.sampled_from([0, 5, 24, 48, 64]),
)
def test_the_search_finds_what_comparing_all_finds(seed, size, distance):
    rng = np.random.default_rng(seed)
    looks = rng.integers(0, 2**64, (size, 8), dtype=np.uint64)
    queries = [rng.integers(0, 2**64, 8, dtype=np.uint64)]
    for _ in range(12 if size else 0):  # as far from a look of the index as the distance, or a little farther
        origin = looks[rng.integers(size)]
        origin = exchanged(origin[None])[0] if rng.random() < 0.5 else origin.copy()
        for words in ((1, 3), (2, 3)):  # mirrored, and upside down
            if rng.random() < 0.5:
                origin[[*words, *(word + 4 for word in words)]] ^= np.uint64(2**64 - 1)
        count = rng.integers(max(0, distance - 2), distance + 3)
        queries.append(flipped(origin, rng.choice(256, count, replace=False).tolist()))
    queries = np.stack(queries)

    truth: dict[tuple[int, int], int] = {}
    for version in (looks, exchanged(looks)):
        for inverted in ((), (1, 3), (2, 3), (1, 2)):
            turned = version.copy()
            turned[:, list(inverted)] ^= np.uint64(2**64 - 1)
            apart = np.bitwise_count(queries[:, None, :4] ^ turned[None, :, :4]).sum(-1, dtype=int)
            for query, row in np.argwhere(apart <= distance).tolist():
                truth[query, row] = min(truth.get((query, row), 256), apart[query, row])
    near = look_index(looks, distance).near(queries)
    found = list(zip(near.query.tolist(), near.row.tolist(), strict=True))
    assert found == sorted(set(found)), "a pair was found twice"
    assert dict(zip(found, near.distance.tolist(), strict=True)) == truth


@pytest.mark.parametrize("picture", [np.full((64, 64), 200), np.tile(np.arange(64) * 4, (64, 1))])
def test_a_plain_picture_has_no_look(picture):
    assert not looks_of(picture[None].astype(np.uint8))[1].any()
