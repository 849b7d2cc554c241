"""How a training step comes by what passes a model's `GradientFork`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras import ops


class WatchedFork:
    """Cuts gradients at the fork, so that those behind and those before it can be taken one by one.

    It is no Keras object: saving walks through everything of Keras that a layer knows.
    """

    def __init__(self) -> None:
        self._passing = threading.local()  # The replicas of tf.distribute trace in threads of their own.

    @contextlib.contextmanager
    def watch(self, watch: Callable[[Any], None]) -> Iterator[dict[str, Any]]:
        """Opens a context in which a forward pass is cut.

        Args:
            watch: Called with each task's copy of what the trunk gives, before it is used.

        Returns:
            A context with a dict that has after a forward pass `given`, what the trunk gave, `copies` by
            task, and `readers`, the tasks that read each tensor in `given`.
        """
        found: dict[str, Any] = {}
        self._passing.seen = found, watch
        try:
            yield found
        finally:
            self._passing.seen = None

    def fork(self, tensors: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
        """Returns a copy for each task of what it reads; arguments as for `RepresentationBalancing`."""
        seen = getattr(self._passing, "seen", None)
        if seen is None:  # In a training loop of the caller's own.
            return {task: tensors[key] for task, key in keys.items()}
        found, watch = seen
        copies = {task: ops.stop_gradient(tensors[key]) for task, key in keys.items()}
        for copy in copies.values():
            watch(copy)
        readers = [[task for task, key in keys.items() if key == name] for name in tensors]
        found.update(given=list(tensors.values()), copies=copies, readers=readers)
        return copies
