"""Runners: they pull trials from a source, work them, and tell a listener what came of them.

`contract.py` says what a runner is, `registry.py` lists them; `local.py` works in this process;
`ray.py` under Ray Tune, which lives in a process of its own, `ray_driver.py`: nothing else imports
ray; `shares.py` counts GPUs as Ray does. To add a runner: a file with a `run_trials` of the same
signature, and its row in `registry.RUNNERS`.
"""
