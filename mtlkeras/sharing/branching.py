"""Branching: the trunk splits into one for each group of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.sharing._lanes import ended_lanes, lanes
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.specs import spec
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks.base import Trunk


@spec
class Branching(Sharing):
    """All tasks share the trunk up to a stage; behind it each group of tasks has a copy of the rest.

    Vandenhende et al. 2020, Branched Multi-Task Networks: Deciding What Layers To Share, with one split. The
    groups are given, by hand or as an analysis found them; with `at=None` each has a whole trunk (Standley
    et al. 2020, Which Tasks Should Be Learned Together in Multi-task Learning?).

    In the trunk the layers of the shared stages have the names that they have without branches, and the
    models `branch_<number>_<stage>` are the stages of the groups, in their order.

    Args:
        at: Name of the stage behind which the trunk splits; `None` to share nothing between groups.
        groups: Tuples of tasks, each task in one of them; `None` for a group a task.

    Raises:
        ValueError: If a task is in two groups; when called, if a group names an unknown task, a task is in
            none, the trunk is one model, of which there are no copies, or `at` is none of its stages or the
            last, behind which there is nothing to copy.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(28, 28, 1),
        trunk=mtlkeras.trunks.ResNet(depth=8, width=8),
        heads={task: mtlkeras.heads.Regression() for task in ("a", "b", "c")},
        sharing=mtlkeras.sharing.Branching(at="stage_1", groups=(("a", "b"), ("c",))),
    )
    ```
    """

    at: str | None = None
    groups: tuple[tuple[str, ...], ...] | None = None

    def validate(self) -> None:
        if self.groups is None:
            return
        if not all(self.groups) or not self.groups:
            raise ValueError(f"Branching: groups must hold tasks, each of them; received {self.groups!r}.")
        named = [task for group in self.groups for task in group]
        for task in named:
            if named.count(task) > 1:
                raise ValueError(
                    f"Branching: groups name the task '{task}' {named.count(task)} times; each task is in "
                    "one group."
                )

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        groups = self._groups(heads)
        inner = as_inner(inputs)
        names = [f"branch_{number}" for number in range(1, len(groups) + 1)]
        branches = lanes("Branching", trunk, inner, names)
        stages = branches[0].stages
        count = self._shared_stages([stage.name for stage in stages], trunk)
        flow = branches[0].flow
        for stage in stages[:count]:
            flow = stage(flow)
        for branch in branches:
            branch.flow = flow
            for place in range(count, len(stages)):
                branch.run(place)
        ends = ended_lanes(list(zip(branches, groups, strict=True)), heads)
        return self.shared(trunk, inner, inputs, *ends)

    def _groups(self, heads: Mapping[str, Head]) -> Sequence[tuple[str, ...]]:
        """Returns the groups, after a check against the tasks that there are."""
        if self.groups is None:
            return [(task,) for task in heads]
        named = [task for group in self.groups for task in group]
        for task in named:
            if task not in heads:
                raise unknown_name("task", task, heads, "Branching: groups")
        for task in heads:
            if task not in named:
                raise ValueError(
                    f"Branching: the task '{task}' is in none of the groups {self.groups!r}; each task is in "
                    "one."
                )
        return self.groups

    def _shared_stages(self, stages: list[str], trunk: Any) -> int:
        """Returns how many of the stages are shared by all."""
        if self.at is None:
            return 0
        if self.at not in stages:
            raise unknown_name("stage", self.at, stages, f"Branching: at, of {trunk!r}")
        if self.at == stages[-1]:
            raise ValueError(
                f"Branching: at must name a stage with others behind it; '{self.at}' is the last of "
                f"{trunk!r}. Stages to split behind: {', '.join(stages[:-1]) or 'none'}. With one trunk for "
                "all tasks this is HardSharing."
            )
        return stages.index(self.at) + 1
