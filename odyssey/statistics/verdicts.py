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
