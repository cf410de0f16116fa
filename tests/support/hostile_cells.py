"""Broken and hostile inputs: every one must end in a one-line `CellError`, fast, without effect.

`HOSTILE_TEXTS` are the bytes of `.cell` files, `HOSTILE_SPECS` are cell specs. A text that ran as
Python would write a file called PWNED into the working directory, which the tests look for.
"""

from __future__ import annotations

PWNED = "odyssey_pwned"
_RUN = f"__import__('pathlib').Path('{PWNED}').touch()"
_RUN_BARE = f"open('{PWNED}', 'w')"


def _cell(*equations: str, state: str = "h", tail: str = "output h") -> bytes:
    lines = ["cell bad", "input x", f"state {state}", *equations, tail]
    return ("\n".join(lines) + "\n").encode()


def _update(value: str) -> bytes:
    return _cell(f"h[t] = {value}")


_GOOD = "W @ x[t] + U @ h[t-1]"
_MANY = "\n".join(f"e{k} = sigmoid(W{k} @ x[t])" for k in range(500))

HOSTILE_TEXTS: list[tuple[str, bytes]] = [
    # code that must not run
    ("import call", _update(_RUN)),
    ("open call", _update(_RUN_BARE)),
    ("eval call", _update(f'eval("{_RUN_BARE}")')),
    ("exec as a name", _update(f"exec({_RUN_BARE!r}) + {_GOOD}")),
    ("attribute access", _update("().__class__.__bases__[0].__subclasses__()")),
    ("attribute of a value", _update("x[t].real + h[t-1]")),
    ("lambda", _update(f"(lambda: {_RUN_BARE})()")),
    ("comprehension", _update(f"[{_RUN_BARE} for k in (1, 2)]")),
    ("generator", _update("sum(k for k in (1, 2))")),
    ("f-string", _update('f"{' + _RUN_BARE.replace("'", "") + '}"')),
    ("walrus", _update(f"(y := {_GOOD})")),
    ("string", _update("'h[t-1]'")),
    ("dictionary", _update("{1: 2}")),
    ("conditional", _update(f"x[t] if {_RUN_BARE} else h[t-1]")),
    ("code as an index", _update(f"h[{_RUN_BARE}]")),
    ("code in init", _cell(f"h[t] = {_GOOD}", f"init U = {_RUN_BARE}")),
    ("code as a target", _cell(f"{_RUN_BARE}[t] = {_GOOD}")),
    ("code after a semicolon", _update(f"{_GOOD}; {_RUN_BARE}")),
    ("import statement", _cell("import os", f"h[t] = {_GOOD}")),
    ("await", _update(f"await {_RUN_BARE}")),
    ("starred argument", _update("tanh(*h[t-1])")),
    ("keyword argument", _update("tanh(a=h[t-1])")),
    ("decorator", _cell("@property", f"h[t] = {_GOOD}")),
    # too much of it
    ("10,000 parentheses", _update("(" * 10_000 + "x[t]" + ")" * 10_000)),
    ("900 parentheses", _update("(" * 900 + "x[t]" + ")" * 900)),
    ("10,000 minus signs", _update("-" * 10_000 + "x[t]")),
    ("1,900 minus signs", _update("-" * 1_900 + "x[t]")),
    ("1,500 minus signs in a lambda", _update("lambda: " + "-" * 1_500 + "x")),
    ("10,000 calls", _update("tanh(" * 10_000 + "x[t]" + ")" * 10_000)),
    ("150 calls", _update("tanh(" * 150 + "x[t]" + ")" * 150)),
    ("line of 10 MB", _update("h[t-1] + " * 1_100_000 + "x[t]")),
    ("10 MB of newlines", b"\n" * 10_000_000),
    ("500 lines", _cell(*_MANY.splitlines(), f"h[t] = {_GOOD}")),
    ("integer of 10,000 digits", _update("9" * 10_000 + f" * h[t-1] + {_GOOD}")),
    ("integer of 1,500 digits", _update("9" * 1_500 + f" * h[t-1] + {_GOOD}")),
    (
        "too many operations",
        _cell(*[f"e{k} = " + "+".join(["h[t-1]"] * 90) for k in range(30)], f"h[t] = {_GOOD}"),
    ),
    # numbers that are none
    ("infinite constant", _update(f"1e999 * h[t-1] + {_GOOD}")),
    ("constant called nan", _update(f"nan * h[t-1] + {_GOOD}")),
    ("constant called inf", _update(f"-inf + {_GOOD}")),
    ("NaN from a quotient", _update(f"0 / 0 + {_GOOD}")),
    ("division by zero", _update(f"h[t-1] / (1 - 1) + {_GOOD}")),
    ("overflowing constant", _update(f"exp(exp(exp(9))) * h[t-1] + {_GOOD}")),
    ("complex constant", _update(f"1j * h[t-1] + {_GOOD}")),
    ("truth value", _update(f"True * h[t-1] + {_GOOD}")),
    ("initial value of NaN", _cell(f"h[t] = {_GOOD}", "init U = float('nan')")),
    ("initial value of infinity", _cell(f"h[t] = {_GOOD}", "init U = 1e999")),
    # bytes that are no text
    ("null byte", _update("x[t]\0 + h[t-1]")),
    ("not UTF-8", b"cell bad\ninput x\nstate h\nh[t] = \xff\xfe\n"),
    ("UTF-16", _update(_GOOD).decode().encode("utf-16")),
    ("random bytes", bytes(range(128, 256)) * 4),
    ("full-width letters", _update("\uff37 @ \uff58[t] + h[t-1]")),
    ("Cyrillic x", _update("W @ \u0445[t] + h[t-1]")),
    ("right-to-left override", _update("W @ x[t] \u202e+ h[t-1]")),
    ("escape sequence", _update("\x1b[31mx[t]")),
    # names
    ("unknown function", _update("tanhh(x[t] + h[t-1])")),
    ("internal function", _update("step(x[t] + h[t-1])")),
    ("unknown state", _update("W @ x[t] + U @ k[t-1]")),
    ("reserved word", _cell("lambda = 3", f"h[t] = {_GOOD}")),
    ("word of the language", _cell("init = 3", f"h[t] = {_GOOD}")),
    ("function as a name", _cell(f"tanh = {_GOOD}", f"h[t] = {_GOOD}")),
    ("dunder name", _update("__builtins__ + h[t-1]")),
    ("name of 5,000 letters", _update("w" * 1_900 + " + h[t-1]")),
    # structure
    ("empty", b""),
    ("white space", b"   \n\t\n"),
    ("only a name", b"cell bad\n"),
    ("no equations", b"cell bad\ninput x\nstate h\noutput h\n"),
    ("cycle", _cell("a = tanh(b)", "b = tanh(a)", f"h[t] = a + {_GOOD}")),
    ("cycle through the new state", _update("tanh(W @ x[t] + U @ h[t])")),
    ("used before defined", _cell("a = i + 1", f"i = {_GOOD}", "h[t] = a")),
    ("state updated twice", _cell(f"h[t] = {_GOOD}", f"h[t] = {_GOOD}")),
    ("name defined twice", _cell(f"i = {_GOOD}", f"i = {_GOOD}", "h[t] = i")),
    ("state never updated", _cell(f"h[t] = {_GOOD}", state="h, c")),
    ("state twice", _cell(f"h[t] = {_GOOD}", state="h, h")),
    ("output unknown", _cell(f"h[t] = {_GOOD}", tail="output y")),
    ("output without input", _update("tanh(U @ h[t-1])")),
    ("nothing recurrent", _update("tanh(W @ x[t])")),
    ("second output", _cell(f"h[t] = {_GOOD}", "output h")),
    ("assignment to the input", _cell("x[t] = h[t-1]", f"h[t] = {_GOOD}")),
    ("assignment to the past", _cell(f"h[t-1] = {_GOOD}")),
    ("augmented assignment", _cell("h[t] += x[t]")),
    ("several targets", _cell(f"h[t] = i = {_GOOD}")),
    ("tuple target", _cell(f"h[t], c[t] = {_GOOD}", state="h, c")),
    ("annotated target", _cell(f"h: int = {_GOOD}")),
    ("expression only", _cell("tanh(x[t])", f"h[t] = {_GOOD}")),
    ("line continuation", _cell("h[t] = W @ x[t] + \\", "U @ h[t-1]")),
    ("future step", _update("W @ x[t] + U @ h[t+1]")),
    ("a step ahead", _update("W @ x[t] + U @ h[t+1]")),
    ("power", _update("x[t] ** 9999999 + h[t-1]")),
    ("shift", _update("1 << 99999999 + h[t-1]")),
    ("comparison", _update("W @ x[t] < h[t-1]")),
    ("product on the left of @", _update("(2 * W) @ x[t] + h[t-1]")),
    ("map of a constant", _update(f"W @ 3 + {_GOOD}")),
    ("matrix of two shapes", _update("tanh(W @ x[t] + W @ h[t-1])")),
    ("matrix and vector", _update("tanh(W @ x[t] + W + h[t-1])")),
    ("too many arguments", _update(f"tanh(x[t], {_GOOD})")),
    ("initial value of nothing", _cell(f"h[t] = {_GOOD}", "init Q = 1")),
    ("unknown initialisation", _cell(f"h[t] = {_GOOD}", "init U = glorot(3)")),
    ("chrono on a matrix", _cell(f"h[t] = {_GOOD}", "init U = chrono(10)")),
    ("cell name of 9,000 letters", b"cell " + b"n" * 1_900 + _update(_GOOD)[8:]),
    ("cell name with a path", b"cell ../../../" + b"\x00etc\n" + _update(_GOOD)[9:]),
]

