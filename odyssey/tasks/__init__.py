"""What is learned: streams of symbols in which the next one is to be predicted, and sequences.

`base.py` says what a task is, `signature.py` what its models read and predict; `registry.py` makes
one from a spec such as `arithmetic@digits=4` or `text:book.txt`, whose options `options.py` reads.
Generated tasks (`memorization.py`, `arithmetic.py`, `xml.py`) share `generated.py`; texts (files,
the corpora of `download.py`, `python_source.py`) share `text.py`, read by `reading.py` into a
`vocabulary.py`. Imports numpy, pooch, Pillow and scikit-learn only.

Tasks of whole sequences, finite or drawn, share `sequences.py`: `digits.py` has handwritten digits,
`captions.py` pictures with captions, of a folder or those of `icons.py`, read by `pictures.py`.

To add a generated task: one file with a subclass of `GeneratedTask`, one row in `registry.py`. To
add a corpus: one row in `download.DATASETS`.
"""

from odyssey.tasks.base import Batch, Task
from odyssey.tasks.registry import get_task, list_tasks

__all__ = ["Batch", "Task", "get_task", "list_tasks"]
