"""What runs recipes: the command line, runs and searches, their reports."""
