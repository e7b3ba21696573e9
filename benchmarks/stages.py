"""Seconds of CPU of the stages of a program, in a process of its own and of any interpreter, as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import click


def interpreters(beside: str | None) -> list[str]:
    """This interpreter, and another one."""
    return [sys.executable] if beside is None else [sys.executable, beside]


def measured(python: str, program: str, *arguments: str) -> dict[str, float]:
    """What a program prints in its last line: a table of seconds by stage, in JSON.

    Raises:
        ClickException: it fails.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [os.path.abspath(python), "-c", program, *arguments]
    with tempfile.TemporaryDirectory() as elsewhere:  # "python -c" imports from where it runs first
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=elsewhere)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise click.ClickException(f"{python} cannot measure {' '.join(arguments)}: {last}")
    spent: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return spent


def show(what: str, runs: Sequence[Sequence[dict[str, float]]]) -> None:
    """Print a column for each interpreter, with the least of its runs for each stage, and the ratio of the sums."""
    columns = [{stage: min(run.get(stage, 0.0) for run in each) for stage in each[0]} for each in runs]
    click.echo(f"{what}: seconds of CPU{', here and beside' if len(columns) > 1 else ''}")
    for stage in dict.fromkeys(stage for column in columns for stage in column):
        click.echo(f"  {stage:32}" + "".join(f"{column.get(stage, 0.0):10.2f}" for column in columns))
    sums = [sum(column.values()) for column in columns]
    ratio = f"   ratio {sums[0] / sums[1]:.2f}" if len(sums) > 1 else ""
    click.echo(f"  {'all':32}" + "".join(f"{each:10.2f}" for each in sums) + ratio)
