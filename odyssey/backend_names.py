"""The names of the backends, the fastest first, for what must know them without torch."""

BACKEND_NAMES = ("native", "eager")
"""The keys of `compiler.backends.BACKENDS`, in its order."""
