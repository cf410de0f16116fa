"""A cell, a trained model or a run in a form that does not need Odyssey."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey.errors import ConfigError, StoreError, suggest
from odyssey.expr import Cell, parse_cell
from odyssey.expr.schemes import InitScheme
from odyssey.expr.sizes import ONE, parts
from odyssey.formats.portable import ENCODER, Portable, Surroundings
from odyssey.jobs.choice import ModelChoice, names_run
from odyssey.jobs.show import cell_facts
from odyssey.jobs.trained_cell import TrainedCell
from odyssey.names import file_name, short_names
from odyssey.options import Options
from odyssey.specs import get_cell
from odyssey.storage.schema import OK, TEST_ACCURACY, TEST_NATS, VALID_NATS

if TYPE_CHECKING:
    from odyssey.compiler import RNN
    from odyssey.compiler.layers import Layers
    from odyssey.storage.store import RunStore
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.base import Task
    from odyssey.training.model import SequenceModel


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """The sizes of a cell that leaves; a trained model has its own.

    Attributes:
        input: Numbers that it reads at a step.
        hidden: Units.
        layers: Layers.
        seed: Draws the weights of what cannot be without any.
    """

    input: int | None = None
    hidden: int | None = None
    layers: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input", "hidden", "layers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} must be at least 1, got {value}")
        if self.seed < 0:
            raise ConfigError(f"--seed must not be negative, got {self.seed}")


@dataclass(frozen=True, repr=False)
class Exported:
    """What has left.

    Attributes:
        files: Data by file name; the first is what was asked for, others go with it.
    """

    files: Mapping[str, bytes]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} ({len(data):,} bytes)" for name, data in self.files.items())
        return f"<Exported {sizes}>"

    @property
    def text(self) -> str:
        """What was asked for, as text.

        Raises:
            ConfigError: It is no text, or it is not all: others go with it.
        """
        names = list(self.files)
        if any(Path(name).suffix in _BINARY for name in names):
            raise ConfigError(
                f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} no text to print: say"
                " where with -o FILE or -o DIR"
            )
        return "\n".join(data.decode() for data in self.files.values())

    def save(self, to: str | Path, *, force: bool = False) -> list[Path]:
        """Writes the files.

        Args:
            to: A folder, which is made; or, with a suffix, the file. What goes with it lies beside
                it, and is called alike.
            force: Whether files that are there are overwritten.

        Raises:
            ConfigError: A file is there.
            StoreError: One cannot be written.
        """
        target = Path(to)
        if target.is_dir() or not target.suffix:
            paths = {target / name: data for name, data in self.files.items()}
        else:
            first = Path(next(iter(self.files)))
            paths = {
                target
                if name == first.name
                else target.with_name(target.stem + name.removeprefix(first.stem)): data
                for name, data in self.files.items()
            }
        there = [path for path in paths if path.exists()]
        if there and not force:
            raise ConfigError(
                f"{there[0]} is there already: name another, or overwrite it (--force)"
            )
        try:
            for path, data in paths.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        except OSError as error:
            raise StoreError(f"cannot write {target}: {error.strerror or error}") from error
        return list(paths)


def export_cell(
    source: str | Cell | RNN | TrainedCell,
    to: str = "torch",
    options: ExportOptions | None = None,
    *,
    choice: ModelChoice | None = None,
) -> Exported:
    """Writes a cell, with its weights where it is trained, in a form that does not need Odyssey.

    Args:
        source: A cell or its spec, an `odyssey.RNN`, a trained cell, or the directory of a run,
            whose best model with weights is meant.
        to: One of `EXPORT_FORMS`.
        options: Sizes; of a cell alone.
        choice: Which of the models of a run.

    Raises:
        OdysseyError: There is no such cell, model or form, or it cannot be written so.
    """
    if to not in EXPORT_FORMS:
        raise ConfigError(suggest(to, EXPORT_FORMS, what="form to export to"))
    options, choice = options or ExportOptions(), choice or ModelChoice()
    row = EXPORT_FORMS[to]
    of_run = isinstance(source, str) and names_run(source)
    if not of_run:
        for name, value in asdict(choice).items():
            if value not in ("", None):
                raise ConfigError(f"--{name} chooses a model of a run, and {source} is none")
    if isinstance(source, Cell):
        portable = _of_cell(source, options)
    elif isinstance(source, TrainedCell):
        _without_sizes(options, "a trained model")
        said = {f"training.{name}": value for name, value in asdict(source.config).items()}
        portable = _of_trained(source.trained, {"resolved": said})
    elif not isinstance(source, str):
        _without_sizes(options, "an RNN")
        portable = _of_rnn(source)
    elif of_run:
        _without_sizes(options, "a trained model")
        portable = _of_run(source, choice, weights=row.weights)
    else:
        portable = _of_cell(get_cell(source), options)
    stem = file_name(portable.name)
    files = row.write(portable, stem, options)
    if of_run and to == "latex":
        files |= _tables(str(source), stem)
    return Exported(files)


def _without_sizes(options: ExportOptions, what: str) -> None:
    for name in ("input", "hidden", "layers"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} is for a cell: {what} has its own sizes")


def _of_cell(cell: Cell, options: ExportOptions) -> Portable:
    inputs = options.input
    if cell.shapes.square:
        inputs = inputs or options.hidden
        if options.hidden and inputs != options.hidden:
            raise ConfigError(f"{cell.name} reads x[t] elementwise: --input must equal --hidden")
    wide = [name for name, size in cell.shapes.inputs.items() if parts(size)[0] != ONE]
    if wide and (options.layers or 1) > 1:
        raise ConfigError(
            f"{cell.name}: its input {wide[0]} has the size of x, which later layers do not read:"
            " use --layers 1"
        )
    return Portable(cell, inputs, options.hidden, options.layers or 1)


def _arrays(layers: Layers) -> dict[str, Any]:
    """Gives the weights of layers, as they are stored and as they are used."""
    at = () if layers.population is None else (0,)
    names = layers.program.parameters()

    def plain(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name].detach().cpu().numpy()[at] for name in names}

    modules = layers.parameter_modules()
    return {
        "stored": tuple(plain({n: getattr(m, n) for n in names}) for m in modules),
        "used": tuple(map(plain, layers.layer_parameters())),
    }


def _of_rnn(rnn: RNN) -> Portable:
    from odyssey import compiler

    if not isinstance(rnn, compiler.RNN):
        raise ConfigError(
            f"expected a cell, an odyssey.RNN or the directory of a run, got {type(rnn).__name__}"
        )
    if rnn.bidirectional or rnn.population is not None:
        what = "layers of two directions are" if rnn.bidirectional else "a population is"
        raise ConfigError(f"{what} not exported: make an RNN of one direction and one member")
    sizes = rnn.input_size, rnn.hidden_size, rnn.num_layers
    return Portable(rnn.cell, *sizes, **_arrays(rnn))


def _of_run(directory: str, choice: ModelChoice, *, weights: bool) -> Portable:
    """Gives the model of a run that is meant; without weights its cell, where that is enough."""
    from odyssey.storage.store import RunStore
    from odyssey.studies.trained import load_trained

    try:
        trained = load_trained(directory, **asdict(choice))
    except StoreError:
        if weights:
            raise
        return Portable(_best_cell(RunStore.open(directory), choice))
    return _of_trained(trained, RunStore.open(directory).run)


def _best_cell(store: RunStore, choice: ModelChoice) -> Cell:
    from odyssey.storage.rungs import best_first
    from odyssey.studies.trained import choose

    rows = store.results()
    rows = rows[rows["status"] == OK]
    if rows.empty:
        raise StoreError(f"{store.path} has no finished trial")
    asked = {"cell": choice.cell, "task": choice.task, "member": choice.member}
    rows = choose(rows, asked, what="with a result in the run")
    return parse_cell(str(best_first(rows).iloc[0]["cell_text"]))


def _places(model: SequenceModel) -> tuple[tuple[int, ...], ...]:
    """Gives which numbers of a step are x, and which each further input."""
    from odyssey.training.sizes import input_size

    sizes = model.rnn.further_sizes
    if not sizes:
        return ()
    order = model.reading.order or range(input_size(model.signature))
    ends = (0, *accumulate((model.reading.main, *sizes.values())))
    return tuple(tuple(order[start:end]) for start, end in pairwise(ends))


def _of_trained(trained: TrainedModel, run: Mapping[str, Any]) -> Portable:
    model, row = trained.model, trained.row
    return replace(
        of_model(model, () if model.signature.inputs.dense else _symbols(trained.task)),
        scheme=InitScheme(_said(run, "init") or "uniform_fan", float(row["init_scale"])),
        notes=_notes(row, run),
    )


def of_model(model: SequenceModel, symbols: tuple[str, ...] = ()) -> Portable:
    """Gives what is written of a model of one member: its layers, and all that is around them.

    Args:
        model: The model.
        symbols: What the classes that it reads stand for.
    """
    signature = model.signature
    arrays = {
        "readout.weight": model.readout.detach().numpy()[0],
        "readout.bias": model.readout_bias.detach().numpy()[0],
    }
    if model.embedding is not None:
        arrays["embedding"] = model.embedding.detach().numpy()[0]
    if model.conditioner is not None:
        for name, value in model.conditioner.named_parameters():
            arrays[f"{ENCODER}{name}"] = value.detach().numpy()[0]
    around = Surroundings(
        inputs=signature.inputs.size,
        classes=not signature.inputs.dense,
        outputs=signature.outputs.size,
        arrays=arrays,
        symbols=symbols,
        places=_places(model),
        condition=signature.condition,
    )
    rnn = model.rnn
    sizes = rnn.input_size, rnn.hidden_size, rnn.num_layers
    return Portable(rnn.cell, *sizes, around=around, **_arrays(rnn))


def _symbols(task: Task) -> tuple[str, ...]:
    """Gives what classes stand for: of a text each by one character, whether printable or not."""
    from odyssey.tasks.vocabulary import Vocabulary

    vocabulary = getattr(task, "vocabulary", None)
    return tuple(vocabulary.text if isinstance(vocabulary, Vocabulary) else task.symbols)


def _said(run: Mapping[str, Any], option: str) -> str:
    """Gives what a run says of an option of training, or nothing."""
    return str(run.get("resolved", {}).get(f"training.{option}", ""))


_MASKS = ("dropout", "input_dropout", "recurrent_dropout", "drop_connect", "input_noise")


def _notes(row: Any, run: Mapping[str, Any]) -> tuple[str, ...]:
    """Says how a model was trained, and its score."""
    rule = _said(run, "optimizer") or "an optimiser"
    scores = [
        f"{what} {float(row[column]):.4f}"
        for what, column in (("validation", VALID_NATS), ("test", TEST_NATS))
        if not np.isnan(row[column])
    ]
    right = row.get(TEST_ACCURACY, np.nan)
    right = "" if np.isnan(right) else f"; {float(right):.2%} of the test right"
    spec = str(row["task"])
    task = short_names([spec])[spec]  # without the folders of a text
    notes = [
        f"Trained on {task}: {int(row['updates']):,} updates of {rule},"
        f" learning rate {float(row['learning_rate']):.3g}, seed {int(row['seed'])}."
        f" Nats a prediction: {', '.join(scores)}{right}."
    ]
    masks = [f"{n.replace('_', ' ')} {float(row[n]):g}" for n in _MASKS if row.get(n)]
    if masks:
        notes.append(
            f"Training had {', '.join(masks)}, which is not written: it changes no output."
        )
    return tuple(notes)


def _torch(portable: Portable, stem: str, options: ExportOptions) -> dict[str, bytes]:
    from odyssey.formats.torch_alone.file import write_torch

    del options
    module = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem)
    files = {f"{module}.py": write_torch(portable).encode()}
    if portable.stored:
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(value) for name, value in portable.arrays.items()}
        files[f"{module}.safetensors"] = save(arrays, metadata={"key": portable.cell.key})
    return files


def _onnx(portable: Portable, stem: str, options: ExportOptions) -> dict[str, bytes]:
    from odyssey.compiler import RNN
    from odyssey.formats.onnx_model import write_onnx

    if not portable.used:
        rnn = RNN(portable.cell, *portable.sizes(), portable.num_layers, backend="eager")
        rnn.reset_parameters(rng=np.random.default_rng(options.seed))
        portable = replace(portable, **_arrays(rnn))
    return {f"{stem}.onnx": write_onnx(portable)}


def _latex(portable: Portable, stem: str, options: ExportOptions) -> dict[str, bytes]:
    del options
    head = f"% {portable.name}, key {portable.cell.key[:12]}; needs amsmath\n"
    return {f"{stem}.tex": f"{head}\\[\n{portable.cell.latex()}\\]\n".encode()}


def _tables(directory: str, stem: str) -> dict[str, bytes]:
    """Writes the table of a run, whole and as it fits into a column."""
    from odyssey.jobs.report import latex_tables

    return {f"{stem}-{name}.tex": text.encode() for name, text in latex_tables(directory).items()}


def _mermaid(portable: Portable, stem: str, options: ExportOptions) -> dict[str, bytes]:
    from odyssey.formats.diagram import read_flow
    from odyssey.formats.mermaid import write_mermaid

    del options
    return {f"{stem}.mmd": write_mermaid(read_flow(portable.cell)).encode()}


def _svg(portable: Portable, stem: str, options: ExportOptions) -> dict[str, bytes]:
    from odyssey.formats.diagram import read_flow
    from odyssey.formats.svg import write_svg

    del options
    return {f"{stem}.svg": write_svg(read_flow(portable.cell)).encode()}


def _json(portable: Portable, stem: str, options: ExportOptions) -> dict[str, bytes]:
    del options
    data = cell_facts(portable.cell)
    if portable.hidden_size is not None:
        data["sizes"] = {
            "input": portable.input_size,
            "hidden": portable.hidden_size,
            "layers": portable.num_layers,
        }
    if portable.notes:
        data["notes"] = list(portable.notes)
    return {f"{stem}.json": (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()}


@dataclass(frozen=True)
class ExportForm:
    """A form to export to.

    Attributes:
        write: Makes the files, given what is written, the stem of their names, and the options.
        weights: Whether there is nothing to write of a run that has kept no weights.
    """

    write: Callable[[Portable, str, ExportOptions], dict[str, bytes]]
    weights: bool = False


EXPORT_FORMS: dict[str, ExportForm] = {
    "torch": ExportForm(_torch, weights=True),
    "onnx": ExportForm(_onnx, weights=True),
    "latex": ExportForm(_latex),
    "mermaid": ExportForm(_mermaid),
    "svg": ExportForm(_svg),
    "json": ExportForm(_json),
}
_BINARY = (".onnx", ".safetensors")
