"""Writes requirements-oldest.txt: the lower bound of every requirement in pyproject.toml.

python docs/write_oldest.py
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = ROOT / "requirements-oldest.txt"
# What the tests need; `gpu` stands in for `tensorflow` where there is one.
EXTRAS = ("tensorflow", "jax", "data", "tuner", "plots", "recipes", "dev")
# Checks of the code, which `make lint` runs with the versions of requirements.txt.
NO_TEST_NEEDS = ("mypy", "ruff", "mtlkeras")
HEAD = """\
# The lower bounds of pyproject.toml, which `make test-oldest` installs. Written by docs/write_oldest.py.
"""


def lower_bounds() -> list[str]:
    """Returns each requirement once, at its lower bound, in the order of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]
    found = dict.fromkeys(one.replace(">=", "==") for one in asked if _name(one) not in NO_TEST_NEEDS)
    return list(found)


def _name(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0]


def text() -> str:
    """Returns what the file holds."""
    return HEAD + "".join(f"{line}\n" for line in lower_bounds())


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(PATH)
