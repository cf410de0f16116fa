"""Many trials: studies, and the runners that work through them.

`trial.py` and `study.py` are plain data; `work.py` trains one trial; `execute.py` runs a study into
a run directory; `local_runner.py` and `ray_runner.py` are two runners with one contract,
`runner.py`. Ray lives in `ray_driver.py`, a process of its own; nothing else imports it.
May import training, specs and the packages below. To
add a runner: one file with a `run_trials` of the same signature, and its name in
`execute.MODULES` and `study.RUNNERS`.
"""
