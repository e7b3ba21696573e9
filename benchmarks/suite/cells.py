"""What is measured, and in which order: the most valuable cells first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: sections by name, with their titles on the page, in its order
SECTIONS = {
    "limits": "The limits of the machine",
    "sampling": "Sampling of the shipped models",
    "variants": "One model, exported in other ways",
    "flows": "Flows beside other libraries",
    "diffusers": "A pipeline of diffusers",
    "scaling": "Scaling",
    "memory": "Memory",
    "runtimes": "Other runtimes",
    "start": "Starting",
    "exports": "Exports and proofs",
    "conditions": "Conditions, encoded once",
}
#: shipped models, the most telling first
MODELS = (
    "mnist-unet",
    "digits-nsf",
    "moons-nsf",
    "pinwheel-realnvp",
    "moons-rectified-flow",
    "emoji-text",
    "emoji-text-consistency",
    "emoji-restyle",
    "emoji-upscale",
    "maze-policy",
    "slcp-posterior",
    "two-moons-posterior",
    "circles-maf",
    "mnist-unet-consistency",
    "mnist-unet-likelihood",
    "spoken-digits-speakers",
    "names-masked",
    "wine-mlp",
    "diamonds-mlp",
    "mnist-glow",
    "mnist-pixelcnn",
    "eight-gaussians-iaf",
    "checkerboard-nsf-ar",
    "moons-cnf",
)
#: shipped models that differ in what their exports do, and the two of ``exports.py``
EXPORTED = (
    *("moons-nsf", "maf-64", "mnist-unet", "circles-maf", "emoji-text", "emoji-upscale", "maze-policy"),
    *("slcp-posterior", "spoken-digits-speakers", "mnist-glow", "moons-cnf", "ddpm-cifar10-32"),
)
BATCHES = (16, 1, 256)
VARIANTS = ("fused", "int8", "int8-dynamic", "float16")
#: a cell is stopped after this many seconds
BOUND = 60.0


@dataclass(frozen=True)
class Cell:
    """One thing to measure.

    Attributes:
        section: a key of :data:`SECTIONS`.
        name: what is measured; cells of one section and name stand in one table of the page.
        case: the case, such as a batch size.
        function: what measures it, ``"module:attribute"`` of this package.
        arguments: of the function.
        seconds: to spend on turns.
        bound: seconds after which it is stopped.
        quick: whether ``--quick`` takes it.
    """

    section: str
    name: str
    case: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    seconds: float = 3.0
    bound: float = BOUND
    quick: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the cell in every run."""
        return self.section, self.name, self.case


def planned(sections: Sequence[str] | None = None, *, quick: bool = False) -> list[Cell]:
    """The cells of some sections, or of all, in order; with ``quick`` only a few of each section."""
    # the goals need the limits and the start, and the first models matter most
    order = [_limits(), _start(), _sampling(MODELS[:3]), _variants(), _flows(), _runtimes(), _diffusers()]
    order += [_exports(), _conditions(), _scaling(), _sampling(MODELS[3:]), _memory()]
    cells = [cell for group in order for cell in group]
    chosen = [cell for cell in cells if sections is None or cell.section in sections]
    return [cell for cell in chosen if cell.quick or not quick]


def _limits() -> list[Cell]:
    return [
        Cell("limits", "the machine", f"{n} thread{'s' * (n > 1)}", "limits:measure", {"threads": n}, quick=n == 1)
        for n in (1, 2)
    ]


def _start() -> list[Cell]:
    return [Cell("start", "processes", "cold", "start:measure", seconds=12.0, bound=150.0, quick=True)]


def _sampling(models: Sequence[str]) -> list[Cell]:
    quick = {("moons-rectified-flow", 16), ("pinwheel-realnvp", 16), ("mnist-unet", 1)}
    cells = []
    for model in models:
        for batch in BATCHES:
            arguments = {"model": model, "batch": batch}
            # the first of a model compiles it, and large batches of images take seconds a turn
            bound = {16: 150.0, 1: 90.0, 256: 240.0}[batch]
            more = {"bound": bound, "quick": (model, batch) in quick}
            cells.append(Cell("sampling", model, f"batch {batch}", "sampling:measure", arguments, 4.0, **more))
    return cells


