"""A search as a source of trials: asks for candidates, stages them, tells their outcomes in order."""
