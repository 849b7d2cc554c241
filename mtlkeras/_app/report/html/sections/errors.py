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
_MOST_NUMBERS = 6


def worst_errors(run: RunEvidence) -> Section | None:
    """Shows the examples that each task does worst on."""
    parts: list[Part] = []
    for task, one in run.tasks.items():
        if one.worst is not None and len(one.worst.indices):
            names = run.facts.tasks[task].classes if task in run.facts.tasks else None
            parts += _of_task(one.worst, names)
    note = (
        f"Of {run.looked_at}. Among the examples of the largest loss are wrong labels and odd inputs. A tag "
        "that is wrong is shown as label → answer."
    )
    return Section("Worst errors", [note, *parts]) if parts else None


def _of_task(found: WorstErrors, names: Sequence[str] | None) -> list[Part]:
    labels, answers = (
        [_answer_text(value, names) for value in values] for values in (found.labels, found.answers)
    )
    told = [_told(*one) for one in zip(found.labels, found.answers, labels, answers, strict=True)]
    flat = keras.tree.flatten(found.inputs)
    pictures = next((a for a in flat if a.ndim == 4 and a.shape[-1] in (1, 3, 4)), None)
    body = _cards(found, told, pictures) if pictures is not None else _lines(found, told)
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


def _told(label: Any, answer: Any, label_text: str, answer_text: str) -> str:
    """Returns label and answer as HTML; of many pixels how many are right."""
    true, said = (np.asarray(value, object).ravel() for value in (label, answer))
    if len(true) > _MOST_TAGS and len(true) == len(said):
        return f"{(true == said).mean():.1%} of {len(true):,} values right"
    kind = "good" if label_text == answer_text else "bad"
    return (
        f"labelled <strong>{html.escape(label_text)}</strong>, answered "
        f'<strong class="{kind}">{html.escape(answer_text)}</strong>'
    )


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
    return ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in flat) or "none"


def _head(found: WorstErrors, i: int) -> str:
    return f"example {int(found.indices[i]):,}, loss {found.losses[i]:.3g}"


def _cards(found: WorstErrors, told: list[str], pictures: np.ndarray) -> str:
    """Returns a picture for each example, with label and answer below."""
    cards = []
    for i, said in enumerate(told):
        alt = html.escape(f"Input of {_head(found, i)}", quote=True)
        cards.append(
            f'<figure><img src="{data_uri(pictures[i])}" alt="{alt}"><figcaption>{said}'
            f"<br>{html.escape(_head(found, i))}</figcaption></figure>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _lines(found: WorstErrors, told: list[str]) -> str:
    """Returns the input of each example in words, with label and answer."""
    cards = []
    for i, said in enumerate(told):
        words = _words(found.inputs, i)
        tags = [found.labels[i], found.answers[i]]
        if words is not None and all(isinstance(t, tuple) and len(t) >= len(words) for t in tags):
            body = _tagged(words, *tags)
        else:
            shown = " ".join(words[:_MOST_WORDS]) if words is not None else _values(found.inputs, i)
            body = f"<p>{html.escape(shown)}</p><p>{said}</p>"
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
        kind = "" if right else ' class="wrong"'
        items.append(f"<li{kind}>{html.escape(word)}<small>{tag}</small></li>")
    return f'<ul class="tokens">{"".join(items)}</ul>'


def _values(inputs: Any, i: int) -> str:
    """Returns the numbers and words of an example of a table."""
    if isinstance(inputs, dict):
        named = [(name, values[i]) for name, values in inputs.items()]
    else:
        flat = [np.ravel(array[i]) for array in keras.tree.flatten(inputs)]
        named = [(f"x{n}", v) for n, v in enumerate(np.concatenate(flat), 1)] if flat else []
    told = []
    for name, value in named[:_MOST_COLUMNS]:
        values = [_plain(v) for v in np.ravel(value)[:_MOST_NUMBERS]]
        if known := [v for v in values if v != "nan"]:  # What the example lacks is left out.
            told.append(f"{name} {' '.join(known)}{' …' * (np.size(value) > _MOST_NUMBERS)}")
    more = f" and {len(named) - _MOST_COLUMNS} more" if len(named) > _MOST_COLUMNS else ""
    return "; ".join(told) + more


def _plain(value: Any) -> str:
    return text_of(value) if isinstance(value, (bytes, str)) else f"{float(value):.4g}"
