"""What proofs cost: seconds of CPU of the stages of an export.

    python benchmarks/proofs.py moons-nsf circles-maf
    python benchmarks/proofs.py moons-nsf --beside ../other/.venv/bin/python

Each export has a process of its own. With ``--beside`` another interpreter, in which another version of genzoo is
installed, exports the same models in turn; CPU time then compares even on a machine that others use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click

#: runs in either interpreter; exporting had another place in older versions. The model samples and scores once before,
#: since whatever PyTorch loads when it is first used is no part of a proof
_EXPORT = """
import importlib, json, sys, tempfile, time
import torch, zoo
torch.set_num_threads(1)
try:
    export = importlib.import_module("zoo.exporting").export
except ModuleNotFoundError:
    export = importlib.import_module("zoo.export").export
if sys.argv[1] == "tiny-unet":
    from zoo_diffusion.unet import UNetDiffusion
    torch.manual_seed(0)
    model = UNetDiffusion(event_shape=[1, 8, 8], base=8, multipliers=[1, 2], sampling={"steps": 5})
else:
    model = zoo.load(sys.argv[1])
options = {"steps": 1} if model.family == "diffusion" else {}
condition = None if model.condition is None or model.condition.kind != "classes" else [0, 1]
with torch.no_grad():
    x = model.sample(2, seed=0, condition=condition, **options)
    model.log_prob(x, condition=condition, **options)
spent, last = {}, ["", time.process_time()]
def progress(stage, done, parts):
    now = time.process_time()
    spent[last[0]] = spent.get(last[0], 0.0) + now - last[1]
    last[:] = [stage, now]
with tempfile.TemporaryDirectory() as folder:
    export(model, folder + "/bundle", progress=progress)
print(json.dumps(spent))
"""


def stages(python: str, model: str) -> dict[str, float]:
    """Seconds of CPU of each stage of one export."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([python, "-c", _EXPORT, model], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise click.ClickException(f"{python} cannot export {model}: {done.stderr.strip().splitlines()[-1]}")
    spent: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return spent


def proving(spent: dict[str, float]) -> float:
    """Seconds of CPU of all stages that prove."""
    return sum(seconds for stage, seconds in spent.items() if stage.startswith("proving"))


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--beside", type=click.Path(exists=True, dir_okay=False), help="Another interpreter, with its genzoo.")
@click.option("--repeats", default=2, show_default=True, help="Exports of each model; the least of each stage counts.")
def main(models: tuple[str, ...], beside: str | None, repeats: int) -> None:
    """Export MODELS, and print what each stage costs; `tiny-unet` is a small diffusion that nobody trained."""
    interpreters = [sys.executable] if beside is None else [sys.executable, beside]
    for model in models:
        runs: list[list[dict[str, float]]] = [[] for _ in interpreters]
        for _ in range(repeats):
            for found, python in zip(runs, interpreters, strict=True):
                found.append(stages(python, model))
        least = [{stage: min(run[stage] for run in found) for stage in found[0]} for found in runs]
        click.echo(f"{model}: seconds of CPU{'' if beside is None else ', here and beside'}")
        for stage in dict.fromkeys(stage for each in least for stage in each if stage):
            click.echo("  " + f"{stage:32}" + "".join(f"{each.get(stage, 0.0):10.2f}" for each in least))
        totals = [proving(each) for each in least]
        ratio = "" if beside is None else f"   ratio {totals[0] / totals[1]:.2f}"
        click.echo("  " + f"{'all that proves':32}" + "".join(f"{total:10.2f}" for total in totals) + ratio)


if __name__ == "__main__":
    main()
