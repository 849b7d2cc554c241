"""The verdict of the PCGrad and CAGrad papers on their toy problem."""

import numpy as np
import pytest

from benchmarks.toy_problem import STARTS, above_front, descend, losses_and_gradients, weigher

pytestmark = pytest.mark.tensorflow


def test_gradients_of_the_toy_problem():
    for point in ((-8.5, 7.5), (1.0, 2.0), (3.0, -4.0)):
        _, gradients = losses_and_gradients(np.array(point))
        steps = 1e-6 * np.eye(2)
        rises = [
            losses_and_gradients(np.array(point) + s)[0] - losses_and_gradients(np.array(point) - s)[0]
            for s in steps
        ]
        np.testing.assert_allclose(gradients, np.array(rises).T / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_plain_sum_is_stuck_where_pcgrad_goes_on():
    plain, surgery = (descend(weigher(name), STARTS[0], 16000)[-1] for name in (None, "PCGrad"))
    assert plain[3] > 3.0  # The second objective; its minimum is -20.
    assert surgery[3] < -10.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PCGrad", "CAGrad", "MGDA", "NashMTL"])
def test_published_methods_reach_the_front_from_the_hard_start(name):
    path = descend(weigher(name), STARTS[0], 35000)
    assert above_front(path[-1, :2]) < 0.5
