"""`odyssey search`: run a study, or go on with one."""

from __future__ import annotations

import argparse
import contextlib
import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.cli import report
from odyssey.cli.arguments import (
    add_moved,
    add_pilot,
    add_running,
    add_settings,
    check_moved,
    options_of,
)
from odyssey.cli.printing import print_json
from odyssey.cli.signals import ending
from odyssey.errors import ConfigError, RunCutShortError
from odyssey.jobs.power import StudyPower, study_power
from odyssey.jobs.search import (
    RunnerOptions,
    RunOptions,
    SearchEstimate,
    StudyEstimate,
    begin_run,
    estimate_study,
    resume_run,
    run_left,
    work_through,
)
from odyssey.progress.output import print_notices
from odyssey.studies.examples import copy_example, example_path, list_examples
from odyssey.studies.study import Study, read_study
from odyssey.wording import duration, plural

if TYPE_CHECKING:
    from odyssey.progress.search import LiveSearch
    from odyssey.progress.study import LiveBoard
    from odyssey.storage.store import RunStore
    from odyssey.studies.source import OpenRun, Summary


EXAMPLES = (
    ("odyssey search --example tour", "a study that comes with the package"),
    ("odyssey search --example evolve --copy mine.toml", "a file to change"),
    ("odyssey search mine.toml --dry-run", "what would run, and how long"),
    ("odyssey search mine.toml --dry-run --pilot RUN", "and which differences it could find"),
    ("odyssey search mine.toml --set members=8", "with a field changed"),
    ("odyssey search --resume results/runs/evolve", "go on after an interruption"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("study", metavar="STUDY.toml", nargs="?")
    parser.add_argument(
        "--example", metavar="EXAMPLE", help=f"a study of the package: {', '.join(list_examples())}"
    )
    parser.add_argument(
        "--copy", metavar="FILE", help="with --example: write its file, to be changed, and stop"
    )
    parser.add_argument("--resume", metavar="DIR", help="go on with an interrupted run")
    add_moved(parser, resumed=True)
    add_settings(parser, "override a field, as in training.epochs=5 (may be repeated)")
    add_running(parser)
    add_pilot(parser)


def run(args: argparse.Namespace) -> None:
    """Runs, resumes or estimates a study, then prints the leaderboard."""
    options = options_of(RunOptions, args)
    check_moved(args)
    if args.copy:
        if not args.example:
            raise ConfigError("--copy FILE needs --example NAME")
        copy_example(args.example, args.copy)
        print(f"written: {args.copy}    (odyssey search {shlex.quote(args.copy)})")
        return
    if args.resume:
        own = args.study, args.example, args.out, args.settings
        if any(own) or args.keep_weights or args.device or args.pilot:
            raise ConfigError(
                "--resume DIR goes on with the study as it was: no STUDY, --out or --set,"
                " no --keep-weights, --device or --pilot"
            )
        opened = resume_run(args.resume, texts=args.text)
        if args.dry_run:
            _print_left(opened, as_json=args.json)
        else:
            work(opened, options, as_json=args.json)
        return
    if bool(args.study) == bool(args.example):
        raise ConfigError(
            "name a study: odyssey search STUDY.toml, or --example NAME, or --resume DIR"
        )
    file = example_path(args.example) if args.example else Path(args.study)
    run_or_estimate(read_study(file, settings=args.settings), args)


def run_or_estimate(study: Study, args: argparse.Namespace) -> None:
    """Runs a study into a fresh directory, or with --dry-run says what would run.

    Args:
        study: The study.
        args: What `add_running` has added.
    """
    options = options_of(RunOptions, args)
    if args.pilot and not args.dry_run:
        raise ConfigError("--pilot says what a study could find: give it with --dry-run")
    if not args.dry_run:
        work(begin_run(study, options), options, as_json=args.json)
        return
    estimate = estimate_study(study, options)
    power = study_power(study, args.pilot) if args.pilot else None
    if isinstance(estimate, StudyEstimate):
        print_notices(estimate.tasks)
    if args.json:
        print_json(estimate.data() | ({"power": power.data()} if power else {}))
    elif isinstance(estimate, StudyEstimate):
        _print_study(estimate)
    else:
        _print_search(estimate)
    if power and not args.json:
        _print_power(power)


def work(opened: OpenRun, options: RunnerOptions, *, as_json: bool) -> None:
    """Runs what is left, watched, and prints the report."""
    from odyssey.progress.watching import live_run

    store, is_search = opened.store, opened.study.search is not None
    if not as_json:
        resume = f"interrupted? go on with: {_resume(store)}"
        print(f"{opened.study.name}: {store.path}    ({resume})", flush=True)
    print_notices(opened.tasks)
    live = live_run(opened, quiet=as_json)
    with live, _resumable(store, live, as_json=as_json):
        summary = work_through(opened, options, watcher=live)
    made = f"odyssey report {shlex.quote(str(store.path))}"
    with ending(f"every trial is finished and kept; make the report with: {made}"):
        report.show(store.path, as_json=as_json)
    if not as_json:
        _print_summary(summary, is_search=is_search)


def _resume(store: RunStore) -> str:
    return f"odyssey search --resume {shlex.quote(str(store.path))}"


@contextlib.contextmanager
def _resumable(store: RunStore, live: LiveBoard | LiveSearch, *, as_json: bool) -> Iterator[None]:
    """Says how to go on where a run is cut short: by a signal, or by what it runs on."""
    try:
        with ending("ending the trials that run; everything finished is kept"):
            yield
    except (KeyboardInterrupt, RunCutShortError) as error:
        live.__exit__(None, None, None)
        count, what = live.kept
        print(f"{what}; go on with: {_resume(store)}", file=sys.stderr, flush=True)
        if count and isinstance(error, KeyboardInterrupt):
            report.show(store.path, as_json=as_json)
        raise


def _print_summary(summary: Summary, *, is_search: bool) -> None:
    failed = f", {summary.failed} failed" if summary.failed else ""
    trials = f"trials run: {summary.ran} in {duration(summary.seconds)}{failed}"
    told = f"candidates: {summary.told} told now, of {summary.total}; " if is_search else ""
    print(f"\n{told}{trials}")
    if summary.unmeasured:
        print(f"not measured: {summary.unmeasured} candidates, stopped at their limit twice")
    if summary.overhead == summary.overhead:
        print(f"engine overhead: {summary.overhead:.1%} of the workers' time was not training")


def _print_left(opened: OpenRun, *, as_json: bool) -> None:
    left = run_left(opened)
    if as_json:
        print_json({"study": left.study, left.what: left.total, "left": left.left})
    else:
        print(f"{left.what} left: {left.left} of {left.total}")


def _print_study(estimate: StudyEstimate) -> None:
    cells, tasks = plural(estimate.cells, "cell"), plural(len(estimate.tasks), "task")
    print(f"{estimate.study}: {cells} x {tasks} ({', '.join(estimate.tasks)})")
    print(f"  trials       {estimate.trials:,} with {plural(estimate.members, 'member')} in all")
    if estimate.ladder:
        print(f"  ladder       {estimate.ladder}")
    if estimate.grid:
        values = " x ".join(f"{name} {_listed(values)}" for name, values in estimate.grid.items())
        count = plural(math.prod(map(len, estimate.grid.values())), "combination")
        print(f"  grid         {values}: {count}")
    for name, cells_with in estimate.settings.items():
        print(f"  {name:<12} of {', '.join(cells_with)}")
    print(f"  characters   {estimate.characters:,} at most")
    print(f"  wall time    about {duration(estimate.seconds)}, workers: {estimate.workers}")
    print(f"  disk         about {estimate.disk_mb} MB")
    print(
        f"  (estimated from {plural(estimate.trials_timed, 'trial')}, timed for"
        f" {duration(estimate.timed)}, with {duration(estimate.start_up)} of start-up for a worker;"
        " nothing was run)"
    )


def _print_power(power: StudyPower) -> None:
    """Prints which difference the study would find on each task."""
    from odyssey.statistics.power import POWER

    print(f"  power        found in {POWER:.0%} of studies like it, by resampling {power.pilot}:")
    for row in power.table.to_dict("records"):
        found = f"{row['difference']:.3f}" if math.isfinite(row["difference"]) else "nothing"
        comparisons = plural(row["comparisons"], "comparison")
        print(
            f"    {row['task']}: {found} at {plural(row['draws'], 'draw')} and {comparisons}"
            f" (the pilot: {plural(row['pairs'], 'pair')} of cells on"
            f" {plural(row['pilot_draws'], 'draw')})"
        )
        if 0 < power.margin < row["difference"]:
            print(f"      more than the margin of {power.margin:g}: little will be decided")
    if power.missing:
        print(f"    not in the pilot: {', '.join(power.missing)}")
    if power.differs:
        print(f"    the pilot is another study ({power.differs}): its noise may be, too")


def _listed(values: Sequence[float | str]) -> str:
    shown = (value if isinstance(value, str) else f"{value:,}" for value in values)
    return f"[{', '.join(shown)}]"


def _print_search(estimate: SearchEstimate) -> None:
    low, high = estimate.seconds_if_all_stop_first, estimate.seconds_if_none_stops
    arms = " and ".join(estimate.arms)
    print(f"{estimate.study}: {estimate.candidates} candidates by {arms}")
    print(f"  seeds        {', '.join(estimate.seeds)}")
    for name, seconds in estimate.stages.items():
        print(f"  {name:<12} {seconds} s a candidate")
    print(f"  wall time    from {duration(low)} if every candidate stops at the first stage")
    print(f"               to {duration(high)} if none stops, workers: {estimate.workers}")
    print(
        f"  (estimated from {duration(estimate.timed)} of timed updates of"
        f" {estimate.baseline}, without {duration(estimate.start_up)} of start-up; nothing was run)"
    )
