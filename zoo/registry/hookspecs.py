"""What a plugin can provide: one hook for each kind, with a complete example.

A plugin is an installed package with an entry point in the group ``zoo`` that names a module::

    [project.entry-points.zoo]
    my-plugin = "my_plugin"

The module implements any of these hooks, marked with ``zoo.hookimpl``. A hook returns (or yields) descriptions; it must
not import torch, and neither must the module.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from zoo.registry.adapters import Adapter
from zoo.registry.cards import (
    Architecture,
    Check,
    Command,
    DataReader,
    DataSource,
    DistillationMethod,
    Exporter,
    Family,
    Format,
    Importer,
    Metric,
    ModalityKind,
    ModelCard,
    PathKind,
    ProgramKind,
    Sampler,
)
from zoo.registry.engines import Engine

GROUP = "zoo"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def zoo_architectures() -> Iterable[Architecture]:  # type: ignore[empty-body]
    """Classes of model.

    Example::

        @zoo.hookimpl
        def zoo_architectures():
            return [zoo.Architecture(name="gaussian", family="flow", entry="my_plugin.model:Gaussian")]
    """


@hookspec
def zoo_families() -> Iterable[Family]:  # type: ignore[empty-body]
    """Classes that make models from parts, such as ``zoo.Diffusion`` from a network.

    Example::

        @zoo.hookimpl
        def zoo_families():
            return [zoo.Family(name="energy", summary="an energy and its partition", entry="my_plugin.energy:Energy")]
    """


@hookspec
def zoo_models() -> Iterable[ModelCard]:  # type: ignore[empty-body]
    """Pretrained models, each a folder with a ``card.json``.

    Example::

        @zoo.hookimpl
        def zoo_models():
            return [zoo.ModelCard.from_folder(Path(__file__).parent / "faces-glow")]
    """


@hookspec
def zoo_samplers() -> Iterable[Sampler]:  # type: ignore[empty-body]
    """Functions that compute step tables for diffusion models.

    Example::

        @zoo.hookimpl
        def zoo_samplers():
            return [zoo.Sampler(name="euler", entry="my_plugin.euler:euler", paper="Euler 1768")]
    """


@hookspec
def zoo_datasets() -> Iterable[DataSource]:  # type: ignore[empty-body]
    """Data sets to train on and to measure with.

    Example::

        @zoo.hookimpl
        def zoo_datasets():
            return [zoo.DataSource(name="rings", entry="my_plugin.rings:rings", license="CC0-1.0")]
    """


@hookspec
def zoo_data_readers() -> Iterable[DataReader]:  # type: ignore[empty-body]
    """Ways to read users' files and folders as data to train on.

    Example::

        @zoo.hookimpl
        def zoo_data_readers():
            return [zoo.DataReader(name="fits", suffixes=(".fits",), entry="my_plugin.fits:read")]
    """


@hookspec
def zoo_engines() -> Iterable[Engine]:  # type: ignore[empty-body]
    """What shares the work of ``zoo run --engine`` between processes or machines.

    Example::

        @zoo.hookimpl
        def zoo_engines():
            return [zoo.Engine(name="dask", entry="my_plugin.dask:run", requires=("distributed",))]
    """


@hookspec
def zoo_exporters() -> Iterable[Exporter]:  # type: ignore[empty-body]
    """Targets of ``zoo export --target``.

    Example::

        @zoo.hookimpl
        def zoo_exporters():
            return [zoo.Exporter(name="coreml", entry="my_plugin.coreml:export", requires=("coremltools",))]
    """


@hookspec
def zoo_importers() -> Iterable[Importer]:  # type: ignore[empty-body]
    """Formats of other people's models: their paths are then accepted wherever a model is.

    Example::

        @zoo.hookimpl
        def zoo_importers():
            return [zoo.Importer(name="nflows", entry="my_plugin.nflows:load", describe="my_plugin.nflows:describe")]
    """


@hookspec
def zoo_adapters() -> Iterable[Adapter]:  # type: ignore[empty-body]
    """Other libraries' models, by the class that they derive from: :func:`zoo.wrap` makes them models of genzoo.

    Example::

        @zoo.hookimpl
        def zoo_adapters():
            return [zoo.Adapter(name="acme", classes=("acme.flows.Flow",), entry="my_plugin.acme:AcmeFlow")]
    """


@hookspec
def zoo_distillations() -> Iterable[DistillationMethod]:  # type: ignore[empty-body]
    """Ways for a model to learn from a trained one, named by ``method`` in a recipe's table ``[distillation]``.

    Example::

        @zoo.hookimpl
        def zoo_distillations():
            return [zoo.DistillationMethod(name="progressive", entry="my_plugin.progressive:Progressive")]
    """


@hookspec
def zoo_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Measurements of ``zoo eval``.

    Example::

        @zoo.hookimpl
        def zoo_metrics():
            return [zoo.Metric(name="coverage", entry="my_plugin.coverage:coverage")]
    """


@hookspec
def zoo_programs() -> Iterable[ProgramKind]:  # type: ignore[empty-body]
    """Kinds of program: ways to sample or score with graphs other than those of :mod:`zoo.programs`.

    Example::

        @zoo.hookimpl
        def zoo_programs():
            return [
                zoo.ProgramKind(
                    name="rejection", entry="my_plugin.program:Rejection", runner="my_plugin.runner:RejectionRunner"
                )
            ]
    """


@hookspec
def zoo_paths() -> Iterable[PathKind]:  # type: ignore[empty-body]
    """Gaussian paths, which configs and manifests name.

    Example::

        @zoo.hookimpl
        def zoo_paths():
            return [zoo.PathKind(name="tangent", entry="my_plugin.tangent:Tangent")]
    """


@hookspec
def zoo_formats() -> Iterable[Format]:  # type: ignore[empty-body]
    """Formats of files that ``zoo run`` and :func:`zoo.render.write` write, and that data are read from.

    Example::

        @zoo.hookimpl
        def zoo_formats():
            return [zoo.Format(name="tsv", writer="my_plugin.tsv:write", reader="my_plugin.tsv:read")]
    """


@hookspec
def zoo_modalities() -> Iterable[ModalityKind]:  # type: ignore[empty-body]
    """What samples may mean, which manifests and cards name; their files are formats.

    Example::

        @zoo.hookimpl
        def zoo_modalities():
            return [zoo.ModalityKind(name="board", samples="boards", suffix=".brd", entry="my_plugin.board:Board")]
    """


@hookspec
def zoo_commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Commands of ``zoo``, each a :class:`click.Command` that is imported when it is run.

    Example::

        @zoo.hookimpl
        def zoo_commands():
            return [zoo.Command(name="hist", summary="Draw a histogram of weights.", entry="my_plugin.hist:command")]
    """


@hookspec
def zoo_checks() -> Iterable[Check]:  # type: ignore[empty-body]
    """Checks that ``zoo doctor`` runs.

    Example::

        @zoo.hookimpl
        def zoo_checks():
            return [zoo.Check(name="npu", summary="the NPU's driver", entry="my_plugin.npu:check")]
    """
