"""What a conditioned model has beside its layers: an encoder, and how its layers read it."""

from __future__ import annotations

from odyssey.formats.portable import ENCODER, Surroundings
from odyssey.formats.torch_alone.text import INDENT, definition
from odyssey.tasks.signature import ATTENTION, EVERY, Condition

_NAMES = {1: "B, D", 2: "B, places, features", 3: "B, height, width, channels"}


def conditioner_class(around: Surroundings) -> list[str]:
    """Writes the encoder, and attention where there is some; nothing of a model without."""
    condition = around.condition
    if condition is None:
        return []
    own = {n.removeprefix(ENCODER): v for n, v in around.arrays.items() if n.startswith(ENCODER)}
    looks = condition.way == ATTENTION
    inner = [
        "super().__init__()",
        *(
            f"self.{n} = nn.Parameter(torch.empty({', '.join(map(str, v.shape))}))"
            for n, v in own.items()
        ),
    ]
    lines = [
        "class Conditioner(nn.Module):",
        *definition("__init__", ["self"]),
        *(2 * INDENT + line for line in inner),
        "",
        *definition("forward", ["self", "given: Tensor"], "tuple" if looks else "Tensor"),
        *(2 * INDENT + line for line in _encoding(condition, looks=looks)),
    ]
    if looks:
        keys = own["key"].shape[0]
        attending = [
            '"""Gives the weighted sum of places; the last output h says which."""',
            "query = h @ self.query.mT + self.query_bias",
            f"scores = (keys @ query.unsqueeze(-1)).squeeze(-1) / {keys}**0.5",
            "return (scores.softmax(-1).unsqueeze(-2) @ places).squeeze(-2)",
        ]
        arguments = ["self", "h: Tensor", "places: Tensor", "keys: Tensor"]
        lines += ["", *definition("attend", arguments, "Tensor")]
        lines += [2 * INDENT + line for line in attending]
    return lines


def _encoding(condition: Condition, *, looks: bool) -> list[str]:
    gives = "the features of places, and their keys" if looks else "a vector each"
    lines = [f'"""Reads ({_NAMES[len(condition.shape)]}); gives {gives}."""']
    if len(condition.shape) == 3:
        lines += [
            "x = given.permute(0, 3, 1, 2)",
            "x = nn.functional.conv2d(x, self.kernel_0, self.kernel_bias_0, padding=1)",
            "x = nn.functional.max_pool2d(x.relu(), 2, ceil_mode=True)",
            "x = nn.functional.conv2d(x, self.kernel_1, self.kernel_bias_1, padding=1)",
            "x = nn.functional.max_pool2d(x.relu(), 2, ceil_mode=True)",
            "x = nn.functional.conv2d(x, self.kernel_2, self.kernel_bias_2, padding=1)",
            "x = x.relu().flatten(2).mT",
            "places = nn.functional.layer_norm(x, x.shape[-1:])",
        ]
    else:
        one = len(condition.shape) == 1 and looks
        lines.append(f"places = given{'.unsqueeze(1)' if one else ''}")
    if looks:
        return [*lines, "return places, places @ self.key.mT + self.place"]
    return [
        *lines,
        "x = places.flatten(1) @ self.vector.mT + self.vector_bias",
        "return (x - self.vector_mean) / (self.vector_variance + 1e-5).sqrt()",
    ]


def conditioned_reading(around: Surroundings, hidden: int) -> list[str]:
    """Writes how the layers read dense x (T, B, inputs) and what is given, with a state or None."""
    condition = around.condition
    assert condition is not None
    if condition.way == ATTENTION:
        return [
            "places, keys = self.conditioner(given)",
            f"inner, h = None, x.new_zeros(x.shape[1], {hidden})",
            "if state is not None:  # with the last output behind the states of the layers",
            f"{INDENT}inner, h = state[:-1], state[-1][0]",
            "outputs = []",
            "for x_t in x:",
            f"{INDENT}look = self.conditioner.attend(h, places, keys)",
            f"{INDENT}y, inner = self.layers(torch.cat([x_t, look], -1)[None], inner)",
            f"{INDENT}h = y[0]",
            f"{INDENT}outputs.append(h)",
            "return self.readout(torch.stack(outputs)), (*inner, h[None])",
        ]
    lines = ["vector = self.conditioner(given)"]
    if condition.way == EVERY:
        lines += ["x = torch.cat([x, vector.expand(len(x), -1, -1)], -1)"]
    else:
        before = f"nn.functional.pad(vector, ({around.inputs}, 0))[None]"
        lines += [
            "if state is None:  # the vector is an input of its own before the first step",
            f"{INDENT}_, state = self.layers({before}, None)",
            "x = nn.functional.pad(x, (0, vector.shape[-1]))",
        ]
    return [*lines, "x, state = self.layers(x, state)", "return self.readout(x), state"]
