"""What does not go with training on several replicas, told before the first step."""

from __future__ import annotations

from typing import Any

from mtlkeras._backends.tensorflow.multi_worker import is_multi_worker
from mtlkeras._keras_private import optimizer_strategy, reduces_on_one_device


def check_training(model: Any) -> None:
    """Checks that a compiled model can be trained by several replicas.

    Raises:
        ValueError: If its optimizer or a setting does not go with its strategy.
    """
    _check_optimizer(model)
    if model.skip_non_finite:
        raise ValueError("skip_non_finite does not work under several replicas: leave it out.")
    strategy = model.distribute_strategy
    on_cpus = all("CPU" in device for device in strategy.extended.worker_devices)
    if model.jit_compile and on_cpus:
        raise ValueError("jit_compile=True does not work with several CPU replicas: leave it out.")
    if model.steps_per_execution > 1 and not _runs_several_steps(strategy, on_cpus):
        raise ValueError(
            f"steps_per_execution={model.steps_per_execution} does not work under this strategy: take 1. On "
            "the CPUs of one machine it works under mtlkeras.training.strategy('mirrored')."
        )


def _check_optimizer(model: Any) -> None:
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer is None:
        return
    if optimizer_strategy(optimizer) is not model.distribute_strategy:
        raise ValueError(
            "The optimizer was made outside of the strategy's scope. Make optimizer and model inside of it, "
            "or name the optimizer, such as compile('adam')."
        )
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            "gradient_accumulation_steps does not work under several replicas. Leave it out, and take larger "
            "batches: each replica computes its part of a batch only."
        )


def _runs_several_steps(strategy: Any, on_cpus: bool) -> bool:
    if is_multi_worker(strategy):
        return False
    return not on_cpus or reduces_on_one_device(strategy)