HOSTILE_SPECS: list[str] = [
    "",
    "   ",
    "lstmm",
    "LSTM",
    "lstm:",
    "lstm::",
    "lstm:+",
    "lstm:no_forget_gate+",
    "lstm:no_forget_gat",
    "lstm:no_forget_gate=1",
    "lstm:no_forget_gate+no_forget_gate",
    "lstm:drop_gate",
    "lstm:drop_gate=",
    "lstm:drop_gate=i:f",
    "lstm:drop_gate=q",
    "lstm:drop_gate=h",
    "lstm:couple=f:f",
    "lstm:activation=g:eval",
    "lstm:activation=g:step",
    "lstm:activation=g:tanh",
    "lstm:forget_bias=nan",
    "lstm:forget_bias=inf",
    "lstm:forget_bias=1e400",
    "lstm:forget_bias=1e-40",
    f"lstm:forget_bias={_RUN_BARE}",
    "lstm:chrono=2",
    "lstm:chrono=-5",
    "lstm:chrono=1e9",
    "lstm:chrono=\u0665\u0665",
    "lstm:no_peepholes",
    "lstm:peepholes=q",
    "elman:no_input_gate",
    "elman:full_gate_recurrence",
    "gru:no_update_gate",
    "gru:forget_bias=1",
    "odyssey9",
    "/",
    "/no/such/file.cell",
    "no_such_file.cell",
    "../" * 100 + "etc/passwd",
    "/dev/zero",
    "a" * 300 + ".cell",
    "a" * 100_000,
    "lstm:" + "+".join(["no_bias"] * 100),
    "lstm\x00",
    "x\x00.cell",
    "two\nlines.cell",
    "\udcff.cell",
    "\x1b[31m",
    "lstm:\u202eno_bias",
]
