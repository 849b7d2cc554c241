"""How a training step cuts the forward pass at a model's `GradientFork`."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any


@dataclasses.dataclass
class Cut:
    """What passed the fork in a forward pass, and what the loss behind it knows.

    `given` are the tensors that the trunk gave, `copies` by task a list of those that went on, and `readers`
    for each of the first its places among the second, as pairs of task and index. The others are of the
    whole batch, from the joint loss: the tasks' `losses` on this replica, which of them are `present`, and
    the balancer's random `noise`.
    """

    given: list[Any] = dataclasses.field(default_factory=list)
    readers: list[list[tuple[str, int]]] = dataclasses.field(default_factory=list)
    copies: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    losses: Any = None
    present: Any = None
    noise: Any = None


class WatchedFork:
    """Cuts gradients at the fork, so that those behind and those before it can be taken one by one.

    It is no Keras object: saving walks through everything of Keras that a layer knows.
    """

    def __init__(self) -> None:
        self._passing = threading.local()  # The replicas of tf.distribute trace in threads of their own.

    @property
    def cut(self) -> Cut | None:
        """The cut that is made in this thread; `None` in a training loop of the caller's own."""
        return getattr(self._passing, "cut", None)

    @contextlib.contextmanager
    def cutting(self, copy: Callable[[str, int, Any], Any]) -> Iterator[Cut]:
        """Opens a context in which forward passes are cut.

        Args:
            copy: Takes a task, the number of a tensor among those it reads, and the tensor; returns what
                goes on in its place.
        """
        cut = Cut()
        self._passing.cut, self._passing.copy = cut, copy
        try:
            yield cut
        finally:
            self._passing.cut = None

    def fork(self, tensors: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a copy for each task of what it reads, a tensor or a list of them.

        Args:
            tensors: What the trunk gives, by key; together they are the representation.
            keys: The key that each task reads, or a list of keys.
        """
        cut, copy = self.cut, lambda task, place, tensor: tensor
        if cut is not None:
            copy = self._passing.copy
        lists = {task: [key] if isinstance(key, str) else list(key) for task, key in keys.items()}
        copies = {
            task: [copy(task, place, tensors[key]) for place, key in enumerate(of_task)]
            for task, of_task in lists.items()
        }
        if cut is not None:
            cut.copies, cut.given = copies, list(tensors.values())
            places = [(task, n, key) for task, found in lists.items() for n, key in enumerate(found)]
            cut.readers = [[(task, n) for task, n, key in places if key == name] for name in tensors]
        return {task: copies[task][0] if isinstance(key, str) else copies[task] for task, key in keys.items()}
