"""The Python interface: what `import odyssey` offers to people.

`verbs.py` has the functions, `run.py` the `Run`; `arguments.py` says what they take, `calls.py`
makes keywords of that. Everything is done by the jobs, whose options objects become keywords here
and whose run directories become a `Run`. May import everything but `odyssey.cli`. To add a verb: a
function in `verbs.py`, its arguments as a dataclass, and its row in `odyssey.__init__`.
"""
