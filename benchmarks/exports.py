"""What exports cost: seconds of CPU of every stage of an export, its tracing and its proof.

    python benchmarks/exports.py moons-nsf mnist-unet
    python benchmarks/exports.py mnist-unet --without log_prob
    python benchmarks/exports.py maf-64 --beside ../other/.venv/bin/python
    python benchmarks/exports.py --to exports.json         # a table of all shipped models and the two below

With ``--to`` every export is stored when it is done, with the commit and the load of the machine, and one that is
stored of this commit and machine is not run again, so a run that is stopped goes on.

Every export has a process of its own, whose imports are a stage. With ``--beside`` another interpreter, in which
another version of genzoo is installed, exports the same models in turn; CPU time then compares even on a machine that
others use. Two models have random weights: ``maf-64``, the flow of ``autoregressive.py`` in 64 dimensions, and
``ddpm-cifar10-32``, the network of google/ddpm-cifar10-32 (35.7 million parameters), with its log-density. Every other
name is that of a shipped model.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from stages import interpreters, measured, show

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "scripts"))

from gpu_run.environment import machine  # noqa: E402 - after the path
from gpu_run.models import MODELS  # noqa: E402

#: columns of the table, and how the stages in them begin; the first takes the rest
COLUMNS = {"imports": (), "tracing and writing": ("tracing", "writing"), "proofs": ("proving",)}
#: models with random weights: architecture and config
SEEDED = {
    "maf-64": (MODELS["maf-64"].architecture, MODELS["maf-64"].config),
    "ddpm-cifar10-32": (
        MODELS["ddpm-cifar10-32"].architecture,
        {**MODELS["ddpm-cifar10-32"].config, "likelihood": True},
    ),
}
#: what must be the same for figures to stand in one table
_SAME = ("commit", "processor", "cores", "python")

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

name, options, seeded = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
if name in seeded:
    torch.manual_seed(0)
    model, card = building.build(installed(), *seeded[name]).eval(), None
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
    return measured(python, _EXPORT, model, json.dumps(options), json.dumps(SEEDED))


def grouped(stages: Mapping[str, float]) -> dict[str, float]:
    """Seconds by the columns of the table, and in all."""
    sums = dict.fromkeys(COLUMNS, 0.0)
    for stage, spent in stages.items():
        column = next((name for name, begins in COLUMNS.items() if stage.startswith(begins)), next(iter(COLUMNS)))
        sums[column] += spent
    return {**sums, "all": sum(stages.values())}


def table(stored: Sequence[Mapping[str, Any]]) -> str:
    """The stored exports as a table of Markdown, with when, of what and where they were measured."""
    head = ["seconds of CPU", *COLUMNS, "all", "load"]
    lines = [head, ["---"] * len(head)]
    for each in stored:
        lines.append([each["model"], *(f"{s:.2f}" for s in grouped(each["stages"]).values()), f"{each['load']:.1f}"])
    first = stored[0]["machine"]
    where = f"{first['date']}, commit {first['commit']}, {first['cores']} cores of {first['processor']}:"
    return "\n".join([where, "", *(f"| {' | '.join(line)} |" for line in lines)])


def stored_in(path: Path, models: Sequence[str]) -> list[dict[str, Any]]:
    """The exports of a file, once those of models that it does not hold yet of this commit and machine are measured.

    Raises:
        ClickException: an export fails, or the file holds something else; what was measured before is stored.
    """
    from zoo.files import write_text

    here = machine()
    try:
        kept = json.loads(path.read_text("utf-8")) if path.exists() else []
        kept = [each for each in kept if all(each["machine"][name] == here[name] for name in _SAME)]
        done = {each["model"] for each in kept}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise click.ClickException(f"{path} does not hold exports: {type(error).__name__}: {error}") from error
    for model in models:
        if model not in done:
            load = os.getloadavg()[0]
            kept.append({"model": model, "stages": stages_of(sys.executable, model, {}), "load": load, "machine": here})
            write_text(path, json.dumps(kept, indent=1) + "\n")
    return kept


def _shipped() -> list[str]:
    from zoo.registry import installed

    return [*sorted(each.description.name for each in installed().items("model")), *SEEDED]


@click.command()
@click.argument("models", nargs=-1)
@click.option("--beside", type=click.Path(exists=True, dir_okay=False), help="Another interpreter, with its genzoo.")
@click.option("--without", multiple=True, help="As of `zoo export`.")
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Store exports here; print a table of all.")
@click.option("--repeats", default=1, show_default=True, help="Exports of each model; the least of each stage counts.")
def main(models: tuple[str, ...], beside: str | None, without: tuple[str, ...], to: Path | None, repeats: int) -> None:
    """Export MODELS, or all shipped ones and those of random weights, and print what each stage costs."""
    models = models or tuple(_shipped())
    if to is not None:
        if beside or without or repeats > 1:
            raise click.UsageError("--to stores one plain export of each model")
        click.echo(table(stored_in(to, models)))
        return
    options = {"without": list(without)} if without else {}
    pythons = interpreters(beside)
    for model in models:
        runs = [[stages_of(python, model, options) for python in pythons] for _ in range(repeats)]
        show(model, list(zip(*runs, strict=True)))


if __name__ == "__main__":
    main()
