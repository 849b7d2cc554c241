"""The examples of the largest loss, with their inputs."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.evidence.trunk import text_of
from mtlkeras._app.report.html.markup import escaped
from mtlkeras._app.report.html.parts import Markup, Numbers, Part, Section
from mtlkeras._app.report.html.png import data_uri
from mtlkeras.analysis import WorstErrors

_MOST_WORDS = 60
_MOST_TAGS = 60
_MOST_COLUMNS = 30


def worst_errors(run: RunEvidence) -> Section | None:
    """Shows the examples that each task does worst on."""
    parts: list[Part] = []
    for task, one in run.tasks.items():
        if one.worst is not None and len(one.worst.indices):
            names = run.facts.tasks[task].classes if task in run.facts.tasks else None
            parts += _of_task(one.worst, names)
    note = f"Of {run.looked_at}. Among the examples of the largest loss are wrong labels and odd inputs."
    return Section("Worst errors", [note, *parts]) if parts else None


def _of_task(found: WorstErrors, names: Sequence[str] | None) -> list[Part]:
    labels, answers = (
        [_answer_text(value, names) for value in values] for values in (found.labels, found.answers)
    )
    flat = keras.tree.flatten(found.inputs)
    pictures = next((a for a in flat if a.ndim == 4 and a.shape[-1] in (1, 3, 4)), None)
    show = _cards if pictures is not None else _lines
    body = show(found, labels, answers, pictures if pictures is not None else found.inputs)
    table = {
        "example": found.indices.tolist(),
        "loss": found.losses.tolist(),
        "label": labels,
        "answer": answers,
    }
    return [
        Markup(f"<h3>{html.escape(found.task)}</h3>{body}"),
        Numbers(f"worst-{found.task}", table, f"Worst errors of {found.task}"),
    ]


def _answer_text(value: Any, names: Sequence[str] | None) -> str:
    """Returns a label or an answer in words; of pixels how many there are."""
    if not isinstance(value, tuple):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    flat = list(np.asarray(value, object).ravel()) if value else []
    if len(flat) > _MOST_TAGS:
        return f"{len(flat):,} values"
    if names is not None and len(flat) == len(names) and set(flat) <= {0, 1, -1}:
        yes = [name for name, one in zip(names, flat, strict=True) if one == 1]
        return ", ".join(yes) or "none"
    return " ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in flat)


def _head(found: WorstErrors, i: int) -> str:
    return f"example {int(found.indices[i]):,}, loss {found.losses[i]:.3g}"


def _cards(found: WorstErrors, labels: list[str], answers: list[str], pictures: np.ndarray) -> str:
    """Returns a picture for each example, with label and answer below."""
    cards = []
    for i, (label, answer) in enumerate(zip(labels, answers, strict=True)):
        said = f"labelled {label}, answered {answer}"
        alt = html.escape(f"Input of {_head(found, i)}: {said}", quote=True)
        cards.append(
            f'<figure><img src="{data_uri(pictures[i])}" alt="{alt}"><figcaption>{html.escape(said)}'
            f"<br>{html.escape(_head(found, i))}</figcaption></figure>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _lines(found: WorstErrors, labels: list[str], answers: list[str], inputs: Any) -> str:
    """Returns the input of each example in words, with label and answer."""
    cards = []
    for i, (label, answer) in enumerate(zip(labels, answers, strict=True)):
        words = _words(inputs, i)
        tags = [found.labels[i], found.answers[i]]
        if words is not None and all(isinstance(t, tuple) and len(t) >= len(words) for t in tags):
            body = _tagged(words, *tags)
        else:
            told = " ".join(words[:_MOST_WORDS]) if words is not None else _values(inputs, i)
            body = (
                f"<p>{html.escape(told)}</p><p>labelled <strong>{html.escape(label)}</strong>, answered "
                f'<strong class="bad">{html.escape(answer)}</strong></p>'
            )
        cards.append(f'<div class="card"><p class="quiet">{html.escape(_head(found, i))}</p>{body}</div>')
    return "".join(cards)


def _words(inputs: Any, i: int) -> list[str] | None:
    """Returns the words of an example, if its only input is text."""
    flat = keras.tree.flatten(inputs)
    if len(flat) != 1 or flat[0].dtype.kind not in "OSU":
        return None
    row = flat[0][i]
    if np.ndim(row) == 0:
        return text_of(row).split()
    return [word for word in map(text_of, np.ravel(row)) if word]


def _tagged(words: Sequence[str], label: Sequence[Any], answer: Sequence[Any]) -> str:
    """Returns words with their tags, those that are wrong with both."""
    items = []
    for word, true, said in list(zip(words, label, answer, strict=False))[:_MOST_WORDS]:
        right = true == said
        tag = escaped(true) if right else f'{escaped(true)} → <span class="bad">{escaped(said)}</span>'
        items.append(f"<li{'' if right else ' class=wrong'}>{html.escape(word)}<small>{tag}</small></li>")
    return f'<p class="quiet">word, and below it its tag; where it is wrong, label → answer</p><ul class="tokens">{"".join(items)}</ul>'


def _values(inputs: Any, i: int) -> str:
    """Returns the numbers and words of an example of a table."""
    if isinstance(inputs, dict):
        named = [(name, values[i]) for name, values in inputs.items()]
    else:
        flat = [np.ravel(array[i]) for array in keras.tree.flatten(inputs)]
        named = [(f"x{n}", v) for n, v in enumerate(np.concatenate(flat), 1)] if flat else []
    told = []
    for name, value in named[:_MOST_COLUMNS]:
        values = [_plain(v) for v in np.ravel(value)[:4]]
        told.append(f"{name} {' '.join(values)}")
    more = f" and {len(named) - _MOST_COLUMNS} more" if len(named) > _MOST_COLUMNS else ""
    return "; ".join(told) + more


def _plain(value: Any) -> str:
    return text_of(value) if isinstance(value, (bytes, str)) else f"{float(value):.4g}"
