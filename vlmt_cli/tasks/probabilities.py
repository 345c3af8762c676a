"""Logits to probabilities, in numpy: importing scipy for these takes as long as numpy itself does."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits_BO: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the softmax of each row, (B, O)."""
    powers = np.exp(logits_BO - logits_BO.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return 1 / (1 + exp(-x)), which neither overflows nor rounds small probabilities to zero."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))
