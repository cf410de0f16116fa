"""What a person does, one module a job: a function with an object as its result.

    train       one cell on one task              gradients   how far gradients reach back
    search      a study or a search, or its rest  units       what units and gates follow
    ablate      a cell beside its ablations       mistakes    what models get wrong, and why
    promote     the best of a search, again       sample      what a model writes
    status      how far a run is                  report      tables and pages of a run
    cells       the library                       show        one cell in any form
    mutate      mutants of a cell                 data        tasks and data sets
    bench       speed                             doctor      what works on this machine

Options that travel together are a frozen dataclass, whose defaults are the command line's. A job
never prints: who calls it may watch. To add one: a module with its function, and its row in
`odyssey/__init__.py` if it is to be a name of the package. May import everything but `odyssey.cli`.
"""
