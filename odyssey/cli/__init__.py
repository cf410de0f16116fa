"""The `odyssey` command. Thin: parses, calls a job, prints; nothing is computed here.

`main.py` holds the table of commands and the exit codes; each command has a module with its
`arguments(parser)` and a `run(args)`, imported when it is called: `odyssey --help` is quick.
What a command does is a job's (`odyssey.jobs`). To add one: such a module, and its row in
`main.COMMANDS`. May import everything; nothing but `odyssey.__main__` imports it.
"""
