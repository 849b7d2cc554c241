"""The model, how it is built, and what it is compiled with."""
