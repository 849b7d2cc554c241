"""The bases of all balancers."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import NamedTensors, Seed, Tensor
from mtlkeras.balancers._guard import is_sound, solved
from mtlkeras.specs import Spec


class Problem(NamedTuple):
    """What a balancer knows in one step; float32 tensors, K tasks.

    Args:
        losses: Each task's mean loss over the whole batch, shape `(K,)`.
        present: 1 where a task has labels in the batch, else 0, shape `(K,)`.
        preference: What the user prefers, shape `(K,)`; sums to 1 over the tasks.
        memory: What the balancer remembers, tensors by the names of its `memory`.
        counts: Number of labelled examples of each task in the batch, shape `(K,)`.
        noise: What its `draw` gave in this step, or `None`.
        gram: Inner products of the task gradients over the whole batch, shape `(K, K)`; zero
            in the rows and columns of absent tasks. `None` for a balancer by losses.
    """

    losses: Any
    present: Any
    preference: Any
    memory: Mapping[str, Any]
    counts: Any = None
    noise: Any = None
    gram: Any = None

    @property
    def count(self) -> Any:
        """Number of present tasks, at least 1."""
        return ops.maximum(ops.sum(self.present), 1.0)


class Weighed(NamedTuple):
    """What a balancer by losses answers.

    Args:
        objective: The scalar that the method minimises, as a function of the losses and of what
            the balancer trains.
        weights: Its derivative by each task's loss, shape `(K,)`.
        memory: What to remember, by name; names left out stay as they are.
    """

    objective: Any
    weights: Any
    memory: Mapping[str, Any] = {}  # noqa: RUF012


class Balancer(Spec, abc.ABC):
    """Decides how much each task weighs in a training step.

    A balancer is a value: what it remembers between steps is kept by the model that is compiled
    with it, and saved, restored and copied to replicas with the model's weights.
    """

    # Whether there are weights to log: of what only looks at the tasks there are none.
    weighs: ClassVar[bool] = True

    def memory(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        """Returns what is remembered between steps, by name, as it is before the first one.

        Args:
            heads: The tasks' heads, in order; `None` for a task whose head is not known.
        """
        return {}

    def trained(self, heads: Sequence[Any]) -> dict[str, np.ndarray]:
        """Returns what the optimizer trains, by name, as it is at first."""
        return {}

    def draw(self, count: int, seed: Seed) -> Tensor | None:
        """Returns the random numbers that one step for `count` tasks needs, or `None`."""
        return None

    def epoch_memory(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what changes in the memory as an epoch begins; arrays by name."""
        return {}

    def preferences(self, tasks: Sequence[str]) -> np.ndarray:
        """Returns the share of each task in what the user prefers, in the order of `tasks`.

        Raises:
            ValueError: If the balancer names a task that is not there, or gives another
                number of preferences.
        """
        given = getattr(self, "preference", None)
        shares = np.ones(len(tasks)) if given is None else by_task(self, "preference", given, tasks, 0.0)
        return (shares / shares.sum()).astype("float32")

    def _problem(self, count: int, losses: Tensor | None, gram: Tensor | None, seed: Seed) -> Problem:
        heads = [None] * count
        present = ops.ones((count,), "float32")
        return Problem(
            losses=present if losses is None else ops.convert_to_tensor(losses, "float32"),
            present=present,
            preference=ops.convert_to_tensor(self.preferences([f"task_{i}" for i in range(count)])),
            memory={
                name: ops.convert_to_tensor(value)
                for name, value in {**self.memory(heads), **self.trained(heads)}.items()
            },
            counts=present,
            noise=None if seed is None else self.draw(count, seed),
            gram=gram,
        )


class LossBalancer(Balancer):
    """A balancer that looks at the losses only, so that a step costs no more than a plain one.

    A subclass defines `weigh`; it may remember, draw and train, see `Balancer`.
    """

    @abc.abstractmethod
    def weigh(self, problem: Problem) -> Weighed:
        """Returns objective, weights and memory of one step."""

    def after_step(self, problem: Problem) -> Mapping[str, Any]:
        """Returns what changes in the memory once the losses of the batch after the update are
        known; only asked of balancers with a true `second_pass`."""
        return {}

    def weights(self, losses: Tensor, seed: Seed = None) -> Tensor:
        """Returns the weights that the first step gives for these losses.

        Args:
            losses: One loss per task, shape `(K,)`.
            seed: Seed of methods that draw: a whole number or a `keras.random.SeedGenerator`.
        """
        return self._first(losses, seed).weights

    def objective(self, losses: Tensor, seed: Seed = None) -> Tensor:
        """Returns the scalar that the first step minimises for these losses; as `weights`."""
        return self._first(losses, seed).objective

    def _first(self, losses: Tensor, seed: Seed) -> Weighed:
        losses = ops.convert_to_tensor(losses, "float32")
        return self.weigh(self._problem(losses.shape[0], losses, None, seed))


