"""A hidden Markov model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras._types import ArrayLike, Shape, Tensor
from mtlkeras.layers._chain import (
    IMPOSSIBLE,
    Chain,
    ChainInputs,
    best_paths,
    clamped,
    clamped_log_partition,
    concrete_values,
    expectations,
    finite_scores,
    read_observations,
    read_states,
)
from mtlkeras.layers._chain import log_partition as chain_log_partition
from mtlkeras.layers._emissions import EMISSIONS, log_normalised
from mtlkeras.layers._hmm_fitting import ExpectationStep, Observations, climb, count, maximise
from mtlkeras.layers._hmm_parameters import all_transitions, merged_parameters


@keras.saving.register_keras_serializable("mtlkeras")
class HMM(keras.layers.Layer):
    """A hidden Markov model: a chain of states that are not seen, each of which emits what is.

    The probability of observations `x` and states `y` of a sequence is

        p(x, y) = start[y_1] p(x_1 | y_1) prod_t transitions[y_(t-1), y_t] p(x_t | y_t)

    with start and transition probabilities that sum to 1, as the softmax of weights (Rabiner 1989,
    A Tutorial on Hidden Markov Models). It shares its recursions with `mtlkeras.layers.CRF`:
    gradients are exact, a mask may be of any shape (steps without an observation are left out as
    if the sequence were closed up), and all is computed in float32.

    There are three ways to learn: `fit_supervised` counts, where states are known; `fit_em`
    finds them (Baum-Welch), where none or some are; and every method is differentiable, so that
    `-log_likelihood` is a loss.

    Args:
        num_states: Number of states.
        emissions: What a state emits.
            `"discrete"`: one of `num_symbols` symbols, as the softmax of weights. A symbol of -1
            is one that is not known, and says nothing about the state.
            `"gaussian"`: `num_features` numbers, independent within a state.
            `"scores"`: nothing that the layer knows of: it is given log p(x_t | y_t) of each
            state, from a neural trunk say, and takes it as it is. What is added to all states of a
            step moves the likelihood and nothing else; of probabilities of states subtract the
            log of their prior first, as `mtlkeras.heads.HMMTagging` does.
        num_symbols: Number of symbols of discrete emissions.
        num_features: Number of features of Gaussian emissions.
        final: Whether a sequence ends by a transition of its own, whose probability counts.
        min_variance: Below which no variance of a Gaussian falls.
        seed: Of the first emission weights; the chain's are uniform.

    Input shape: observations `(batch, time)` of whole numbers for discrete emissions, `(batch, time,
    num_features)` for Gaussian, `(batch, time, num_states)` for scores; a mask `(batch, time)`
    of bool or `None` for all.

    Output shape: called as a layer it gives the best states, int32 of shape `(batch, time)`.

    Raises:
        ValueError: For unknown emissions, or a size that is lacking or is not theirs. By the methods:
            if a shape does not fit, or a symbol or state whose value can be read is out of range. In a
            graph, where it cannot be, such a sequence has NaN for an answer; so it has if it has a
            feature that is not finite or a score of NaN or `+inf` where there is a step. It has no
            gradient then, and others in the batch know nothing of it. A score of `-inf` forbids.

    Example:

    ```python
    x = np.array([[0, 0, 1, 1, 2], [0, 1, 1, 2, 2]])
    hmm = mtlkeras.layers.HMM(3, num_symbols=3)
    hmm.fit_supervised(x, states=x, smoothing=0.1)
    states, score = hmm.decode(x)  # the states that were told

    hmm.initialize(x, seed=0)
    likelihoods = hmm.fit_em(x, iterations=20)  # never falls
    chances = hmm.posteriors(x)  # (2, 5, 3)
    ```
    """

    def __init__(
        self,
        num_states: int,
        emissions: str = "discrete",
        num_symbols: int | None = None,
        num_features: int | None = None,
        final: bool = False,
        min_variance: float = 1e-3,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        if emissions not in EMISSIONS:
            raise unknown_name("kind", emissions, EMISSIONS, "emissions= of HMM")
        self.num_states, self.emissions, self.final = num_states, emissions, final
        self.num_symbols, self.num_features = num_symbols, num_features
        self.min_variance, self.seed = min_variance, seed
        self.supports_masking = True
        self._check_fields()
        num_states = self.num_states
        self.start_logits = self.add_weight((num_states,), name="start_logits", initializer="zeros")
        self.transition_logits = self.add_weight(  # To the end as well, in the last column, if that counts.
            (num_states, num_states + bool(final)), name="transition_logits", initializer="zeros"
        )
        self.emission = EMISSIONS[emissions](self)
        self.emission.build()
        self._expectation_step: ExpectationStep | None = None
        self.built = True

    def _check_fields(self) -> None:
        self.num_states = whole_number("HMM", "num_states", self.num_states, 1)
        for name, kind in (("num_symbols", "discrete"), ("num_features", "gaussian")):
            size = getattr(self, name)
            if kind == self.emissions:
                if size is None:
                    raise ValueError(f"HMM: {kind} emissions need {name} of at least 1; received None.")
                setattr(self, name, whole_number("HMM", name, size, 1))
            elif size is not None:
                raise ValueError(f"HMM: {name} is for {kind} emissions, and these are {self.emissions}.")
        if not (np.isfinite(self.min_variance) and self.min_variance > 0):
            raise ValueError(f"HMM: min_variance must be above 0; received {self.min_variance}.")

    def build(self, input_shape: Shape) -> None:
        """The weights do not depend on the input."""

    def call(self, x: ArrayLike, mask: ArrayLike | None = None) -> Tensor:
        return self.decode(x, mask)[0]

    def compute_output_spec(self, x: Tensor, mask: Tensor | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape[:2], dtype="int32")

    def log_likelihood(
        self, x: ArrayLike, mask: ArrayLike | None = None, states: ArrayLike | None = None
    ) -> Tensor:
        """Returns log p(x), or log p(x, states) of those that are known; shape `(batch,)`.

        0 for an empty sequence, below -1e29 for one that cannot be.

        Args:
            x: Observations.
            mask: Shape `(batch, time)`.
            states: Whole numbers, shape `(batch, time)`, -1 (`mtlkeras.MISSING`) for a state that is
                not known; `None` if none is.
        """
        inputs = self.read(x, mask)
        chain, packing = self.chain(inputs.values), inputs.packing
        if states is None:
            return inputs.per_sequence(chain_log_partition(chain, packing))
        states, wrong = self._read_states(states, inputs)
        return inputs.invalidated(wrong).per_sequence(clamped_log_partition(chain, states, packing))

    def posteriors(
        self, x: ArrayLike, mask: ArrayLike | None = None, states: ArrayLike | None = None
    ) -> Tensor:
        """Returns the probability of each state at each step, shape `(batch, time, num_states)`.

        Zero where there is no step. Arguments as of `log_likelihood`: given what is known.
        """
        inputs = self.read(x, mask)
        chain = self.chain(inputs.values)
        if states is not None:
            states, wrong = self._read_states(states, inputs)
            chain, inputs = clamped(chain, states), inputs.invalidated(wrong)
        return inputs.per_step(expectations(chain, inputs.packing).states)

    def decode(self, x: ArrayLike, mask: ArrayLike | None = None, k: int = 1) -> tuple[Any, Any]:
        """Returns the states of the highest log p(x, states), and that.

        Args:
            x: Observations.
            mask: Shape `(batch, time)`.
            k: How many, at least 1.

        Returns:
            States, int32 of shape `(batch, time)` with 0 where there is no step, and scores of shape
            `(batch,)`; for `k > 1` of shapes `(batch, k, time)` and `(batch, k)`, best first.
        """
        inputs, k = self.read(x, mask), whole_number(self._owner, "k", k, 1)
        return inputs.per_path(best_paths(self.chain(inputs.values), inputs.packing, k))

    def chain(self, x: Tensor) -> Chain:
        """Returns the potentials for observations that can be, all of them log probabilities."""
        # Sums of logs of what cannot be must stay finite numbers.
        transitions = finite_scores(ops.log_softmax(self.transition_logits, axis=1))
        end = transitions[:, -1] if self.final else ops.zeros_like(transitions[:, 0])
        start = finite_scores(ops.log_softmax(self.start_logits))
        emissions = ops.maximum(self.emission.log_probabilities(x), IMPOSSIBLE)
        return Chain(emissions, transitions[:, : self.num_states], start, end)

    @property
    def _owner(self) -> str:
        return f"HMM '{self.name}'"

    def read(self, x: ArrayLike, mask: ArrayLike | None) -> ChainInputs:
        """Returns observations and a mask as they are computed with."""
        values, tensor = concrete_values(x), ops.convert_to_tensor(x)
        self.check_shape(tensor)
        inputs = read_observations(self._owner, mask, self.emission.read(tensor), self.emission.is_valid)
        step_mask = concrete_values(inputs.packing.mask)
        if self.emission.is_checked_ahead and values is not None and step_mask is not None:
            self.emission.check(values[step_mask[tuple(map(slice, values.shape[:2]))]])
        return inputs

    def _read_states(self, states: ArrayLike, inputs: ChainInputs) -> tuple[Any, Any]:
        return read_states(self._owner, "state", states, self.num_states, inputs, unknown=True)

    def check_shape(self, x: Tensor) -> None:
        """Raises `ValueError` unless observations are of the emissions' shape."""
        shape, width = tuple(x.shape), self.emission.width()
        if len(shape) != self.emission.input_rank or (width is not None and shape[-1] != width):
            raise ValueError(
                f"HMM '{self.name}': expected observations of shape {self.emission.expected}; "
                f"received {shape}."
            )

    # Fits that need no gradient.

    def initialize(self, x: ArrayLike, mask: ArrayLike | None = None, seed: int = 0) -> None:
        """Sets weights for `fit_em` to start from, drawn to fit the observations.

        The chain's are uniform. Symbols have their shares of all observations, with noise; means of
        Gaussians are observations far from each other, their variances those of all.

        Args:
            x: Observations.
            mask: Shape `(batch, time)`.
            seed: Of what is drawn.
        """
        observations = Observations(self, x, mask, None)
        for logits in (self.start_logits, self.transition_logits):
            logits.assign(np.zeros(logits.shape))
        self.emission.initialize(observations.steps, np.random.default_rng(seed))

    def fit_supervised(
        self,
        x: ArrayLike,
        states: ArrayLike,
        mask: ArrayLike | None = None,
        smoothing: float = 0.0,
        emission_smoothing: float | None = None,
    ) -> None:
        """Sets the maximum-likelihood parameters where states are known, in closed form.

        A probability is `(count + smoothing) / (sum of counts + smoothing * outcomes)`; means and
        variances are those of what a state emitted. Nothing is counted for steps whose state is not
        known. A state that never occurs keeps the weights it has.

        Args:
            x: Observations.
            states: Whole numbers, shape `(batch, time)`, -1 for what is not known.
            mask: Shape `(batch, time)`.
            smoothing: Added to the counts of first states and transitions.
            emission_smoothing: Added to the counts of symbols; `None` for the same.

        Raises:
            ValueError: If shapes do not fit, or a state or symbol is out of range.
        """
        for value in (smoothing, emission_smoothing):
            _check_smoothing(self._owner, value)
        observations = Observations(self, x, mask, states)
        counts = count(observations, self.num_states)
        maximise(self, observations, counts, smoothing, emission_smoothing)

    def fit_em(
        self,
        x: ArrayLike,
        mask: ArrayLike | None = None,
        states: ArrayLike | None = None,
        iterations: int = 100,
        tolerance: float = 1e-6,
        smoothing: float = 0.0,
        batch_size: int = 256,
    ) -> list[float]:
        """Climbs from the current weights to a maximum of the likelihood (Baum et al. 1970).

        Each iteration finds what the states are expected to be, then sets the parameters as if that
        had been counted; the log-likelihood never falls. With `smoothing` it is the likelihood
        times a Dirichlet prior that never falls. Where some states are known the climb is that of
        the likelihood of them and the observations.

        Args:
            x: Observations.
            mask: Shape `(batch, time)`.
            states: Whole numbers, shape `(batch, time)`, -1 for what is not known; `None` if none is.
            iterations: At most so many.
            tolerance: Stops when an iteration gains less than this per step of the sequences.
            smoothing: Added to the expected counts.
            batch_size: Sequences computed at once.

        Returns:
            The log-likelihoods of all sequences: of the weights at first, and after each iteration.

        Raises:
            ValueError: If shapes do not fit, a state or symbol is out of range, there is nothing to
                learn from, or a sequence cannot be under the current weights.
        """
        iterations = whole_number(self._owner, "iterations", iterations, 0)
        batch_size = whole_number(self._owner, "batch_size", batch_size, 1)
        if np.isnan(tolerance):
            raise ValueError(f"{self._owner}: tolerance must be a number; received {tolerance}.")
        _check_smoothing(self._owner, smoothing)
        observations = Observations(self, x, mask, states)
        if self._expectation_step is None:
            self._expectation_step = ExpectationStep(self)
        return climb(self, self._expectation_step, observations, iterations, tolerance, smoothing, batch_size)

    # Parameters as probabilities.

    def probabilities(self) -> dict[str, np.ndarray]:
        """Returns the parameters: `"start"` `(states,)`, `"transitions"` `(from, to)`, with `final`
        also `"final"` `(states,)`; `"emissions"` `(states, symbols)` or `"means"` and `"variances"`
        `(states, features)`."""
        # Not `ops.softmax`, which warns of a single state.
        transitions = ops.convert_to_numpy(ops.exp(ops.log_softmax(self.transition_logits, axis=1)))
        found = {"start": ops.convert_to_numpy(ops.exp(ops.log_softmax(self.start_logits)))}
        found["transitions"] = transitions[:, : self.num_states]
        if self.final:
            found["final"] = transitions[:, -1]
        return {**found, **self.emission.probabilities()}

    def set_probabilities(self, **values: Any) -> None:
        """Sets parameters by the names that `probabilities` gives them.

        Probabilities may miss a sum of 1 by 0.01, as rounded ones do, and are scaled to it; those of
        transitions sum to 1 with `final`, so give both. If one value does not fit none is set.

        Raises:
            ValueError: For an unknown name, a value of another shape, probabilities that are negative, not
                finite or do not sum to 1, a mean that is not finite, or a variance that is not above 0.
        """
        arrays = merged_parameters(self._owner, self.probabilities(), values)
        if "start" in values:
            self.start_logits.assign(log_normalised(arrays["start"], 0.0, np.zeros(1)))
        if "transitions" in values or "final" in values:
            self.transition_logits.assign(log_normalised(all_transitions(arrays), 0.0, np.zeros(1)))
        self.emission.assign({name: arrays[name] for name in values})

    def get_config(self) -> dict[str, Any]:
        names = ("num_states", "emissions", "num_symbols", "num_features", "final", "min_variance", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _check_smoothing(owner: str, value: Any) -> None:
    if value is not None and not (np.isfinite(value) and value >= 0):
        raise ValueError(f"{owner}: smoothing must not be negative, and finite; received {value}.")
