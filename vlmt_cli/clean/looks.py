"""What a picture looks like, in 512 bits, and the eight ways in which it can be mirrored and turned.

A *look* holds the signs of 512 frequencies (a discrete cosine transform) of a grey version of 64 x 64 pixels: the
*hash*, of the 256 lowest ones, by which pictures are searched; and the *detail*, of the 256 next, by which those with
like hashes are told apart. A frequency (u, v) has u half waves down the picture and v across. Mirroring a picture
inverts the signs where v is odd, turning it upside down those where u is odd, and exchanging its axes exchanges u and
v; every quarter turn is made of these. So a look has its bits in four words each for the hash and for the detail, by
whether u and v are even or odd, of 64 bits each, and mirroring inverts whole words: one comparison of two looks gives
the distance of four mirrored versions.

A picture of one colour, a plain gradient or a few stripes has too few frequencies to be told from another by their
signs. It has no look.
"""

import numpy as np
from numpy.typing import NDArray

GREY = 64
"""Width and height of the grey version."""
WORDS = 8
"""Words of 64 bits of a look; the first four are the hash."""
HASH_WORDS = 4
BITS = 64 * HASH_WORDS
"""Bits of the hash, and of the detail."""
LOOK_BYTES = 8 * WORDS

# A coefficient counts when it is several times the noise that rounding to 8 bits makes (0.3). Of 64 real photos none
# has fewer than 150 that count, a gradient has 11, stripes 16, one centred square 59.
_COUNTS, _ENOUGH = 2.0, 96

_Frequency = tuple[int, int]


def _lowest(u_is_odd: int, v_is_odd: int) -> list[_Frequency]:
    """Return the frequencies of some parity by rising u + v, and of equal ones those of one direction first."""
    all_of_it = ((u, v) for u in range(u_is_odd, GREY, 2) for v in range(v_is_odd, GREY, 2) if u + v)
    return sorted(all_of_it, key=lambda f: (f[0] + f[1], -abs(f[0] - f[1]), f))


def _with_twins(frequencies: list[_Frequency]) -> list[_Frequency]:
    """Choose 64 that stay the same 64 when u and v are exchanged."""
    chosen: list[_Frequency] = []
    for u, v in frequencies:
        twins = {(u, v), (v, u)}
        if u <= v and len(chosen) + len(twins) <= 64:
            chosen += sorted(twins)
    return chosen


def _words_of_frequencies() -> list[list[_Frequency]]:
    words: list[list[_Frequency]] = []
    for _ in range(WORDS // HASH_WORDS):
        taken = {frequency for word in words for frequency in word}
        even, odd, across = ([f for f in _lowest(*parity) if f not in taken] for parity in ((0, 0), (1, 1), (0, 1)))
        words += [_with_twins(even), across[:64], [(v, u) for u, v in across[:64]], _with_twins(odd)]
    return words


_FREQUENCIES = _words_of_frequencies()
_U, _V = np.array(_FREQUENCIES).reshape(-1, 2).T
_k = np.arange(GREY)
_ROWS = (np.sqrt(2 / GREY) * np.cos(np.pi * (2 * _k[None] + 1) * _k[:, None] / (2 * GREY))).astype(np.float32)
_ROWS = _ROWS[: max(_U.max(), _V.max()) + 1]
# Where each bit of a picture's look stands in that of the picture with its axes exchanged.
_NUMBER = {frequency: number for number, frequency in enumerate(f for word in _FREQUENCIES for f in word)}
_EXCHANGED = np.array([_NUMBER[v, u] for u, v in zip(_U.tolist(), _V.tolist(), strict=True)])


def looks_of(greys: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the looks of grey pictures.

    Args:
        greys: N x 64 x 64.

    Returns:
        N x 8 words; and N, whether a picture has enough in it to be told from others by its look.
    """
    frequencies = (_ROWS @ greys.astype(np.float32) @ _ROWS.T)[:, _U, _V]
    counting = (np.abs(frequencies[:, :BITS]) > _COUNTS).sum(axis=1)
    return _packed(frequencies > 0), counting >= _ENOUGH


def exchanged(looks: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the looks of N pictures with their axes exchanged: mirrored, those of quarter turns."""
    return _packed(np.unpackbits(looks.view(np.uint8), axis=1)[:, _EXCHANGED])


def distances(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return in how many bits N pairs of looks differ, in the best of the four ways to mirror and flip a picture.

    Args:
        a, b: N x 8.

    Returns:
        N distances of the hashes, 0 to 256, and N of the details under the same mirroring.
    """
    differ = np.bitwise_count(a ^ b).astype(np.int64).T
    across, down, both = (_mirrored(differ, inverted) for inverted in ((1, 3), (2, 3), (1, 2)))
    ways = np.stack([differ.reshape(2, HASH_WORDS, -1).sum(axis=1), across, down, both])
    best = ways[:, 0].argmin(axis=0)
    chosen = np.take_along_axis(ways, best[None, None], axis=0)[0]
    return chosen[0], chosen[1]


def _mirrored(differ: NDArray[np.int64], inverted: tuple[int, int]) -> NDArray[np.int64]:
    """Sum up the differing bits of hash and detail when two words of each are inverted."""
    words = differ.reshape(2, HASH_WORDS, -1).copy()
    words[:, inverted] = 64 - words[:, inverted]
    total: NDArray[np.int64] = words.sum(axis=1)
    return total


def _packed(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64).reshape(len(bits), WORDS)
