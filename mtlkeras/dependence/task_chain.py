"""A Markov chain, or tree, over the tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras._types import Labels
from mtlkeras.dependence._chow_liu import chow_liu_tree, label_columns
from mtlkeras.dependence._layout import depth_first, in_a_row
from mtlkeras.dependence._links import Link, all_links, named_links, task_of
from mtlkeras.dependence.base import DEPENDENCE, Dependence
from mtlkeras.dependence.chained_scores import ChainedScores
from mtlkeras.heads import Head
from mtlkeras.specs import spec


@spec
class TaskChain(Dependence):
    """Makes the answers to tasks a Markov chain, or a tree: each depends on its neighbours.

    With s_k the scores of task k's head and T_k a table of pairwise scores of k and its neighbour before it,
    p(k), which starts with zeros,

        p(y_1 ... y_K | x) = exp(sum_k s_k[y_k] + sum_(k>1) T_k[y_p(k), y_k]) / Z(x),

    a conditional random field (Lafferty et al. 2001) whose variables are the tasks. The outputs are the
    marginals p(y_k | x). Task k's loss is -log p(y_k | y_1 ... y_(k-1), x) for the labels that are known,
    with those that are not summed out; the losses of an example add up to -log p(known labels | x). A label
    whose sample weight is zero has no loss, and is known to the others. A row of probabilities in place of a
    label is taken for uncertain evidence q, with the likelihood sum_c q_c p(c).

    A *link* is the answer of a `mtlkeras.heads.Classification` or `Ordinal`, or one label of a `MultiLabel`,
    named `"task/label"` by the label's name or number: a classifier chain (Read et al. 2009) with a joint
    likelihood. The loss of a `MultiLabel` task is then the sum over an example's labels, where it is their
    mean without a chain; that of `Ordinal` is -log of the probability of the class. Labels of a task of which
    only others are named are independent.

    `model.predict_labels(x, joint=True)` gives the most probable answers together, which is what a share of
    wholly right examples asks for; `known={"b": labels}` gives answers to the other tasks where some are
    known. Without these each task is answered by itself, which is what an accuracy per task asks for.

    Args:
        order: The links of a chain, each beside those that it depends on; a `MultiLabel` task by its name is
            all of its labels in their order. Tasks that are not named are as without a chain.
        tree: In place of an order, the pairs of links that depend on each other. The link named first is the
            root, and labels are known to the others depth first from there. Trees side by side are
            independent.
        conditional: Whether the tables are functions of the features as well: to each is added a linear map,
            which starts with zeros, of the vectors that the tasks' heads read.
        directed: Whether the chain is locally normalised, p(y_k | y_p(k), x) = softmax(s_k + T_k[y_p(k)]), as
            a maximum-entropy Markov model (McCallum et al. 2000) is: then later links tell nothing of earlier
            ones whose labels are missing.
        l2: L2 factor on the tables and their linear maps, `l2 * sum(table ** 2)`; at zero links are
            independent.

    Raises:
        ValueError: If there is neither an order nor a tree, or both; if an order names a link twice, a tree
            has a circle, or `l2` is negative; when a model is built, for an unknown task or label, a head
            whose answers are not classes, or one with `label_smoothing` or `focal_gamma`.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(),
        heads={"domain": mtlkeras.heads.Classification(4), "intent": mtlkeras.heads.Classification(9)},
        dependence=mtlkeras.dependence.TaskChain(("domain", "intent")),
    )
    ```
    """

    order: tuple[str, ...] = ()
    tree: tuple[tuple[str, str], ...] = ()
    conditional: bool = False
    directed: bool = False
    l2: float = 0.0

    def validate(self) -> None:
        if bool(self.order) == bool(self.tree):
            raise ValueError(
                f"TaskChain: give the links of a chain as order=, or the pairs of a tree as tree=; received "
                f"order={self.order!r}, tree={self.tree!r}."
            )
        if not 0 <= self.l2 < math.inf:
            raise ValueError(f"TaskChain: l2 must be finite and not negative; received {self.l2}.")
        _check_once(self.order)
        depth_first(self.tree)

    @classmethod
    def from_labels(cls, y: Labels, root: str | None = None, **fields: Any) -> TaskChain:
        """Returns the tree of tasks whose labels tell most of each other (Chow and Liu 1968).

        Each two links are compared by the mutual information of those examples that have both labels.

        Args:
            y: Labels by task, `(examples,)`, or `(examples, labels)` for a `MultiLabel` task, whose labels
                become links of their own. Missing ones are `mtlkeras.MISSING`, NaN or `None`.
            root: The link to start at, by default the first.
            **fields: Other fields of `TaskChain`.

        Raises:
            ValueError: If the labels are no classes, differ in length, or make fewer than two links, or the
                root is none of them.

        Example:

        >>> y = {"a": [0, 0, 1, 1], "b": [0, 1, 0, 1], "c": [1, 1, 0, 0]}
        >>> mtlkeras.dependence.TaskChain.from_labels(y).tree
        (('a', 'c'), ('a', 'b'))
        """
        columns = label_columns(y)
        if len(columns) < 2:
            raise ValueError(
                f"TaskChain.from_labels: expected labels of at least two links; received those of "
                f"{', '.join(map(repr, columns))}."
            )
        root = next(iter(columns)) if root is None else root
        if root not in columns:
            raise unknown_name("link", root, columns, "root= of TaskChain.from_labels")
        return cls(tree=tuple(chow_liu_tree(columns, root)), **fields)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        pairs = self.tree or zip(self.order[:-1], self.order[1:], strict=True)
        tasks = [(task_of(one), task_of(other)) for one, other in pairs]
        return tuple(dict.fromkeys(pair for pair in tasks if pair[0] != pair[1]))

    @property
    def reads_features(self) -> bool:
        return self.conditional

    def layer(self, heads: Mapping[str, Head]) -> ChainedScores:
        links, parents = self._tree_of(heads) if self.tree else self._chain_of(heads)
        tasks = list(dict.fromkeys(task for task, _ in links))
        apart = [link for task in tasks for link in all_links(task, heads[task]) if link not in links]
        return ChainedScores(
            self, tasks, [*links, *apart], [*parents, *(None for _ in apart)], name=DEPENDENCE
        )

    def _chain_of(self, heads: Mapping[str, Head]) -> tuple[list[Link], list[int | None]]:
        links = [link for name in self.order for link in named_links(name, heads, "order= of TaskChain")]
        _check_once(["/".join(str(part) for part in link if part is not None) for link in links])
        if len(links) < 2:
            raise ValueError(
                f"TaskChain: order must name at least two tasks, or one of MultiLabel; received "
                f"{self.order!r}."
            )
        return links, in_a_row(links)

    def _tree_of(self, heads: Mapping[str, Head]) -> tuple[list[Link], list[int | None]]:
        pairs = []
        for names in self.tree:
            one, other = (named_links(name, heads, "tree= of TaskChain") for name in names)
            for name, found in zip(names, (one, other), strict=True):
                if len(found) > 1:
                    raise ValueError(
                        f"TaskChain: tree joins single links, and '{name}' has {len(found)} labels: name "
                        f"one of them, such as '{name}/0'."
                    )
            pairs.append((one[0], other[0]))
        return depth_first(pairs)


def _check_once(names: Any) -> None:
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"TaskChain: order names the task '{twice[0]}' twice.")
