"""Makes hostile calls of `RNN` on both backends, each in a process that can crash.

    python checks/hostile_calls.py [--calls 2000] [--seed 0] [--wide] [--sanitize]

A call is a module and arguments of which one or two were tampered with: type, device, shape,
strides, values, class (`tests/support/hostile_calls.py`). Wanted: no crash; native refuses what
eager refuses, by the same error; values are those of eager, and, where tampering left them alone,
those of eager on plain copies. With `--sanitize` the generated C is compiled under the address
sanitizer, which ends a process that reads or writes where it must not. With `--wide` the cells are
those with declared sizes, reductions, transposed maps, constants, and weights with properties.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))


def sanitized() -> None:
    """Starts this script again with the sanitizer loaded before all else."""
    libraries = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")  # the second for exceptions of C++
    ]
    with tempfile.TemporaryDirectory() as cache:
        variables = {
            **os.environ,
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": "detect_leaks=0:exitcode=99:allocator_may_return_null=1",
            "CC": "gcc -fsanitize=address -g1",
            "ODYSSEY_CACHE": cache,
            "PYTHONMALLOC": "malloc",
        }
        arguments = [a for a in sys.argv[1:] if a != "--sanitize"]
        done = subprocess.run([sys.executable, __file__, *arguments], env=variables, check=False)
    sys.exit(done.returncode)


def main() -> int:
    """Makes the calls; gives 1 where one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--sanitize", action="store_true")
    options = parser.parse_args()
    if options.sanitize:
        sanitized()
    import torch
    from support.hostile_calls import SPECS, WIDE_SPECS, attempt, draw, in_a_child, judge, warm

    torch.set_num_threads(1)
    specs = WIDE_SPECS if options.wide else SPECS
    warm(specs)
    start, counts, wrong = time.monotonic(), Counter[str](), 0
    for seed in range(options.seed, options.seed + options.calls):
        call = draw(seed, specs)
        native = in_a_child(partial(attempt, call, "native"))
        eager = in_a_child(partial(attempt, call, "eager"))
        plain = None
        if call.keeps_values:
            plain = in_a_child(partial(attempt, call, "eager", plain=True))
        verdict = judge(call, native, eager, plain)
        counts["wrong" if verdict else "refused" if native.refused else "values"] += 1
        counts["refused by one of ours"] += native.ours
        if verdict:
            wrong += 1
            print(f"{call}\n    {verdict}", flush=True)
        if (seed + 1 - options.seed) % 100 == 0:
            print(f"{seed + 1 - options.seed} calls: {dict(counts)}", file=sys.stderr, flush=True)
    took = time.monotonic() - start
    print(f"{options.calls} calls: {dict(counts)}, {took:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
