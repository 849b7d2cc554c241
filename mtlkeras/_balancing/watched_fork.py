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

    `given` are the tensors that the trunk gave, `readers` the tasks that read each of them, and `copies`
    those that went on, by task. The others are of the whole batch, from the joint loss: the tasks' `losses`
    on this replica, which of them are `present`, and the balancer's random `noise`.
    """

    given: list[Any] = dataclasses.field(default_factory=list)
    readers: list[list[str]] = dataclasses.field(default_factory=list)
    copies: dict[str, Any] = dataclasses.field(default_factory=dict)
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
    def cutting(self, copy: Callable[[str, Any], Any]) -> Iterator[Cut]:
        """Opens a context in which forward passes are cut.

        Args:
            copy: Takes a task and what it reads of the trunk; returns what goes on in its place.
        """
        cut = Cut()
        self._passing.cut, self._passing.copy = cut, copy
        try:
            yield cut
        finally:
            self._passing.cut = None

    def fork(self, tensors: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
        """Returns a copy for each task of what it reads.

        Args:
            tensors: What the trunk gives, by key; together they are the representation.
            keys: The key that each task reads.
        """
        cut = self.cut
        if cut is None:
            return {task: tensors[key] for task, key in keys.items()}
        cut.copies = {task: self._passing.copy(task, tensors[key]) for task, key in keys.items()}
        cut.given = list(tensors.values())
        cut.readers = [[task for task, key in keys.items() if key == name] for name in tensors]
        return cut.copies
