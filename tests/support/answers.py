"""What a call of the command must look like when it went well, and when it was refused."""


def well(called):
    assert called.err == ""
    assert called.code == 0
    return called


def table(called):
    """Gives the lines of what was printed, which must fit into 120 columns."""
    lines = well(called).out.splitlines()
    assert max(map(len, lines)) <= 120
    return lines


def refused(called):
    """Gives the one line of an error that is the user's."""
    assert called.code == 2
    assert called.out == ""
    (line,) = called.err.splitlines()
    assert line.startswith("odyssey: ")
    return line
