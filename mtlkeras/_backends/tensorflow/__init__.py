"""TensorFlow: each `tf.distribute` replica sees its part of the batch."""

from mtlkeras._backends.tensorflow.checks import check_at_most, check_same_length
from mtlkeras._backends.tensorflow.containers import container
from mtlkeras._backends.tensorflow.input_gradients import input_gradients
from mtlkeras._backends.tensorflow.loss_gradients import loss_gradients
from mtlkeras._backends.tensorflow.products import SOLVER_DTYPE, matmul, solve_positive
from mtlkeras._backends.tensorflow.replicas import is_chief, make_strategy, replica_count, sum_over_replicas
from mtlkeras._backends.tensorflow.scan import scan
from mtlkeras._backends.tensorflow.task_gradients import task_gradients
from mtlkeras._backends.tensorflow.tracing import compiled, traced_once
from mtlkeras._backends.tensorflow.trainer import Trainer

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
