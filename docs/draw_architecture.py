"""Draws mtlkeras' packages and who imports whom, from the code and the contract in pyproject.toml.

python docs/draw_architecture.py [--out docs/images/architecture.svg]

A row of the picture is a layer of the contract "Arrows point one way". An arrow that follows from others, as
from a package to what a package that it imports imports too, is left out, and so are those to the last rows,
which everything uses.
"""

from __future__ import annotations

import argparse
import ast
import tomllib
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

import grimp

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGE = ROOT / "mtlkeras"
PICTURE = HERE / "images" / "architecture.svg"
CONTRACT = "Arrows point one way"
# What is no box: the two lines behind `python -m mtlkeras`.
LEFT_OUT = ("__main__",)
# The layers from this one down hold small modules that everything uses: boxes without arrows.
USED_BY_ALL = "_fields"

WIDTH, HEIGHT, LANE = 216, 64, 20  # Of a box; the width that a passing arrow takes.
LETTERS = 34  # In a line of what a package is, of which a box holds two.
GAP_X, GAP_Y, MARGIN = 22, 44, 24
STYLE = """
  .paper { fill: #ffffff; stroke: #d0d7de }
  .box { fill: #eaf2fb; stroke: #5b8dc9 }
  .inner .box { fill: #f6f8fa; stroke: #8c959f }
  .arrow { fill: none; stroke: #57606a; stroke-width: 1.3; stroke-opacity: 0.75 }
  .head { fill: #57606a }
  text { font-family: -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .name { font-size: 14px; font-weight: 600 }
  .what { font-size: 10.5px; fill: #424a53 }
  .size { font-size: 10.5px; fill: #656d76; text-anchor: end }
  .note { font-size: 11.5px; fill: #656d76 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117; stroke: #30363d }
    .box { fill: #14283f; stroke: #4a80c0 }
    .inner .box { fill: #1c2128; stroke: #6e7681 }
    .arrow { stroke: #9ea7b3 }
    .head { fill: #9ea7b3 }
    text { fill: #e6edf3 }
    .what { fill: #b7c0ca }
    .size, .note { fill: #8b949e }
  }
"""


class Structure(NamedTuple):
    """What the picture shows: packages row by row from the top, the small ones below, and the arrows."""

    rows: list[list[str]]
    below: list[str]
    arrows: list[tuple[str, str]]

    def __str__(self) -> str:
        """Rows and arrows as text, by which a picture tells what it was drawn from."""
        rows = [" | ".join(row) for row in (*self.rows, self.below)]
        return "\n".join([*rows, *(f"{a} -> {b}" for a, b in self.arrows)])


def structure() -> Structure:
    """Returns what there is to draw, from the contract and the imports."""
    layers = layers_of_contract()
    last = next(number for number, row in enumerate(layers) if USED_BY_ALL in row)
    rows = [kept for row in layers[:last] if (kept := [name for name in row if name not in LEFT_OUT])]
    below = [name for row in layers[last:] for name in row]
    return Structure(rows, below, without_detours(imports_among({name for row in rows for name in row})))


def layers_of_contract() -> list[list[str]]:
    """Returns the packages layer by layer, as import-linter reads them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"] == CONTRACT)
    return [sorted(name.strip() for name in layer.split("|")) for layer in layers]


def imports_among(names: set[str]) -> list[tuple[str, str]]:
    """Returns which of some packages imports which, imports within functions and for types included."""
    graph = grimp.build_graph(PACKAGE.name, cache_dir=None)
    found = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            pair = tuple(name.split(".")[1] if "." in name else "" for name in (module, imported))
            if pair[0] != pair[1] and names.issuperset(pair):
                found.add(pair)
    return sorted(found)


def without_detours(arrows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the arrows that do not follow from others: the transitive reduction."""
    arrows = list(arrows)

    def reached(start: str, left_out: tuple[str, str]) -> set[str]:
        found: set[str] = set()
        to_do = [start]
        while to_do:
            here = to_do.pop()
            further = {b for a, b in arrows if a == here and (a, b) != left_out} - found
            found |= further
            to_do += further
        return found

    return [arrow for arrow in arrows if arrow[1] not in reached(arrow[0], arrow)]