LEVELS = ("representation", "parameters")


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class GradientBalancer(Balancer):
    """A balancer that looks at the tasks' gradients.

    The update of what the tasks share is the weighted sum of their gradients, except where a
    method says otherwise; the heads follow their own task's gradient unweighted.

    Args:
        at: `"representation"`: gradients of what the trunk hands to the heads, which costs
            hardly more than a plain step (one backward pass through the trunk).
            `"parameters"`: exact gradients of all shared parameters, one backward pass a task.
        layers: With `at="parameters"`: names of the shared layers (as in
            `model.get_layer` or `model.trunk.get_layer`) whose parameters' gradients count;
            `None` for all that are shared.
        every: Weights are computed anew every so many steps, and kept in between.
        gram_fraction: The share of each batch that the inner products are taken from.
        one_task_each: With `at="parameters"` on TensorFlow: every example has labels of one task
            at most, as where data sets are mixed. Each batch is then taken apart by task, so
            that the gradients of K tasks take one pass.
        watch: Whether `fit` logs the means over an epoch's steps of `<task>_<task>_cosine`, and of
            `<task>_gradient_share`, the task's part in the sum of the gradients' norms.
    """

    at: str = "representation"
    layers: tuple[str, ...] | None = None
    every: int = 1
    gram_fraction: float = 1.0
    one_task_each: bool = False
    watch: bool = False

    def validate(self) -> None:
        name = type(self).__name__
        if self.at not in LEVELS:
            raise unknown_name("level", self.at, LEVELS, f"at= of {name}")
        if self.layers is not None and self.at != "parameters":
            raise ValueError(f"{name}: layers= needs at='parameters'; received at='{self.at}'.")
        if self.layers is not None and not self.layers:
            raise ValueError(f"{name}: layers= names no layer.")
        if not isinstance(self.watch, bool):
            raise ValueError(f"{name}: watch must be True or False; received {self.watch!r}.")
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"{name}: every must be a whole number above zero; received {self.every!r}.")
        whole = self.at == "parameters" and self.layers is None and self.gram_fraction == 1
        if self.one_task_each and not whole:
            raise ValueError(
                f"{name}: one_task_each=True needs at='parameters', all layers and whole batches."
            )
        if not 0 < self.gram_fraction <= 1:
            raise ValueError(f"{name}: gram_fraction must be in (0, 1]; received {self.gram_fraction}.")

    def _first_weights(self, products: Tensor, losses: Tensor | None, seed: Seed) -> Tensor:
        products = ops.cast(ops.convert_to_tensor(products), "float32")
        problem = self._problem(products.shape[-1], losses, products, seed)
        sound = is_sound(problem)
        return ops.where(sound, solved(self, problem, sound)[0], float("nan"))


class GramBalancer(GradientBalancer):
    """A balancer that is a function of the inner products of the task gradients.

    A subclass defines `solve`; it may remember and draw, see `Balancer`.
    """

    @abc.abstractmethod
    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        """Returns the weights, shape `(K,)`, and what changes in the memory."""

    def weights(self, gram: Tensor, losses: Tensor | None = None, seed: Seed = None) -> Tensor:
        """Returns the weights for a Gram matrix, of methods with a memory those of the first step.

        Args:
            gram: Inner products of the task gradients, shape `(K, K)`, symmetric.
            losses: One loss per task, shape `(K,)`, for methods that look at them.
            seed: Seed of methods that draw: a whole number or a `keras.random.SeedGenerator`.
                Without one they take the tasks in order.

        Returns:
            A tensor of shape `(K,)`; NaN where the matrix or a loss is not finite.
        """
        return self._first_weights(gram, losses, seed)


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class PairBalancer(GradientBalancer):
    """A balancer that needs the gradients of two independent batches in a step.

    The even and the odd rows of each batch are the two; the gradients of the whole batch, which
    the weights are for, are their means by labelled examples. The arguments of
    `GradientBalancer` are there but have one value: examples of two batches have no common
    representation.

    A subclass defines `solve`, in which `problem.gram` holds the inner products of the first
    half's gradients (rows) with the second half's (columns); it may remember, see `Balancer`.
    """

    at: str = "parameters"

    def validate(self) -> None:
        super().validate()
        _check_whole(self)
        if self.one_task_each:
            raise ValueError(f"{type(self).__name__} takes batches apart in its own way: no one_task_each.")

    @abc.abstractmethod
    def solve(self, problem: Problem) -> tuple[Tensor, NamedTensors]:
        """Returns the weights, shape `(K,)`, and what changes in the memory."""

    def weights(self, products: Tensor, losses: Tensor | None = None) -> Tensor:
        """Returns the weights of the first step.

        Args:
            products: Inner products of the first half's task gradients (rows) with the second
                half's (columns), shape `(K, K)`.
            losses: One loss per task, shape `(K,)`, for methods that look at them.

        Returns:
            A tensor of shape `(K,)`; NaN where a product or a loss is not finite.
        """
        return self._first_weights(products, losses, None)


