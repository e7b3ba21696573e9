"""``zoo export``: exports a model to a bundle that runs without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.bundle import MANIFEST, is_bundle, read_manifest
from zoo.cli._app import App, json_option, pass_app
from zoo.cli._code import made_by_code, weights_option
from zoo.cli._complete import names_of
from zoo.cli._conditions import needed_options
from zoo.cli._export_all import export_all, verified
from zoo.cli._options import SAMPLING, importing_option, key_values
from zoo.cli._pulled import local
from zoo.cli._text import counted, size
from zoo.errors import UsageError
from zoo.files import check_free
from zoo.models import building
from zoo.models.sources import Facts, resolve
from zoo.registry.cards import Exporter, ModelCard

if TYPE_CHECKING:
    from zoo.conditions import ConditionLike
    from zoo.models.sources import Source


FAILED = 3


@click.command("export")
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--target", shell_complete=names_of("exporter"), default="onnx", show_default=True, help="What to export to."
)
@click.option("-T", "packing", multiple=True, metavar="KEY=VALUE", help="Option of a target that packs. Repeatable.")
@click.option("--opset", type=int, help="ONNX opset [18: the most portable, and the fastest on CPUs].")
@click.option(
    "--inverse",
    metavar="unroll|loop",
    help="How the small steps of an autoregressive flow's inverse are written [unroll: largest and fastest].",
)
@click.option("--fused", is_flag=True, help="Write the whole sampler as one more graph: seed in, samples out.")
@click.option("--sampler", shell_complete=names_of("sampler"), help="Sampler of the fused graph [the model's own].")
@click.option("--steps", type=click.IntRange(1), help="Its steps.")
@click.option("--guidance", type=float, help="Its weight of classifier-free guidance.")
@click.option("-O", "options", multiple=True, metavar="KEY=VALUE", help="Option of that sampler. Repeatable.")
@click.option(
    "--dtype",
    type=click.Choice(("float32", "float16", "bfloat16")),
    help="Format of weights, and of products where they can be proven (float16).",
)
@click.option(
    "--quantize",
    type=click.Choice(("int8", "int8-dynamic", "int8-weights", "int4-weights")),
    help="Integers: with calibrated activations, with dynamically scaled activations, or of the weights alone.",
)
@click.option("--bound", type=float, help="Largest accepted relative error of predictions [0.05].")
@click.option(
    "--quality/--no-quality",
    default=True,
    help="Measure the card's class agreement or bits/dim again with fewer bits [if its data are available].",
)
@click.option("--batch", type=click.IntRange(1), help="Fixed batch size of the graphs [any].")
@click.option(
    "--example",
    "example",
    multiple=True,
    metavar="FILE|VALUE|NAME=VALUE",
    help="Condition that the bundle gives as an example, as for `zoo run --condition`: pages begin with it, and "
    "`zoo run --example` takes it [that of the model's own bundle].",
)
@click.option("--without", multiple=True, metavar="NAME", help="Program or graph to leave out: log_prob. Repeatable.")
@importing_option
@weights_option
@click.option("--check", is_flag=True, help="Run the result, as far as possible here.")
@click.option("--all", "everything", is_flag=True, help="Export MODEL, or all, in every precision for every target.")
@click.option("--force", is_flag=True, help="Replace the folder if it exists.")
@json_option
@click.pass_context
@pass_app
def command(
    app: App,
    context: click.Context,
    /,
    model: str | None,
    output: Path | None,
    everything: bool,
    options: tuple[str, ...],
    packing: tuple[str, ...],
    importing: tuple[str, ...],
    **parsed: Any,
) -> None:
    """Export a model to a bundle that runs without PyTorch.

    The bundle contains ONNX graphs, the weights once, step tables, golden inputs and outputs, and a manifest
    that a runtime in any language can follow. The results of ONNX Runtime are compared with PyTorch before the
    bundle gets its name: if they differ, the exit code is 3 and there is no bundle.

    One graph serves every sampler, number of steps and guidance, so they are options only for --fused.
    With fewer bits (--dtype, --quantize) weights are rounded first, the rounded model is proven as strictly as any
    other, and the loss is measured, stated, and refused beyond --bound.

    Other targets pack a bundle with the code that runs it: the model's own bundle, which needs no PyTorch, or a new one
    if options require it.

    MODEL can also be anything that an importer reads, such as a folder of diffusers (`zoo list --importers`), or code:
    a function without arguments that returns a model, in a file that is run (path.py:function) or a module that is
    installed (package.module:function). --weights are then loaded into what it returns.

    The inverse of an autoregressive flow takes as many small steps as the data have components. They are written one
    after the other, without control flow (unroll), or as a loop of constant size (loop).

    \b
    zoo export mnist-unet -o digits
    zoo export mnist-unet -o digits --quantize int8
    zoo export mnist-unet -o digits --target python --check
    zoo export --all --check
    zoo export emoji-text -o emoji --target web --example prompt='red heart'
    zoo export mnist-unet -o digits --fused --sampler dpm-solver-pp --steps 10
    zoo export my_module.py:make_flow --weights flow.safetensors -o flow
    """
    request = Request(
        options=key_values(options, own=SAMPLING),
        packing=key_values(packing, "-T"),
        importing=key_values(importing, "-I"),
        **parsed,
    )
    if everything:
        _check_all(request)
        cards = _cards(app, model)
        if not export_all(app, cards, check=request.check, output=output, quality=request.quality):
            context.exit(FAILED)
        return
    if model is None or output is None:
        raise UsageError("export takes a MODEL and a folder to write, with -o", hint="Or --all.")
    plan = _plan(app, request, model, output)
    _write(app, plan)
    _tell(app, plan)


@dataclass(frozen=True)
class Request:
    """The parsed options of the command line; None or empty for those that were not given."""

    target: str
    packing: dict[str, Any]
    opset: int | None
    inverse: str | None
    fused: bool
    sampler: str | None
    steps: int | None
    guidance: float | None
    options: dict[str, Any]
    dtype: str | None
    quantize: str | None
    bound: float | None
    quality: bool
    batch: int | None
    without: tuple[str, ...]
    example: tuple[str, ...]
    importing: dict[str, Any]
    weights: Path | None
    check: bool
    force: bool

    @property
    def choice(self) -> dict[str, Any]:
        """The sampler of the fused graph."""
        return {name: getattr(self, name) for name in ("sampler", "steps", "guidance", "options")}

    @property
    def bundle_options(self) -> dict[str, Any]:
        """The given keywords of the exporter that writes bundles."""
        names = ("opset", "inverse", "dtype", "quantize", "bound", "batch")
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        if not self.quality:
            chosen["quality"] = False
        if self.without:
            chosen["without"] = self.without
        if self.fused:
            chosen["fused"] = self.choice
        return chosen


@dataclass(frozen=True)
class _Plan:
    """A planned export: with :func:`zoo.exporting.pack` if the model's own bundle can be used, else with export.

    With ``copies`` the bundle is copied, since what exports it anew is not installed. ``example`` is the stated one.
    """

    source: Source
    output: Path
    exporter: Exporter
    request: Request
    copies: bool = False
    example: ConditionLike = None

    @property
    def has_all_in_its_bundle(self) -> bool:
        return self.source.bundle is not None and not self.request.bundle_options

    @property
    def packs_its_bundle(self) -> bool:
        return self.exporter.packs and self.has_all_in_its_bundle


#: options that select a part of ``--all``, and their spelling
_NOT_WITH_ALL = {
    "packing": "-T",
    "opset": "--opset",
    "fused": "--fused",
    "dtype": "--dtype",
    "quantize": "--quantize",
    "importing": "-I",
    "weights": "--weights",
    "batch": "--batch",
    "without": "--without",
    "example": "--example",
    "bound": "--bound",
    "inverse": "--inverse",
    "sampler": "--sampler",
    "steps": "--steps",
    "guidance": "--guidance",
    "options": "-O",
}


#: what a folder is not called
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".7z")


def _check_all(request: Request) -> None:
    """Refuse options that select a part of everything."""
    if refused := [flag for name, flag in _NOT_WITH_ALL.items() if getattr(request, name)]:
        raise UsageError(f"--all exports everything, and takes no {', '.join(refused)}")


def _plan(app: App, request: Request, model: str, output: Path) -> _Plan:
    """Plan the export before a model is loaded.

    Raises:
        UsageError: options that are incompatible, or do not apply to the target.
        OutputError: the folder exists.
        MissingDependencyError: a requirement of the target is not installed.
    """
    if not request.fused and any(request.choice.values()):
        raise UsageError("--sampler, --steps, --guidance and -O apply only with --fused")
    exporter = app.registry.exporter(request.target)
    check_free(output, replace=request.force)
    if output.suffix.lower() in _ARCHIVES:
        folder = output
        while folder.suffix.lower() in _ARCHIVES:
            folder = folder.with_suffix("")
        raise UsageError(
            f"an export is a folder, and {output} is the name of an archive",
            hint=f"Write it to {folder}, and pack that: every command takes a bundle in a .zip.",
        )
    if request.packing and not exporter.packs:
        raise UsageError(f"the target {request.target} does not pack a bundle and takes no -T")
    source = made_by_code(app, model, request.weights, request.importing)
    source = source or resolve(app.registry, local(app, model), **request.importing)
    plan = _Plan(source, output, exporter, request, example=example_from(source, request.example))
    # where the model cannot be exported anew, the bundle that it has, which is proven, does as well
    copies = request.target == "onnx" and plan.has_all_in_its_bundle and app.registry.unavailable(exporter) is not None
    if not copies:
        app.registry.load_entry(exporter)  # reports missing packages
    return replace(plan, copies=copies)


def example_from(source: Source, texts: tuple[str, ...]) -> ConditionLike:
    """What ``--example`` stands for; None if it is not given.

    Raises:
        UsageError: the model takes no condition, or the option is given twice for one part.
        ConditionError, DataError: as for ``zoo run --condition``.
    """
    from zoo.cli._conditions import condition_from, served

    if not texts:
        return None
    stating = source.manifest() or source.card
    assert stating is not None, "a source has a card or a bundle"
    facts = Facts.stated(source.name, stating)
    if facts.condition is None:
        raise UsageError(f"{source.name} takes no condition, and so no --example")
    value = condition_from(facts.condition, texts, "--example", facts.condition_columns)
    value = served(facts.condition, value, 1)
    facts.condition.arrays(value, 1)  # before anything is traced
    return value


def _write(app: App, plan: _Plan) -> None:
    """Write the folder."""
    from zoo.exporting import copy_bundle, export, pack

    source, request = plan.source, plan.request
    where: dict[str, Any] = {"target": request.target, "force": request.force, "registry": app.registry}
    where["example"] = plan.example
    if plan.copies:
        lacks = app.registry.unavailable(plan.exporter)
        app.say(f"copying the proven bundle of {source.name}, since exporting it anew {lacks}")
        copy_bundle(source.open(), plan.output, force=request.force, example=plan.example)
        return
    if plan.packs_its_bundle:
        app.say(f"packing {source.bundle}, after checking it")
        pack(source.open(), plan.output, **where, **request.packing)
        return
    packing = {"packing": request.packing} if plan.exporter.packs else {}
    built = building.load(app.registry, source)
    with app.progress(f"exporting {source.name}", 100) as update:

        def report(what: str, done: int, total: int) -> None:
            update(100 * done // total, 100)
            if done < total:
                app.say(f"{what} ({done + 1} of {total})")

        options = {**packing, **request.bundle_options}
        export(built, plan.output, card=_card(source), progress=report, **where, **options)


def _cards(app: App, model: str | None) -> list[ModelCard]:
    """The cards of one model, or of all that are installed."""
    if model is not None:
        source = resolve(app.registry, local(app, model))
        if source.importer is not None:
            raise UsageError("--all exports installed models", hint=f"`zoo export {model} -o DIR` imports one.")
        return [_card(source)]
    return [item.description for item in app.registry.items("model") if isinstance(item.description, ModelCard)]


def _card(source: Source) -> ModelCard:
    """The model's card; a bundle's manifest says the same."""
    if source.card is not None:
        return source.card
    manifest = source.manifest()
    assert manifest is not None
    known = manifest.model
    return ModelCard(
        name=source.name,
        summary=str(known.get("summary", "")),
        family=str(known.get("family", "")),
        architecture=str(known.get("architecture", "")),
        config=known.get("config", {}),
        data=known.get("data", {}),
        license=manifest.licenses,
        metrics=known.get("metrics", {}),
        papers=tuple(known.get("papers", ())),
        source=known.get("source"),
    )


def _tell(app: App, plan: _Plan) -> None:
    """Report the result, after checking it if requested."""
    folder, exporter = plan.output, plan.exporter
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    total = sum(files.values())
    result: dict[str, Any] = {"model": plan.source.name, "folder": str(folder), "size": total, "files": files}
    # a target may have replaced the bundle's folder
    manifest = read_manifest(folder) if is_bundle(folder) and not exporter.packs else None
    said = f"wrote {folder}: {counted(len(files), 'files')}, {size(total)}"
    if manifest is not None:
        proof = dict(manifest.proof)
        result |= {"proof": proof, "manifest": str(folder / MANIFEST), "precision": manifest.precision}
        if largest := proof.get("largest_differences"):
            said += f"; equals PyTorch within {max(largest.values()):.1e} in {counted(proof['cases'], 'cases')}"
    app.say(said)
    if manifest is not None and (precision := manifest.precision) is not None:
        loss = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in precision["loss"].items())
        app.say(f"weights in {precision['weights']}, arithmetic in {precision['arithmetic']}; loss: {loss}")
    if plan.request.check:
        result["checked"] = checked = verified(app, exporter, folder)
        app.say(f"checked: {checked}")
    if manifest is not None:
        app.say(f"try `zoo run {folder}{needed_options(manifest)}`")
    if app.json:
        app.emit(result)