# Layout: rows as the contract has them; an arrow over several rows keeps a lane free in those it passes.
Lane = tuple[str, str, int]
Point = tuple[float, float]


def chains(drawn: Structure) -> dict[tuple[str, str], list[str | Lane]]:
    """Returns by arrow what it leads through: its package, a lane in each row between, the other package."""
    row_of = {name: number for number, row in enumerate(drawn.rows) for name in row}
    return {
        (a, b): [a, *((a, b, number) for number in range(row_of[a] + 1, row_of[b])), b]
        for a, b in drawn.arrows
    }


def spread(wanted: list[float], widths: list[float]) -> list[float]:
    """Returns middles nearest to those wanted, by least squares, that keep order and distance.

    Isotonic regression by pooling neighbours (Ayer et al. 1955), after each one's own place is taken off.
    """
    places, at = [], 0.0
    for width in widths:
        places.append(at + width / 2)
        at += width + GAP_X
    pools: list[list[float]] = []  # Sum and count.
    for want, place in zip(wanted, places, strict=True):
        pools.append([want - place, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    shifts = [total / count for total, count in pools for _ in range(int(count))]
    return [place + shift for place, shift in zip(places, shifts, strict=True)]


def middles(drawn: Structure, rounds: int = 24) -> dict[str | Lane, float]:
    """Returns the horizontal middle of each package and lane: near what it is joined to, rows in no order."""
    rows: list[list[str | Lane]] = [list(row) for row in drawn.rows]
    near: dict[str | Lane, list[str | Lane]] = {name: [] for row in rows for name in row}
    for chain in chains(drawn).values():
        for lane in chain[1:-1]:
            rows[lane[2]].append(lane)
        for one, other in zip(chain, chain[1:], strict=False):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    x: dict[str | Lane, float] = {}
    for row in rows:
        x.update(zip(row, spread([0.0] * len(row), [_width(place) for place in row]), strict=True))
    for turn in range(rounds):
        for row in rows if turn % 2 else reversed(rows):
            wanted = {p: sum(x[n] for n in near[p]) / len(near[p]) if near[p] else x[p] for p in row}
            if turn < rounds - 6:  # Then the order stays.
                row.sort(key=lambda place: (wanted[place], str(place)))
            found = spread([wanted[place] for place in row], [_width(place) for place in row])
            x.update(zip(row, found, strict=True))
    left = min(x[place] - _width(place) / 2 for place in x)
    return {place: value - left + MARGIN for place, value in x.items()}


def _width(place: str | Lane) -> float:
    return WIDTH if isinstance(place, str) else LANE


def ends(
    drawn: Structure, x: Mapping[str | Lane, float]
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """Returns by arrow where it leaves and where it meets a box, beside its neighbours."""
    paths = chains(drawn)
    leaves, meets = {}, {}
    for name in (name for row in drawn.rows for name in row):
        for found, inner, at in ((leaves, 1, 0), (meets, -2, 1)):
            here = sorted((a for a in paths if a[at] == name), key=lambda a: (x[paths[a][inner]], a))
            for number, arrow in enumerate(here, start=1):
                found[arrow] = x[name] + WIDTH * 0.8 * (number / (len(here) + 1) - 0.5)
    return leaves, meets


def svg(drawn: Structure) -> str:
    """Returns the picture."""
    x = middles(drawn)
    leaves, meets = ends(drawn, x)
    tops = [MARGIN + number * (HEIGHT + GAP_Y) for number in range(len(drawn.rows))]
    wide = max(x[place] + _width(place) / 2 for place in x) + MARGIN
    wide = max(wide, 2 * MARGIN + len(drawn.below) * (WIDTH + GAP_X) - GAP_X)
    low = tops[-1] + HEIGHT + GAP_Y + 14
    high = low + HEIGHT + MARGIN
    parts = [_arrow(chain, leaves[a], meets[a], x, drawn, tops) for a, chain in chains(drawn).items()]
    parts += [_box(name, x[name], top) for row, top in zip(drawn.rows, tops, strict=True) for name in row]
    step = (wide - 2 * MARGIN - WIDTH) / max(1, len(drawn.below) - 1)
    parts += [_box(n, MARGIN + WIDTH / 2 + number * step, low) for number, n in enumerate(drawn.below)]
    parts.append(f'<text class="note" x="{MARGIN}" y="{low - 10}">Used by all, arrows left out:</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" '
            f'width="{wide:.0f}" height="{high}" role="img">',
            "<title>The packages of mtlkeras and who imports whom</title>",
            f"<desc>{escape(str(drawn))}</desc>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{wide - 1:.0f}" height="{high - 1}" rx="8"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _arrow(
    chain: list[str | Lane],
    leaves: float,
    meets: float,
    x: Mapping[str | Lane, float],
    drawn: Structure,
    tops: list[float],
) -> str:
    """A line from the lower edge of a box to the upper edge of another, upright in the lanes between."""
    row = next(number for number, names in enumerate(drawn.rows) if chain[0] in names)
    points: list[Point] = [(leaves, tops[row] + HEIGHT)]
    for number, lane in enumerate(chain[1:-1], start=row + 1):
        points += [(x[lane], tops[number]), (x[lane], tops[number] + HEIGHT)]
    points.append((meets, tops[row + len(chain) - 1]))
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        bend = (y0 + y1) / 2
        path += f" C{x0:.1f} {bend:.1f} {x1:.1f} {bend:.1f} {x1:.1f} {y1:.1f}"
    tip_x, tip_y = points[-1]
    head = f"M{tip_x:.1f} {tip_y:.1f}l-4 -8h8z"
    return f'<path class="arrow" d="{path}"/><path class="head" d="{head}"/>'


def _box(name: str, middle: float, top: float) -> str:
    left = middle - WIDTH / 2
    lines = wrap(what_it_is(name), LETTERS)
    text = [
        f'<text class="name" x="{left + 10:.1f}" y="{top + 20:.1f}">{name}</text>',
        f'<text class="size" x="{left + WIDTH - 10:.1f}" y="{top + 20:.1f}">{size_of(name)}</text>',
        *(
            f'<text class="what" x="{left + 10:.1f}" y="{top + 38 + 14 * number:.1f}">{escape(line)}</text>'
            for number, line in enumerate(lines)
        ),
    ]
    rect = f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    kind = "inner" if name.startswith("_") else "public"
    return f'<g class="{kind}">{rect}{"".join(text)}</g>'


def files_of(name: str) -> list[Path]:
    """Returns the source files of a package or module."""
    return sorted((PACKAGE / name).rglob("*.py")) or [PACKAGE / f"{name}.py"]


def what_it_is(name: str) -> str:
    """Returns what the first line of a package's docstring says, in two lines of a box at most."""
    source = PACKAGE / name / "__init__.py"
    text = (source if source.exists() else PACKAGE / f"{name}.py").read_text(encoding="utf-8")
    line = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0].rstrip(".")
    before, colon, after = line.partition(": ")
    # "Heads: one task's output" names itself; elsewhere the colon begins what one may leave out.
    line = after[0].upper() + after[1:] if colon and " " not in before.replace(" schemes", "") else before
    return line if len(wrap(line, LETTERS)) <= 2 else line.split(",")[0]


def size_of(name: str) -> str:
    """Returns the number of files and, to hundreds, of lines: of the day when the picture was drawn."""
    files = files_of(name)
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    rounded = max(1, round(lines / 100)) * 100
    return f"{rounded} lines" if len(files) == 1 else f"{len(files)} files, {rounded} lines"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PICTURE, help="file to write")
    path = parser.parse_args().out
    path.write_text(svg(structure()), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
