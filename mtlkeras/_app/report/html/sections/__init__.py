"""The sections of a run's page, in their order; each is left out where it does not apply."""

from mtlkeras._app.report.html.render import Make
from mtlkeras._app.report.html.sections.about import failures, settings, size
from mtlkeras._app.report.html.sections.errors import worst_errors
from mtlkeras._app.report.html.sections.inside import attention, diagram, gates, transitions
from mtlkeras._app.report.html.sections.labels import association, classes, numbers, reliability
from mtlkeras._app.report.html.sections.masks import masks
from mtlkeras._app.report.html.sections.search import trials
from mtlkeras._app.report.html.sections.training import cosines, curves, results, weights
from mtlkeras._app.report.html.sections.verdict import findings, verdict

SECTIONS: tuple[Make, ...] = (
    *(verdict, findings, results, trials, curves, weights, cosines, association, classes, reliability),
    *(numbers, masks, worst_errors, gates, attention, transitions, diagram, size, settings),
)

__all__ = ["SECTIONS", "failures"]
