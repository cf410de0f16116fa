"""The words of verdicts, and which of them claim a difference: the one place that says so.

What is in bold, in colour or counted as a finding, in any table, figure or sentence, is what stands
in `DECIDED`.
"""

BETTER, WORSE, UNCLEAR = "better", "worse", "n.s."
UNDECIDED = "undecided by Monte Carlo"  # `permutation.MOST_SWAPS` swaps do not tell
BASELINE, NO_TEST = "baseline", "no test"
EQUAL, UNKNOWN = "equal", "unknown"  # beside a margin: `equivalence.py`
DECIDED = (BETTER, WORSE)
VERDICTS = (BASELINE, BETTER, WORSE, UNCLEAR, UNDECIDED, NO_TEST)


def verdict_of(rejected: bool | None, gain: float) -> str:
    """Gives the word for what `permutation.decide` has found.

    Args:
        rejected: Whether the test rejects; None where swaps do not tell.
        gain: The difference, below 0 where it is for the better.
    """
    if rejected is None:
        return UNDECIDED
    if not rejected:
        return UNCLEAR
    return BETTER if gain < 0 else WORSE
