from pathlib import Path

import click

from zoo.cli import json_option, pass_app
from zoo.render.read import read_samples


@click.command("extent")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--size", type=click.IntRange(1), required=True, help="Numbers in a sample.")
@json_option
@pass_app
def command(app, data, size):
    """Say how far data reach.

    DATA is a file of samples in any installed format.
    """
    x, _ = read_samples(data, (size,))
    if app.json:
        app.emit({"n": len(x), "low": x.min(0), "high": x.max(0)})
    else:
        print(f"{len(x)} samples from {x.min(0).tolist()} to {x.max(0).tolist()}")
