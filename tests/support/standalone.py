"""Generated code as a program of its own: under sanitizers, for another processor, in an emulator.

`record()` keeps what goes into every call of generated code and what comes out. `build` compiles
the same source into an executable that makes those calls again, each with buffers of exactly the
recorded sizes, and `run` gives what they hold afterwards.
"""

import contextlib
import ctypes
import functools
import gc
import shlex
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from odyssey.compiler import layers
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call import kernel
from odyssey.compiler.backends.native.call.products import SOURCES

MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

$declarations
extern const char odyssey_products[];
static void (*const entries[])(const void *, const void *) = {$entries};

static long number(FILE *file) {
  long n;
  if (fread(&n, sizeof n, 1, file) != 1) exit(3);
  return n;
}

int main(int count, char **names) {
  FILE *in = fopen(names[1], "rb"), *out = fopen(names[2], "wb");
  if (count != 3 || !in || !out) return 3;
  for (long calls = number(in); calls > 0; calls--) {
    const long entry = number(in), buffers = number(in);
    char **start = calloc(buffers, sizeof *start);
    long *size = calloc(buffers, sizeof *size);
    for (long b = 0; b < buffers; b++) {
      size[b] = number(in);
      if (posix_memalign((void **)&start[b], 64, size[b])) return 3;
      if (fread(start[b], 1, size[b], in) != (size_t)size[b]) return 3;
    }
    long *array[2] = {0, 0};
    for (int a = 0; a < 2; a++) {
      const long length = number(in);
      if (!length) continue;
      array[a] = calloc(length, sizeof(long));
      for (long k = 0; k < length; k++) {
        const long value = number(in), buffer = number(in);
        array[a][k] = buffer == -2  ? (long)odyssey_products
                      : buffer < 0 ? value : (long)(start[buffer] + value);
      }
    }
    entries[entry](array[0], array[1]);
    for (long b = 0; b < buffers; b++) {
      if (fwrite(start[b], 1, size[b], out) != (size_t)size[b]) return 3;
      free(start[b]);
    }
    free(array[0]);
    free(array[1]);
    free(start);
    free(size);
  }
  fclose(in);
  return fclose(out) ? 3 : 0;
}
"""


@dataclass
class Call:
    """One call: each number is (value, -1), an address as (offset, buffer), or (0, -2): the
    functions that all cells share."""

    entry: str
    arrays: list[list[tuple[int, int]]]
    before: list[bytes]
    after: list[bytes]
    dtypes: list[np.dtype]


@dataclass
class Recording:
    """A source, the calls that were made of it, and the functions that all cells share."""

    source: str
    calls: list[Call]
    shared: str = ""


def _extents():
    """The memory of all tensors of this recording, (start, end, dtype); what overlaps is one."""
    found = []
    for tensor in gc.get_objects():
        # by type, for isinstance asks every object in memory for its class; what torch traced with
        # has no memory
        if (
            type(tensor) in (torch.Tensor, torch.nn.Parameter)
            and torch._C._has_storage(tensor)
            and tensor.device.type == "cpu"
            and tensor.numel()
        ):
            steps = zip(tensor.shape, tensor.stride(), strict=True)
            last = sum((size - 1) * stride for size, stride in steps)
            start, width = tensor.data_ptr(), tensor.element_size()
            if (tensor.storage_offset() + last + 1) * width > tensor.untyped_storage().nbytes():
                continue  # its storage was freed or cut
            dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
            found.append((start, start + (last + 1) * width, dtype))
    whole = []
    for start, end, dtype in sorted(found, key=lambda e: (e[0], -e[1])):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]), whole[-1][2])
        else:
            whole.append((start, end, dtype))
    return whole


class _Recorder:
    """Stands in for a loaded library."""

    def __init__(self, library, recording):
        self.library, self.recording = library, recording

    def __getattr__(self, entry):
        function = getattr(self.library, entry)

        def call(*arrays):
            extents, places = _extents(), {}
            numbers = []
            for array in arrays:
                row = []
                for value in array or ():
                    inside = [e for e in extents if e[0] <= value < e[1]]
                    if value in SOURCES:
                        self.recording.shared = SOURCES[value]
                        row.append((0, -2))
                    elif inside:
                        number = places.setdefault(inside[0], len(places))
                        row.append((value - inside[0][0], number))
                    else:
                        assert abs(value) < 2**32, f"{entry}: an address of no tensor"
                        row.append((value, -1))
                numbers.append(row)
            spans = [(start, end - start) for start, end, _ in places]
            before = [ctypes.string_at(*span) for span in spans]
            function(*arrays)
            after = [ctypes.string_at(*span) for span in spans]
            dtypes = [dtype for *_, dtype in places]
            self.recording.calls.append(Call(entry, numbers, before, after, dtypes))

        return call


@contextlib.contextmanager
def record(monkeypatch, *, target=None):
    """Records the calls of modules that are built inside; yields recordings, one a source.

    Args:
        monkeypatch: Pytest's.
        target: A row of `targets.TARGETS` to generate code for instead of the widest.
    """
    recordings = {}
    load = toolchain.load

    def recorded(source, *entries):
        if entries:  # no loop of a cell
            return load(source, *entries)
        recording = recordings.setdefault(source, Recording(source, []))
        return _Recorder(load(source), recording)

    def forget():
        kernel.forget()
        layers._built.cache_clear()

    forget()
    # of the many objects of a test run, only those that are made from now on are looked through
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(toolchain, "load", recorded)
            # every buffer as long as its call says, so that reading past its end is noticed
            patch.setattr(kernel, "borrow", lambda total, dtype: torch.empty(total, dtype=dtype))
            if target:
                patch.setattr(toolchain, "target", lambda: target)
            yield recordings
    finally:
        if not before:  # else what the session has frozen would be walked over again
            gc.unfreeze()
        forget()


def write_calls(calls):
    """Writes calls down as the program reads them."""
    out = [len(calls)]
    parts = []

    def flush():
        parts.append(struct.pack(f"={len(out)}q", *out))
        out.clear()

    for call in calls:
        out += [toolchain.LOOP_ENTRIES.index(call.entry), len(call.before)]
        for data in call.before:
            out.append(len(data))
            flush()
            parts.append(data)
        for array in call.arrays:
            out.append(len(array))
            out += [n for pair in array for n in pair]
    flush()
    return b"".join(parts)


def build(recording, folder, *, flags=(), command=None):
    """Compiles a recorded source and the program around it; gives the executable."""
    command = tuple(command or toolchain.compiler())
    kept = [flag for flag in toolchain.FLAGS if flag not in ("-shared", "-fPIC")]
    options = (*kept, *flags)
    objects = {"main.o": _object(MAIN_TEXT, command, options)}
    objects["shared.o"] = _object(recording.shared, command, options)
    for name, data in objects.items():
        (folder / name).write_bytes(data)
    (folder / "cell.c").write_text(recording.source)
    _compile(folder, *command, *options, "cell.c", *objects, "-o", "program", "-lm")
    return folder / "program"


MAIN_TEXT = MAIN.replace(
    "$declarations",
    "".join(f"void {name}(const void *, const void *);\n" for name in toolchain.LOOP_ENTRIES),
).replace("$entries", ", ".join(toolchain.LOOP_ENTRIES))


@functools.cache
def _object(source, command, options):
    """An object file: what is the same for many cells is compiled once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "part.c").write_text(source)
        _compile(folder, *command, *options, "-c", "part.c", "-o", "part.o")
        return (folder / "part.o").read_bytes()


def _compile(folder, *arguments):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run(program, calls, *, emulator=(), variables=None):
    """Makes the calls; gives the exit code, standard error and the buffers of each call."""
    (program.parent / "in").write_bytes(write_calls(calls))
    done = subprocess.run(
        [*emulator, str(program), "in", "out"],
        cwd=program.parent,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    data, found = (program.parent / "out").read_bytes(), []
    for call in calls if done.returncode == 0 else ():
        found.append([])
        for before in call.before:
            found[-1].append(data[: len(before)])
            data = data[len(before) :]
    return done.returncode, done.stderr, found


def assert_same(calls, found, *, tolerance):
    """Compares what the calls left behind with what was recorded."""
    for call, buffers in zip(calls, found, strict=True):
        for want, got, dtype in zip(call.after, buffers, call.dtypes, strict=True):
            a, b = np.frombuffer(got, dtype), np.frombuffer(want, dtype)
            if dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=call.entry)
            else:
                np.testing.assert_array_equal(a, b, call.entry)


def find_compiler(*names):
    """Gives the first of some compilers (`name` or `name with options`) that is there."""
    for name in names:
        command = shlex.split(name)
        if shutil.which(command[0]):
            return tuple(command)
    return None
