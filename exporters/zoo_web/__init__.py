"""Targets ``web`` and ``node``: a bundle, and the JavaScript that runs it in a browser or in Node."""

from __future__ import annotations

from collections.abc import Iterable

import zoo


@zoo.hookimpl
def zoo_exporters() -> Iterable[zoo.Exporter]:
    """The targets ``web`` and ``node``."""
    return [
        zoo.Exporter(
            name="web",
            summary="A static page that draws samples in the browser; any web server can serve it.",
            entry="zoo_web.page:pack",
            verify="zoo_web.page:verify",
            packs=True,
            requires=("onnxruntime",),
        ),
        zoo.Exporter(
            name="node",
            summary="An npm package that draws samples in Node, from the command line or from a program.",
            entry="zoo_web.package:pack",
            verify="zoo_web.package:verify",
            packs=True,
            requires=("onnxruntime",),
        ),
    ]