def _variants() -> list[Cell]:
    return [
        Cell("variants", "mnist-unet", way, "variants:measure", {"model": "mnist-unet", "way": way}, 6.0, 180.0)
        for way in VARIANTS
    ] + [
        Cell("variants", "moons-rectified-flow", way, "variants:measure", arguments, 2.0, 120.0, quick=way == "fused")
        for way in ("fused", "int8-dynamic")
        for arguments in [{"model": "moons-rectified-flow", "way": way}]
    ]


def _flows() -> list[Cell]:
    return [
        Cell("flows", kind, f"{way}, batch {batch}", "flows:measure", arguments, 3.0, 120.0, quick)
        for kind in ("nsf-coupling-64", "nsf-coupling-2", "realnvp-2", "maf-64")
        for way in ("samples", "density")
        for batch in (256, 1)
        for arguments in [{"kind": kind, "way": way, "batch": batch}]
        for quick in [batch == 256 and kind == "realnvp-2"]
    ]


def _diffusers() -> list[Cell]:
    return [
        Cell("diffusers", "unet2d", f"batch {batch}", "pipelines:measure", {"batch": batch}, 5.0, 240.0, batch == 1)
        for batch in (1, 4)
    ]


def _runtimes() -> list[Cell]:
    # the page of a small model is drawn in a second
    return [
        Cell("runtimes", model, f"{n} samples", "runtimes:measure", arguments, 6.0, 240.0, quick=model == "moons-nsf")
        for model, n in (("mnist-unet", 4), ("moons-nsf", 1000))
        for arguments in [{"model": model, "n": n}]
    ]


def _exports() -> list[Cell]:
    exports = [
        Cell("exports", "exports", model, "tools:export", {"model": model}, bound=240.0, quick=model == "circles-maf")
        for model in EXPORTED
    ]
    return exports + [
        Cell("exports", "proofs", model, "tools:prove", {"model": model}, bound=120.0, quick=model == "circles-maf")
        for model in ("moons-nsf", "circles-maf")
    ]


def _conditions() -> list[Cell]:
    return [
        Cell("conditions", kind, f"{n} sample{'s' * (n > 1)}, {steps} steps", "tools:conditions", arguments, 3.0, 180.0)
        for kind, n, steps in (("picture", 1, 10), ("picture", 16, 50), ("text", 1, 50))
        for arguments in [{"kind": kind, "n": n, "steps": steps}]
    ]


def _scaling() -> list[Cell]:
    cells = [
        Cell("scaling", f"{model} by batch", str(batch), "scaling:batch", arguments, 1.5, 90.0, quick)
        for model in ("moons-nsf", "digits-nsf", "mnist-unet")
        for batch in (1, 4, 16, 64, 256, 1024)
        for arguments in [{"model": model, "batch": batch}]
        for quick in [model == "moons-nsf" and batch in (1, 16)]
    ]
    cells += [
        Cell("scaling", f"{model} by threads", str(n), "scaling:batch", arguments, 2.0, 60.0)
        for model, batch in (("mnist-unet", 16), ("digits-nsf", 256))
        for n in (1, 2)
        for arguments in [{"model": model, "batch": batch, "threads": n}]
    ]
    cells += [
        Cell("scaling", "moons-rectified-flow by steps", str(n), "scaling:steps", {"steps": n}, 1.0, quick=n == 10)
        for n in (1, 10, 100, 1000)
    ]
    cells += [
        Cell("scaling", "maf by dimension", str(size), "scaling:dimension", {"size": size}, 2.0, 120.0, size == 16)
        for size in (16, 64, 256, 1024)
    ]
    return cells + [
        Cell("scaling", "unet by image size", str(size), "scaling:image", {"size": size}, 2.0, 120.0, size == 28)
        for size in (28, 64, 128, 256)
    ]


def _memory() -> list[Cell]:
    return [
        Cell("memory", model, f"batch {batch}", "memory:measure", arguments, bound=90.0, quick=model == "moons-nsf")
        for model, batch in (("mnist-unet", 16), ("moons-nsf", 1000))
        for arguments in [{"model": model, "batch": batch}]
    ]
