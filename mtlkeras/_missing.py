"""The marker of a missing label."""

MISSING = -1
"""Value of an integer label that is not known; in float labels it is NaN."""
