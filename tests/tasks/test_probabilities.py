import numpy as np
import scipy.special

from vlmt_cli.tasks.probabilities import sigmoid, softmax


def test_they_are_scipys_at_every_size_without_a_warning():
    logits = np.concatenate([np.linspace(-200, 200, 999), np.random.default_rng(0).normal(0, 9, 999)])
    for kind, close in ((np.float32, 1e-5), (np.float64, 1e-12)):
        rows = logits.astype(kind).reshape(-1, 6)
        np.testing.assert_allclose(sigmoid(rows), scipy.special.expit(rows), rtol=close, atol=1e-38)
        np.testing.assert_allclose(softmax(rows), scipy.special.softmax(rows, axis=1), rtol=close, atol=1e-38)
        assert sigmoid(rows).dtype == softmax(rows).dtype == kind
