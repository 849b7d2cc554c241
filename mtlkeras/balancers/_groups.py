"""Numbers in groups that are as alike as can be."""

from __future__ import annotations

import numpy as np
from keras import ops

from mtlkeras._types import Tensor

_NEVER = 1e30


def group_means(values: Tensor, present: Tensor, groups: int) -> Tensor:
    """Returns the mean of each value's group, where K-means in one dimension ends at best.

    The values fall into at most so many groups that the sum of squared distances to the groups'
    means is least. The best groups are runs of the sorted values, so that the least sum is found
    exactly, by dynamic programming over where the last group of each prefix begins.

    Args:
        values: Finite numbers, not negative and of a size near 1, shape `(K,)`.
        present: 1 for those that count, else 0, shape `(K,)`; what does not count is in no
            group, and its mean means nothing.
        groups: How many groups at most, at least 1.
    """
    count = values.shape[0]
    order = ops.argsort(ops.where(present > 0, values, _NEVER))
    values, present = ops.take(values, order), ops.take(present, order)
    means, costs = _runs(values, present, count)
    places = np.arange(count)
    # By the end of each prefix: the least sum, and the mean of the group of each place.
    least = costs[0]
    fitted = ops.broadcast_to(ops.expand_dims(means[0], -1), (count, count))
    for _ in range(min(groups, count) - 1):
        before = ops.concatenate([ops.zeros((1,), "float32"), least[:-1]])
        sums = ops.expand_dims(before, -1) + costs
        begins = ops.argmin(sums, axis=0)
        least = ops.min(sums, axis=0)
        earlier = ops.take(fitted, ops.maximum(begins - 1, 0), axis=0)
        last = ops.sum(ops.one_hot(begins, count, axis=0) * means, axis=0)
        in_earlier = places[None] < ops.expand_dims(ops.cast(begins, "int32"), -1)
        fitted = ops.where(in_earlier, earlier, ops.expand_dims(last, -1))
    return ops.take(fitted[-1], ops.argsort(order))


def _runs(values: Tensor, present: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns mean and sum of squared distances to it of each run of values, shapes `(K, K)`.

    A run goes from the first index to the second, both included; one that ends before it begins
    costs more than any other.
    """
    begin, end, place = np.ogrid[:count, :count, :count]
    inside = np.float32((begin <= place) & (place <= end))
    members = inside * present
    means = ops.sum(members * values, axis=-1) / ops.maximum(ops.sum(members, axis=-1), 1.0)
    distances = values - ops.expand_dims(means, -1)
    costs = ops.sum(members * distances * distances, axis=-1)
    backwards = np.tri(count, k=-1, dtype=bool)
    return means, ops.where(backwards, _NEVER, costs)
