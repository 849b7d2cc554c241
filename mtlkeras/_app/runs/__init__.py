"""Runs: training a recipe into a folder, and using what is in there."""