class Combined(NamedTuple):
    """What a balancer of gradient elements answers.

    Args:
        weights: Weight of each task, for the logs, shape `(K,)`.
        updates: What takes the place of the sum of the gradients, by variable, shapes `(n,)`.
        memory: What changes in the memory, by name.
        buffers: The new values of what is kept for each gradient element, by variable.
    """

    weights: Any
    updates: list[Any]
    memory: Mapping[str, Any] = {}  # noqa: RUF012
    buffers: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class ElementBalancer(GradientBalancer):
    """A balancer that needs the elements of the gradients, of all shared parameters.

    A subclass defines `combine`; it may remember and draw, see `Balancer`. The arguments of
    `GradientBalancer` are there but have one value: such methods keep gradients from step to
    step, which the elements of a representation, of other examples each time, do not allow.
    """

    # Whether a value is kept for each task and gradient element.
    buffered: ClassVar[bool] = False

    at: str = "parameters"

    def validate(self) -> None:
        super().validate()
        _check_whole(self)

    def draw_elements(self, size: int, seed: Seed) -> Tensor | None:
        """Returns the random numbers that a step for so many shared parameters needs, or `None`."""
        return None

    @abc.abstractmethod
    def combine(self, problem: Problem, rows: Sequence[Any], buffers: Sequence[Any]) -> Combined:
        """Returns the answer of one step.

        Args:
            problem: The step's problem; `noise` is what `draw_elements` gave.
            rows: The task gradients of the whole batch by variable, shapes `(K, n)`; zero in
                rows of absent tasks.
            buffers: What is kept, by variable, shapes `(K, n)`; zero at first.
        """


def _check_whole(balancer: GradientBalancer) -> None:
    """Raises `ValueError` unless a balancer looks at all shared parameters in every step."""
    fields = balancer.at, balancer.layers, balancer.every, balancer.gram_fraction
    if fields != ("parameters", None, 1, 1.0):
        raise ValueError(
            f"{type(balancer).__name__} needs all shared parameters' gradients in every step: "
            "at='parameters', without layers=, every= and gram_fraction=."
        )
    if balancer.watch:
        raise ValueError(
            f"{type(balancer).__name__} does not look at inner products of whole batches' gradients: no "
            "watch=True. Pass mtlkeras.analysis.GradientCosines to fit."
        )


def by_task(balancer: Any, field: str, given: Any, tasks: Sequence[str], missing: float) -> np.ndarray:
    """Returns a field given by task, or in the order of the tasks, as a checked array."""
    owner = f"{field}= of {type(balancer).__name__}"
    if isinstance(given, Mapping):
        for task in given:
            if task not in tasks:
                raise unknown_name("task", task, tasks, owner)
        values = np.array([given.get(task, missing) for task in tasks], "float64")
    else:
        values = np.asarray(given, "float64")
    if values.shape != (len(tasks),):
        raise ValueError(f"{owner}: expected one number for each of {', '.join(tasks)}; received {given!r}.")
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError(
            f"{owner}: expected finite numbers, not negative and not all zero; received {given!r}."
        )
    return values


def above_zero(balancer: Any, *fields: str) -> None:
    """Raises `ValueError` for the first field that is not a finite number above zero."""
    for field in fields:
        value = getattr(balancer, field)
        if not isinstance(value, (int, float)) or not np.isfinite(value) or value <= 0:
            raise ValueError(f"{type(balancer).__name__}: {field} must be above zero; received {value!r}.")


def at_least_zero(balancer: Any, *fields: str) -> None:
    """Raises `ValueError` for the first field that is not a finite number of at least zero."""
    for field in fields:
        value = getattr(balancer, field)
        if not isinstance(value, (int, float)) or not np.isfinite(value) or value < 0:
            raise ValueError(
                f"{type(balancer).__name__}: {field} must not be below zero; received {value!r}."
            )


def normed_pair(products: Tensor) -> Tensor:
    """Returns inner products of two halves' gradients divided by the largest size among them."""
    return ops.divide_no_nan(products, ops.max(ops.abs(products)))


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Returns the softmax over the present tasks; zero for the others."""
    shown = ops.where(present > 0, scores, -1e30)
    # Written out, since Keras warns of a softmax over one task.
    rates = ops.exp(shown - ops.max(shown)) * present
    return rates / ops.maximum(ops.sum(rates), 1e-30)
