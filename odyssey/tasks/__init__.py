"""What is learned: streams of symbols in which the next one is to be predicted.

`base` says what a task is; `registry` makes one from a spec such as `arithmetic@digits=4` or
`text:book.txt`. Generated tasks (`memorization`, `arithmetic`, `xml`) share `generated`; texts
(files, the corpora of `download`, `python_source`) share `text`. Imports numpy and pooch only.

To add a generated task: one file with a subclass of `GeneratedTask`, one row in `registry`. To
add a corpus: one row in `download.DATASETS`.
"""

from odyssey.tasks.base import Batch, Task
from odyssey.tasks.registry import get_task, list_tasks

__all__ = ["Batch", "Task", "get_task", "list_tasks"]
