"""What proofs cost: seconds of CPU of every stage of the proof of a shipped bundle.

    python benchmarks/proofs.py moons-nsf circles-maf
    python benchmarks/proofs.py moons-nsf --beside ../other/.venv/bin/python

Nothing is traced: the bundle that a model comes with is compared with the model once more. Each proof has a process of
its own. With ``--beside`` another interpreter, in which another version of genzoo is installed, proves its own bundles
of the same models in turn; CPU time then compares even on a machine that others use.
"""

from __future__ import annotations

import click
from stages import interpreters, measured, show

#: runs in either interpreter: older versions keep the parts elsewhere, and look at no model alone. The model samples
#: and scores once before, since what PyTorch loads when it is first used is no part of a proof
_PROVE = """
import json, sys, time
from pathlib import Path
import torch, zoo, zoo_models
from zoo.bundle import open_bundle
from zoo.runtime import BundledModel
from zoo_onnx.proof import Proof

torch.set_num_threads(1)
model = zoo.load(sys.argv[1]).to("cpu").float().eval().requires_grad_(False)
options = {} if model.family == "flow" else {"steps": 1}
condition = None if model.condition is None or model.condition.kind != "classes" else [0, 1]
with torch.no_grad():
    x = model.sample(2, seed=0, condition=condition, **options)
    model.log_prob(x, condition=condition, **options)
bundle = BundledModel(open_bundle(Path(zoo_models.__file__).parent / sys.argv[1] / "bundle"), "cpu")
programs, spent = model.programs(), {}

def stage(name, run):
    begun = time.process_time()
    result = run()
    spent[name] = spent.get(name, 0.0) + time.process_time() - begun
    return result

if hasattr(Proof, "itself"):
    alone = Proof(model, programs)
    stage("the model in PyTorch", alone.itself)
    proof = alone.of(bundle)
else:
    proof = Proof(model, programs, bundle)
for graph in programs.graphs:
    stage("graph " + graph.name, lambda: proof.graph(graph))
stage("sample", proof.sample)
stage("log_prob", proof.log_prob)
print(json.dumps(spent))
"""


def stages_of(python: str, model: str) -> dict[str, float]:
    """Seconds of CPU of each stage of a proof of a model's bundle by an interpreter."""
    return measured(python, _PROVE, model)


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--beside", type=click.Path(exists=True, dir_okay=False), help="Another interpreter, with its genzoo.")
@click.option("--repeats", default=2, show_default=True, help="Proofs of each model; the least of each stage counts.")
def main(models: tuple[str, ...], beside: str | None, repeats: int) -> None:
    """Prove the bundles of MODELS, and print what each stage costs."""
    pythons = interpreters(beside)
    for model in models:
        runs = [[stages_of(python, model) for python in pythons] for _ in range(repeats)]
        show(model, list(zip(*runs, strict=True)))


if __name__ == "__main__":
    main()
