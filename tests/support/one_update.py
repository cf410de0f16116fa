"""One update of a group, whatever came before."""


def one_update(group, state):
    """Makes one update from a state; gives the next one, and summed nats and counted characters by
    member."""
    group.state = state
    (found,) = group._ahead(1)
    return group.state, *found
