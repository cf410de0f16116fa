"""Bounds what a call does by counting it: the same number on every machine, however busy."""

import contextlib
import sys

import pytest


@contextlib.contextmanager
def at_most(calls):
    """Fails what is done inside as soon as it has made more calls than that, Python's or C's.

    So what would take exponential time ends at once. Yields a list whose one number is the count.
    """
    count = [0]

    def profile(frame, event, argument):
        if event in ("call", "c_call"):
            count[0] += 1
            if count[0] > calls:
                sys.setprofile(None)
                pytest.fail(f"more than {calls:,} calls")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield count
    finally:
        sys.setprofile(before)
