"""Which tenth of *War and Peace* did the paper test on? Its n-grams, counted on two splits.

Usage: python experiments/karpathy_2015/splits.py INPUT.txt OUT.csv
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from odyssey.tasks.ngrams import ngram_probabilities

# The n-grams of Karpathy, Johnson and Fei-Fei (2015), modified Kneser-Ney by KenLM; recalled
PAPER = {1: 2.399, 2: 1.928, 3: 1.521, 4: 1.314, 5: 1.232, 6: 1.203}
STREAMS = 100  # of a batch: char-rnn cuts every one of them into training, validation and test
TRAIN, TEST = 0.8, 0.9  # where training ends and test begins


def by_streams(text: NDArray[np.int64], streams: int) -> tuple[NDArray[np.int64], ...]:
    """Gives training and test text where each of so many streams is cut by itself."""
    pieces = np.array_split(text, streams)
    train = [piece[: int(TRAIN * len(piece))] for piece in pieces]
    test = [piece[int(TEST * len(piece)) :] for piece in pieces]
    return np.concatenate(train), np.concatenate(test)


def losses(data: bytes) -> pd.DataFrame:
    """Gives test losses in nats by the characters of context: columns n, book, streams, paper."""
    _, text = np.unique(np.frombuffer(data, np.uint8), return_inverse=True)
    symbols = int(text.max()) + 1
    columns = {}
    for name, streams in (("book", 1), ("streams", STREAMS)):
        train, test = by_streams(text.astype(np.int64), streams)
        p = ngram_probabilities(train, test, longest=max(PAPER), num_symbols=symbols)
        columns[name] = -np.log(p).mean(axis=1)[list(PAPER)]
    return pd.DataFrame({"n": list(PAPER), **columns, "paper": list(PAPER.values())})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python experiments/karpathy_2015/splits.py INPUT.txt OUT.csv")
    found = losses(Path(sys.argv[1]).read_bytes())
    found.to_csv(sys.argv[2], index=False, lineterminator="\n", float_format="%.4f")
    print(found.round(3).to_string(index=False))
