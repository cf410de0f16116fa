"""The version: a file of its own, so that records may name it without importing the package."""

__version__ = "0.1.0"
