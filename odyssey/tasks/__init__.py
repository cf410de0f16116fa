"""What is learned: streams of symbols in which the next one is to be predicted, and sequences.

`base.py` says what a task is, `signature.py` what its models read and predict; `registry.py` makes
one from a spec such as `arithmetic@digits=4` or `text:book.txt`, whose options `options.py` reads;
`recorded.py` makes that of a run again, `sets.py` names sets of tasks. Generated tasks share
`generated.py`: those of Jozefowicz et al. (`memorization.py`, `arithmetic.py`, `xml.py`), and those
that judge cells by one ability, `copying.py`, `recall.py`, `counting.py`, `dyck.py`, `group.py`,
`modular.py` and `listops.py`; `nesting.py` pairs brackets, `trees.py` draws expressions. Texts
(files, the corpora of `download.py`, `python_source.py`) share `text.py`, read by `reading.py` into
a `vocabulary.py`, or into `words.py`. Imports numpy, scipy, pooch, Pillow and scikit-learn only.

Tasks of whole sequences, finite or drawn, share `sequences.py`, and `examples.py`, which packs
sequences into long arrays and cuts batches out of these: `digits.py` has handwritten digits,
to be read as house numbers, `scanning.py` reads them pixel by pixel, `painting.py` paints them,
`frames.py` shows one after the other; `captions.py` has pictures with captions, of a folder or
those of `icons.py`, read by `pictures.py`; `dates.py` translates, `sentiment.py` reads reviews;
`music.py` is polyphonic music, `adding.py` the adding problem, `irregular.py` has signals seen at
irregular times.

`floors.py` gives what a task costs without a memory, for which `ngrams.py` counts.

To add a generated task: one file with a subclass of `GeneratedTask`, one row in `registry.py`. To
add a corpus, or pieces of music: one row in `download.DATASETS`. To add a set: one row in
`sets.TASK_SETS`.
"""

from odyssey.tasks.base import Batch, Task
from odyssey.tasks.registry import get_task, list_tasks

__all__ = ["Batch", "Task", "get_task", "list_tasks"]
