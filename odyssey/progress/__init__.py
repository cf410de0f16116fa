"""How a person sees a job go by: drawn in place on a terminal, in lines elsewhere.

`study.py` shows a study, `search.py` a search, `training.py` a training; `screen.py` is where they
draw and print, `output.py` the one way by which anything reaches a terminal, file or pipe;
`watcher.py` is what a training tells. May import studies and the rooms below, and rich.
"""
