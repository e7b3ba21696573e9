"""What exports cost: seconds of CPU of every stage of an export, its tracing and its proof.

    python benchmarks/exports.py moons-nsf mnist-unet
    python benchmarks/exports.py mnist-unet --without log_prob
    python benchmarks/exports.py maf-64 --beside ../other/.venv/bin/python

Every export has a process of its own, whose imports are a stage. With ``--beside`` another interpreter, in which
another version of genzoo is installed, exports the same models in turn; CPU time then compares even on a machine that
others use. ``maf-64`` is the flow of ``autoregressive.py`` in 64 dimensions; every other name is that of a shipped
model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from stages import interpreters, measured, show

#: runs in either interpreter
_EXPORT = """
import json, resource, sys, tempfile
from pathlib import Path

def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

import torch
from zoo.exporting import export
from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry import installed

name, options = sys.argv[1], json.loads(sys.argv[2])
if name == "maf-64":
    from zoo_flows.maf import MAF

    torch.manual_seed(0)
    model, card = MAF(event_shape=[64], transforms=5, hidden=[512, 512]).eval(), None
else:
    source = resolve(installed(), name)
    model, card = building.load(installed(), source), source.card
stages, now = {"imports, and the model": spent()}, ["planning", spent()]

def progress(stage, done, total):
    stages[now[0]] = stages.get(now[0], 0.0) + spent() - now[1]
    now[:] = stage, spent()

with tempfile.TemporaryDirectory() as folder:
    export(model, Path(folder) / "bundle", card=card, progress=progress, quality=False, **options)
progress("", 0, 0)
print(json.dumps(stages))
"""


def stages_of(python: str, model: str, options: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of CPU of each stage of an export of a model by an interpreter."""
    return measured(python, _EXPORT, model, json.dumps(options))


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--beside", type=click.Path(exists=True, dir_okay=False), help="Another interpreter, with its genzoo.")
@click.option("--without", multiple=True, help="As of `zoo export`.")
@click.option("--repeats", default=1, show_default=True, help="Exports of each model; the least of each stage counts.")
def main(models: tuple[str, ...], beside: str | None, without: tuple[str, ...], repeats: int) -> None:
    """Export MODELS, and print what each stage costs."""
    options = {"without": list(without)} if without else {}
    pythons = interpreters(beside)
    for model in models:
        runs = [[stages_of(python, model, options) for python in pythons] for _ in range(repeats)]
        show(model, list(zip(*runs, strict=True)))


if __name__ == "__main__":
    main()
