"""The markers of labels that are no class."""

MISSING = -1
"""Value of an integer label that is not known; in float labels it is NaN."""

UNSEEN = -(2**31)
"""Value of a class label that is known to be none of the classes, so that no answer is right."""
