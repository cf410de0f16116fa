"""The fields of the structures of a training step: readout and loss, and the update.

Sizes: P members, T steps, B streams, H units of the largest member, S symbols, N parameters of a
member, count numbers of a parameter.
"""

from __future__ import annotations

from odyssey.compiler.backends.native.abi.tables import PRODUCTS, Field, Size, Table

BLOCK_ROWS = 192
"""Rows of a readout at a time: whole tiles of 4 vectors, whole groups of 2, 3, 4, 6 and 8 rows."""

UPDATE_KINDS = ("sgd", "rmsprop", "adam", "adagrad", "adamw")
"""The optimisers, in the order of the numbers in the field `kind` of an update."""

READOUT_KINDS = ("classes", "bits", "reals")
"""The kinds of outputs, in the order of the numbers in the field `kind` of a readout."""

_P: Size = ("P",)
_ROWS: tuple[Size, ...] = (_P, ("T",), ("B",))
_WEIGHT: tuple[Size, ...] = (_P, ("S",), ("H",))


def _number(name: str, note: str = "") -> Field:
    return Field(name, "long", note, role="number")


def _away(name: str) -> Field:
    return _number(f"{name}_member", "numbers from a member to the next")


def _output(name: str, type: str, note: str, shape: tuple[Size, ...], calls: str = "fb") -> Field:
    return Field(name, type, note, shape, "output", calls)


READOUT = Table(
    (
        *(_number("P"), _number("R", "rows of a member: steps times streams")),
        *(_number("H"), _number("S"), _number("keep", "whether gradients are wanted")),
        _number("kind", "of the outputs: classes, bits or reals"),
        PRODUCTS,
        Field("units", "const long", "units of each member", (_P,)),
        Field("h", "const real", "outputs of the last layer", (*_ROWS, ("H",)), apart=True),
        _away("h"),
        Field("w", "const real", "weight", _WEIGHT),
        _away("w"),
        Field("b", "const real", "bias", (_P, ("S",))),
        _away("b"),
        Field("target", "const long", "of classes: symbols", _ROWS, optional=True, apart=True),
        _away("target"),
        Field(
            "values",
            "const real",
            "of bits and reals: what is to be predicted",
            (*_ROWS, ("S",)),
            optional=True,
            apart=True,
        ),
        _away("values"),
        Field("weight", "const unsigned char", "which rows count", _ROWS, apart=True),
        _away("weight"),
        Field("scale", "const double", "of a member's sum in the loss", (_P,), calls="b"),
        _output("nll", "double", "summed nats", (_P,)),
        _output("right", "double", "right answers", (_P,)),
        _output("dh", "real", "gradient of h", (*_ROWS, ("H",)), "b"),
        _output("dw", "real", "gradient of the weight", _WEIGHT, "b"),
        _away("dw"),
        _output("db", "real", "gradient of the bias", (_P, ("S",)), "b"),
        _away("db"),
        Field("scratch", "real", "", (("scratch",),), "work"),
    )
)
"""A readout and its loss: `f` measures, `b` differentiates."""

PARAMETER = Table(
    (
        Field("value", "real", "the first value of each member", (_P, ("count",)), "output"),
        _away("value"),
        Field(
            "gradient",
            "const real",
            "its gradient; null: none arrived",
            (_P, ("count",)),
            optional=True,
            apart=True,
        ),
        _away("gradient"),
        _number("count", "numbers of a member"),
        _number("place", "where it begins in the N numbers of a member"),
    )
)

_RATES = tuple(
    Field(name, "const real", note, (_P,))
    for name, note in (
        ("rate", "learning rates"),
        ("momentum", "momentum of sgd"),
        ("clip_norm", "largest norm"),
        ("clip_value", "largest size of an element"),
    )
)

UPDATE = Table(
    (
        *(_number(name) for name in ("P", "parameters", "N", "kind", "nesterov")),
        Field("of", "const struct parameter", "the parameters", (), "work"),
        Field("alive", "const unsigned char", "which members are trained", (_P,)),
        Field("mean", "const double", "the loss a character", (_P,)),
        _output("norm", "double", "of the gradient", (_P,)),
        _output("healthy", "unsigned char", "whether that and the loss are finite", (_P,)),
        *_RATES,
        Field(
            "inside",
            "const real",
            "all bits set where a number is no padding; null: there is none",
            (_P, ("N",)),
            optional=True,
        ),
        Field("first", "real", "running values", (_P, ("N",)), "output", optional=True),
        Field("second", "real", "running values", (_P, ("N",)), "output", optional=True),
        Field(
            "weight_decay",
            "const real",
            "share of a value, times the rate, that goes before the step; null: none",
            (_P,),
            optional=True,
        ),
        Field("average", "real", "running averages", (_P, ("N",)), "output", optional=True),
        Field("share", "const real", "of the way they go", (_P,), optional=True),
        Field("limit", "const double", "largest healthy loss a character", ()),
        Field("decay", "const double", "of rmsprop's running square", ()),
        Field("mean_correction", "const double", "what adam divides its running mean by", ()),
        Field("square_correction", "const double", "and its running square", ()),
    )
)

STEPS = Table(
    (
        *(_number("P"), _number("updates", "at most"), _number("done", "updates made")),
        _number("turn", "which of the two forward structures is next"),
        _number("bad", "why it stopped: 1 for an input that is no symbol, 2 for a target"),
        *(_number("forward", "entries of the cell's code"), _number("backward")),
        _number("forth", "the structures of the forward call: two sets that take turns"),
        _number("other"),
        _number("forth_anew", "the same, from a state of zeros"),
        _number("other_anew"),
        _number("back", "those of the backward call"),
        _number("words", "of a member's structure"),
        _number("fields", "how many of its fields are inputs"),
        _number("columns", "which words those are"),
        _number("starts", "for each, bytes of a row that the inputs before it have"),
        _number("widths", "and its own"),
        _number("row_bytes", "of all inputs of a row, as a cell reads them"),
        _number("symbols", "where those are class indices, else 0"),
        _number("x_room", "where inputs that are bytes turn into reals; 0: they are none"),
        _number("target_room", "and targets"),
        _number("y", "outputs of the first member"),
        _number("y_member", "numbers from a member to the next"),
        _number("dh", "their gradients, of all members one behind the other"),
        _number("dy", "the word of the backward structure that says where they are"),
        *(_number("readout", "the structures of both"), _number("update")),
        _number("sums", "memory that backward calls add to: how many pieces"),
        *(_number("sum_at", "where"), _number("sum_bytes", "how long")),
        Field("x", "const long", "where each update's inputs are", (("most",),)),
        Field("target", "const long", "its targets", (("most",),)),
        Field("weight", "const long", "and which of them count", (("most",),)),
        Field("sizes", "const long", "its structure of sizes", (("most",),)),
        Field("rows", "const long", "steps times streams", (("most",),)),
        Field("anew", "const long", "whether it begins from a state of zeros", (("most",),)),
        Field("scale", "const double", "of a member's sum in the loss", (("most",), _P)),
        Field("counted", "const double", "symbols that count", (("most",), _P)),
        Field("corrections", "const double", "see struct update", (("most",), ("two",))),
        Field("rate", "const real", "learning rates", (("most",), _P)),
        Field("mean", "double", "the loss a symbol", (_P,)),
        _output("nll", "double", "summed nats", (("most",), _P)),
        _output("norm", "double", "of the gradient", (("most",), _P)),
    )
)
"""Whole updates, one after the other."""
