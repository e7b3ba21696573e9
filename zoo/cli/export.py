"""``zoo export``: a model becomes a bundle that runs without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.bundle import open_bundle
from zoo.cli._app import App, json_option, pass_app
from zoo.cli._export_all import export_all, verified
from zoo.cli._options import importing_option, key_values
from zoo.errors import UsageError
from zoo.files import check_free
from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry.cards import Exporter, ModelCard

if TYPE_CHECKING:
    from zoo.models.sources import Source


FAILED = 3


@click.command("export")
@click.argument("model", metavar="MODEL", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--target", default="onnx", show_default=True, help="What to export to.")
@click.option("-T", "packing", multiple=True, metavar="KEY=VALUE", help="Option of a target that packs. Repeatable.")
@click.option("--opset", type=int, help="ONNX opset [18: the most portable, and the fastest on CPUs].")
@click.option(
    "--inverse",
    metavar="unroll|loop",
    help="How many small steps in a row are written, as autoregressive flows take [unroll: largest and fastest].",
)
@click.option("--fused", is_flag=True, help="Write the whole sampler as one more graph: seed in, samples out.")
@click.option("--sampler", help="Sampler of the fused graph [the model's own].")
@click.option("--steps", type=click.IntRange(1), help="Its steps.")
@click.option("--guidance", type=float, help="Its weight of classifier-free guidance.")
@click.option("-O", "options", multiple=True, metavar="KEY=VALUE", help="Option of that sampler. Repeatable.")
@click.option(
    "--dtype",
    type=click.Choice(("float32", "float16", "bfloat16")),
    help="What weights are stored in, and products computed in where they can be proven (float16).",
)
@click.option(
    "--quantize",
    type=click.Choice(("int8", "int8-dynamic", "int8-weights", "int4-weights")),
    help="Integers: with calibrated activations, with activations scaled as they come, or of the weights alone.",
)
@click.option("--bound", type=float, help="Relative error of predictions that is refused beyond [0.05].")
@click.option(
    "--quality/--no-quality",
    default=True,
    help="Measure the card's class agreement or bits/dim again with fewer bits [where its data can be had].",
)
@click.option("--batch", type=click.IntRange(1), help="The one size of batch that graphs take [any].")
@importing_option
@click.option("--check", is_flag=True, help="Run what was written, as far as that can be done here.")
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
    check: bool,
    everything: bool,
    target: str,
    packing: tuple[str, ...],
    opset: int | None,
    inverse: str | None,
    fused: bool,
    force: bool,
    dtype: str | None,
    quantize: str | None,
    bound: float | None,
    quality: bool,
    batch: int | None,
    importing: tuple[str, ...],
    **choice: Any,
) -> None:
    """Export a model to a bundle that runs without PyTorch.

    The bundle holds ONNX graphs, the weights once, step tables, golden inputs and outputs, and a manifest that a
    runtime in any language follows. What ONNX Runtime computes from it is compared with PyTorch before it gets its
    name: if they differ, the exit code is 3 and there is no bundle.

    One graph serves every sampler, number of steps and guidance, so there is nothing to choose here but for --fused.
    With fewer bits (--dtype, --quantize) weights are rounded first, the rounded model is proven as strictly as any, and
    what rounding costs is measured, stated, and refused beyond --bound.

    Other targets pack a bundle with what runs it: the one that a model comes with, which needs no PyTorch, or a new one
    if options ask for it.

    MODEL can also be what an importer reads, such as a folder of diffusers (`zoo list importers`).

    The inverse of an autoregressive flow takes as many small steps as the data have components. They are written one
    after the other, without control flow (unroll), or as a loop of constant size (loop).

    \b
    zoo export mnist-unet -o digits
    zoo export mnist-unet -o digits --quantize int8
    zoo export mnist-unet -o digits --target python --check
    zoo export --all --check
    zoo export mnist-unet -o digits --fused --sampler dpm-solver-pp --steps 10
    """
    choice["options"] = key_values(choice["options"])
    if everything:
        given: dict[str, Any] = {
            "-T": packing,
            "--opset": opset,
            "--fused": fused,
            "--dtype": dtype,
            "--quantize": quantize,
            "-I": importing,
        }
        given |= {"--batch": batch, "--bound": bound}
        if refused := [name for name, value in given.items() if value]:
            raise UsageError(f"--all takes all there is, and no {', '.join(refused)}")
        if not export_all(app, _cards(app, model), check=check, output=output, quality=quality):
            context.exit(FAILED)
        return
    if model is None or output is None:
        raise UsageError("export takes a MODEL and a folder to write, with -o", hint="Or --all.")
    if not fused and any(choice.values()):
        raise UsageError("--sampler, --steps, --guidance and -O choose what --fused writes: give that too")
    exporter = app.registry.exporter(target)
    source = resolve(app.registry, model, **key_values(importing, "-I"))
    check_free(output, replace=force)
    app.registry.load_entry(exporter)  # says what is not installed, before the model is loaded
    own = key_values(packing, "-T")
    if own and not exporter.packs:
        raise UsageError(f"the target {target} packs nothing and takes no -T")

    asked = {
        "opset": opset,
        "inverse": inverse,
        "dtype": dtype,
        "quantize": quantize,
        "bound": bound,
        "batch": batch,
    }
    options: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if not quality:
        options["quality"] = False
    if fused:
        options["fused"] = choice
    if exporter.packs and source.bundle is not None and not options:
        from zoo.exporting import pack

        app.say(f"packing {source.bundle}, having checked it")
        pack(open_bundle(source.bundle), output, target=target, force=force, registry=app.registry, **own)
        _tell(app, source.name, output, exporter, check=check)
        return
    if exporter.packs:
        options["packing"] = own
    built = building.load(app.registry, source)
    from zoo.exporting import export

    with app.progress(f"exporting {source.name}", 100) as update:

        def report(what: str, done: int, total: int) -> None:
            update(100 * done // total, 100)
            if done < total:
                app.say(f"{what} ({done + 1} of {total})")

        export(
            built,
            output,
            card=_card(source),
            target=target,
            force=force,
            registry=app.registry,
            progress=report,
            **options,
        )
    _tell(app, source.name, output, exporter, check=check)


def _cards(app: App, model: str | None) -> list[ModelCard]:
    """The cards of one model, or of all that are installed."""
    if model is not None:
        source = resolve(app.registry, model)
        if source.importer is not None:
            raise UsageError("--all takes models that are installed", hint=f"`zoo export {model} -o DIR` imports one.")
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
    )


def _tell(app: App, name: str, folder: Path, exporter: Exporter, *, check: bool) -> None:
    """Say what was written, having checked it if that is wanted."""
    from zoo.bundle import MANIFEST, is_bundle, read_manifest

    runs = is_bundle(folder) and not exporter.packs  # what packs may have taken a bundle apart

    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    size = sum(files.values())
    result: dict[str, Any] = {"model": name, "folder": str(folder), "size": size, "files": files}
    precision = None
    said = f"wrote {folder}: {len(files)} files, {size / 1e6:.1f} MB"
    if runs:
        result["proof"] = proof = dict(read_manifest(folder).proof)
        result["manifest"] = str(folder / MANIFEST)
        result["precision"] = precision = read_manifest(folder).precision
        if largest := proof.get("largest_differences"):
            said += f"; equals PyTorch within {max(largest.values()):.1e} in {proof['cases']} cases"
    app.say(said)
    if precision is not None:
        loss = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in precision["loss"].items())
        app.say(f"weights in {precision['weights']}, arithmetic in {precision['arithmetic']}; loss: {loss}")
    if check:
        result["checked"] = checked = verified(app, exporter, folder)
        app.say(f"checked: {checked}")
    if runs:
        app.say(f"try `zoo run {folder}`")
    if app.json:
        app.emit(result)
