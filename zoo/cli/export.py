"""``zoo export``: a model becomes a bundle that runs without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cards import ModelCard
from zoo.cli._app import App, json_option, pass_app
from zoo.cli._options import key_values
from zoo.errors import UsageError
from zoo.files import check_free

if TYPE_CHECKING:
    from zoo.sources import Source


@click.command("export")
@click.argument("model", metavar="MODEL")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--target", default="onnx", show_default=True, help="What to export to.")
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
@click.option("--force", is_flag=True, help="Replace the folder if it exists.")
@json_option
@pass_app
def command(
    app: App,
    /,
    model: str,
    output: Path,
    target: str,
    opset: int | None,
    inverse: str | None,
    fused: bool,
    force: bool,
    **choice: Any,
) -> None:
    """Export a model to a bundle that runs without PyTorch.

    The bundle holds ONNX graphs, the weights once, step tables, golden inputs and outputs, and a manifest that a
    runtime in any language follows. What ONNX Runtime computes from it is compared with PyTorch before it gets its
    name: if they differ, the exit code is 3 and there is no bundle.

    One graph serves every sampler, number of steps and guidance, so there is nothing to choose here but for --fused.

    The inverse of an autoregressive flow takes as many small steps as the data have components. They are written one
    after the other, without control flow (unroll), or as a loop of constant size (loop).

    \b
    zoo export mnist-unet -o digits
    zoo export mnist-unet -o digits --fused --sampler dpm-solver-pp --steps 10
    """
    choice["options"] = key_values(choice["options"])
    if not fused and any(choice.values()):
        raise UsageError("--sampler, --steps, --guidance and -O choose what --fused writes: give that too")
    exporter = app.registry.exporter(target)
    source = app.registry.resolve(model)
    check_free(output, replace=force)
    app.registry.load_entry(exporter)  # says what is not installed, before the model is loaded
    built = app.registry.load(source)

    from zoo.export import export

    options: dict[str, Any] = {} if opset is None else {"opset": opset}
    if inverse is not None:
        options["inverse"] = inverse
    if fused:
        options["fused"] = choice
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
    _tell(app, source.name, output)


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


def _tell(app: App, name: str, folder: Path) -> None:
    from zoo.bundle import MANIFEST, is_bundle, read_manifest

    files = {p.name: p.stat().st_size for p in sorted(folder.iterdir())}
    size = sum(files.values())
    result: dict[str, Any] = {"model": name, "folder": str(folder), "size": size, "files": files}
    said = f"wrote {folder}: {len(files)} files, {size / 1e6:.1f} MB"
    if is_bundle(folder):
        result["proof"] = proof = dict(read_manifest(folder).proof)
        result["manifest"] = str(folder / MANIFEST)
        if largest := proof.get("largest_differences"):
            said += f"; equals PyTorch within {max(largest.values()):.1e} in {proof['cases']} cases"
    app.say(said)
    if is_bundle(folder):
        app.say(f"try `zoo run {folder}`")
    if app.json:
        app.emit(result)
