"""JAX: a step sees the whole batch."""

from mtlkeras._backends.jax.checks import check_at_most, check_same_length
from mtlkeras._backends.jax.containers import container
from mtlkeras._backends.jax.input_gradients import input_gradients
from mtlkeras._backends.jax.loss_gradients import loss_gradients
from mtlkeras._backends.jax.products import SOLVER_DTYPE, matmul, solve_positive
from mtlkeras._backends.jax.replicas import is_chief, make_strategy, replica_count, sum_over_replicas
from mtlkeras._backends.jax.scan import scan
from mtlkeras._backends.jax.task_gradients import task_gradients
from mtlkeras._backends.jax.tracing import compiled, traced_once
from mtlkeras._backends.jax.trainer import Trainer

__all__ = [
    "SOLVER_DTYPE",
    "Trainer",
    "check_at_most",
    "check_same_length",
    "compiled",
    "container",
    "input_gradients",
    "is_chief",
    "loss_gradients",
    "make_strategy",
    "matmul",
    "replica_count",
    "scan",
    "solve_positive",
    "sum_over_replicas",
    "task_gradients",
    "traced_once",
]
