"""``zoo run``: samples from a model, or log-densities of data, with ONNX Runtime."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._code import made_by_code, weights_option
from zoo.cli._complete import names_of
from zoo.cli._conditions import unread_columns
from zoo.cli._options import SAMPLING, importing_option, key_values
from zoo.cli._pulled import local
from zoo.cli._request import Request, check_request, with_example
from zoo.cli._sections import SectionedCommand
from zoo.density import cannot_sample
from zoo.modality import Foreign, Table
from zoo.models.sources import Facts, resolve

_PATH = click.Path(path_type=Path)


#: the options in the help, by what they are for
SECTIONS = {
    "Samples": (
        "n",
        "seed",
        "temperature",
        "classes",
        "condition",
        "example",
        "compose",
        "output",
        "form",
        "force",
        "density",
    ),
    "Samplers": (
        *("sampler", "steps", "options", "guidance", "guidance_interval", "guidance_rescale", "negative", "fused"),
    ),
    "Edits": ("init", "strength", "mask", "encode", "noise", "interpolate"),
    "Scores": ("log_prob",),
    "Bulk": ("engine", "workers", "shard_size"),
    "Runs that are watched, stopped and resumed": ("previews", "stop_after", "resume"),
    "Devices": ("provider", "gpu", "tf32", "provider_options", "batch_size", "threads"),
}


@click.command("run", cls=SectionedCommand, sections=SECTIONS)
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True))
@click.option(
    "-n",
    type=click.IntRange(1),
    help="How many [1000 points in one or two dimensions, or drawn in up to six; else about 16, each class as often].",
)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of the noise [random, and reported].")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    metavar="T",
    help="Scale of the noise of a flow; 1 samples its density, less is tidier and less varied [the model's own].",
)
@click.option("--sampler", shell_complete=names_of("sampler"), help="Sampler of a diffusion [the model's own].")
@click.option("--steps", type=click.IntRange(1), help="Steps of a diffusion's sampler, or of its likelihood.")
@click.option("--guidance", type=float, help="Weight of classifier-free guidance; 1 means none.")
@click.option("--guidance-interval", metavar="LOW,HIGH", help="Guide only at these noise levels (sigma/alpha).")
@click.option("--guidance-rescale", type=float, metavar="PHI", help="Reduce the contrast of guidance; 0 to 1.")
@click.option(
    "--negative",
    multiple=True,
    metavar="CLASS|NAME=VALUE",
    help="Guide away from this class, or these named parts, instead of the null.",
)
@click.option(
    "--compose",
    multiple=True,
    metavar="CONDITION:WEIGHT",
    help="Sample from a composition of conditions, each as for --condition, with semicolons between its parts; a "
    "weight below 0 leads away. Repeatable.",
)
@click.option("--init", type=_PATH, metavar="FILE", help="Start from this data; one for all samples or one each.")
@click.option("--strength", type=float, metavar="S", help="How far from --init: 0 keeps it, 1 starts anew.")
@click.option("--mask", type=_PATH, metavar="FILE", help="Where to sample (1, white) and to keep --init (0, black).")
@click.option("--encode", type=_PATH, metavar="FILE", help="Write the noise that generates this data.")
@click.option("--noise", type=_PATH, metavar="FILE", help="Start from this noise, e.g. from --encode.")
@click.option("--interpolate", type=click.IntRange(2), metavar="K", help="K pictures from one sample to the next.")
@click.option("--previews", type=_PATH, metavar="FILE", help="Denoised samples of every step: a picture or .npy.")
@click.option(
    "--density",
    type=click.Choice(("auto", "fine", "none")),
    help="Density behind points: quick, as fine as possible, or none [auto].",
)
@click.option("--stop-after", type=click.IntRange(1), metavar="ROWS", help="Write the state after this many steps.")
@click.option("--resume", type=_PATH, metavar="FILE", help="Resume from a state of --stop-after.")
@click.option(
    "-O", "options", multiple=True, metavar="KEY=VALUE", help="Option of the sampler, e.g. eta=0.5. Repeatable."
)
@click.option("--class", "classes", multiple=True, metavar="CLASS", help="Class by number or label; several alternate.")
@click.option(
    "--condition",
    multiple=True,
    metavar="FILE|VALUE|NAME=VALUE",
    help="A class or a vector, or a file of one for all samples or of some, each for as many; or a file with named "
    "parts; or a part by name, as a file or value.",
)
@click.option("--example", is_flag=True, help="Take the condition that comes with the model as an example.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write: .png, .wav, .csv, .txt, .npy, .npz, .safetensors, .parquet, or a format of a plugin; - is "
    "stdout.",
)
@click.option(
    "--format",
    "form",
    metavar="NAME",
    shell_complete=names_of("format"),
    help="Format of -, on stdout or stdin [lines: csv or txt].",
)
@click.option(
    "--log-prob", type=click.Path(path_type=Path), metavar="DATA", help="Score these data instead of sampling."
)
@click.option("--fused", is_flag=True, help="Run the bundle's fused graph: the sampler that it was exported with.")
@click.option("--provider", default="auto", show_default=True, help="auto, cpu, cuda, or another provider.")
@click.option("--gpu", type=click.IntRange(0), default=0, show_default=True, help="Which GPU.")
@click.option("--tf32", is_flag=True, help="Let CUDA round products to 10 bits: faster, beyond the proven tolerance.")
@click.option(
    "-P", "provider_options", multiple=True, metavar="KEY=VALUE", help="Option of the provider itself. Repeatable."
)
@click.option("--batch-size", type=click.IntRange(1), help="Samples per batch; does not change them.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option(
    "--engine",
    metavar="NAME",
    shell_complete=names_of("engine"),
    help="Draw or score in bulk, by local processes or ray, as shards in the folder -o; the same again goes on.",
)
@click.option("--workers", type=click.IntRange(1), help="Workers of the engine; does not change samples.")
@click.option("--shard-size", type=click.IntRange(1), metavar="ROWS", help="Rows of a shard [by their size].")
@importing_option
@weights_option
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
@json_option
@pass_app
def command(
    app: App,
    /,
    model: str,
    options: tuple[str, ...],
    provider_options: tuple[str, ...],
    importing: tuple[str, ...],
    weights: Path | None,
    **parsed: Any,
) -> None:
    """Sample from a model, or score data with it.

    Without -o, samples go to a file named after the model in this folder: NAME.png when they are images, points in
    the plane or single numbers, NAME.csv when they are rows of a table, NAME.txt when they are texts, else NAME.npy. A
    file that exists is not replaced without --force.

    \b
    zoo run mnist-unet -n 20 --seed 0              20 digits, each class in turn
    zoo run mnist-unet --class 7 --guidance 2 -o sevens.png
    zoo run mnist-unet --compose 3:1 --compose 8:1 --compose 0:-0.5
    zoo run mnist-unet --sampler ddim --steps 25 -O eta=0.5
    zoo run mnist-unet --class 3 --init seven.png --strength 0.6 -n 8
    zoo run maze-policy --example -n 4 -o plans.csv
    zoo run mnist-unet --interpolate 8 -n 5 --class 3
    zoo run mnist-unet --stop-after 5 -o half.safetensors
    zoo run mnist-unet --resume half.safetensors
    zoo run moons-nsf -n 100000 -o moons.csv
    zoo run moons-nsf --log-prob moons.csv
    zoo run names-masked -n 30 -o names.txt
    echo "an??a" | zoo run names-masked --init - -n 5 -o -
    zoo run names-masked -n 100 -o - | sort | zoo run names-masked --log-prob -

    With --log-prob, DATA is .npy, .npz, .csv, .parquet or .safetensors, .txt or .wav for texts and recordings, a
    format of a plugin (`zoo list --formats`), or a folder that --engine wrote; log-densities in nats go to stdout, one
    a line, or to -o. Whole numbers are dequantised for models of discrete data; --seed decides how (0 if not given).
    Without a class, a model with guidance scores without class.

    With --engine, -o names a folder, which gets shards of Parquet or safetensors (--format) and a manifest with their
    digests. The same command again keeps the shards that are there, and makes those that are missing; the number of
    workers changes nothing. --log-prob, --init and --data of other commands read such a folder.

    \b
    zoo run moons-nsf -n 1000000 --engine local --seed 0 -o million
    zoo run moons-nsf -n 1000000 --engine ray --workers 8 --seed 0 -o million
    zoo run moons-nsf --log-prob data.parquet --engine local -o scores

    Nothing depends on the batch size, and the same seed gives the same samples everywhere.
    """
    from zoo.cli import _bulk, _piping, _sampling, _scoring

    parsed |= {name: parsed[name] or None for name in ("negative", "compose", "example")}
    parsed["form"] = parsed["form"] and parsed["form"].removeprefix(".").lower()
    parsed |= {"options": key_values(options, own=SAMPLING), "provider_options": key_values(provider_options, "-P")}
    request = Request(**parsed)
    registry = app.registry  # before the files' formats are looked at, which plugins may bring
    check_request(request)
    _bulk.check(request)
    _piping.check(app, request)
    chosen = key_values(importing, "-I")
    source = made_by_code(app, model, weights, chosen) or resolve(registry, local(app, model), **chosen)
    stating = source.manifest() or source.card  # the bundle is what runs
    assert stating is not None, "a source has a card or a bundle"
    facts = Facts.stated(source.name, stating)
    if isinstance(facts.modality, Foreign):
        app.say(str(facts.modality))
    if request.example:
        request = with_example(request, source, facts)
    _tell_unread(app, request, facts)
    with ExitStack() as stack:
        request = _piping.from_stdin(request, facts, stack)
        if request.log_prob is not None:
            (_scoring if request.engine is None else _bulk).score(app, source, facts, request, stack)
        elif not facts.samples:
            raise cannot_sample(facts.name)
        elif request.encode is not None:
            _sampling.encode(app, source, facts, request, stack)
        else:
            (_sampling if request.engine is None else _bulk).sample(app, source, facts, request, stack)


def _tell_unread(app: App, request: Request, facts: Facts) -> None:
    """Say which columns of a table that is given as the condition are not read."""
    if facts.condition is None or not request.condition:
        return
    own = [column.name for column in facts.modality.columns] if isinstance(facts.modality, Table) else []
    if told := unread_columns(facts.condition, request.condition, facts.condition_columns, own):
        app.say(told)
