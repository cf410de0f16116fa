"""How a person sees a job go by: drawn in place on a terminal or in a notebook, else in lines.

`study.py` shows a study, `search.py` a search, `training.py` a training; `screen.py` is where they
draw and print, `notebook.py` such a place in a notebook, `output.py` the one way by which anything
reaches a terminal, file or pipe. `watcher.py` is what a training tells, `watching.py` says who
watches. May import studies and the rooms below, and rich.
"""
