"""The names of the distributions of initial weights, for what must know them without sympy."""

DISTRIBUTIONS = ("uniform_fan", "uniform", "normal", "normal_fan")
"""What `expr.schemes.draw` draws from."""
