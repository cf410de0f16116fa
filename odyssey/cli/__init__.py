"""The `odyssey` command. Thin: parses, calls, prints; nothing is computed here.

`main.py` holds the parser and the exit codes; each command has a module with a `run(args)`,
imported when it is called, so that `odyssey --help` is quick. May import everything.
"""
