"""Data sets. Importing this only describes them; scikit-learn or a file is needed when one is loaded."""

from __future__ import annotations

from zoo.reading.builtin import readers
from zoo.registry.cards import DataReader, DataSource, Metric
from zoo.registry.hookspecs import hookimpl

_PICTURES = [
    DataSource(
        name="mnist",
        summary="70,000 handwritten digits of 28×28 pixels, 256 levels",
        entry="zoo_data.mnist:mnist",
        license="CC-BY-SA-3.0",
        source="Yann LeCun, Corinna Cortes & Christopher J. C. Burges, from NIST Special Databases 1 and 3",
    ),
    DataSource(
        name="fashion-mnist",
        summary="70,000 pictures of clothing of 28×28 pixels, 256 levels, ten classes",
        entry="zoo_data.fashion_mnist:fashion_mnist",
        license="MIT",
        source="Han Xiao, Kashif Rasul & Roland Vollgraf 2017, Zalando Research, arXiv:1708.07747",
    ),
    DataSource(
        name="cifar-10",
        summary="60,000 photographs of 32×32 pixels in colour, 256 levels, ten classes",
        entry="zoo_data.cifar10:cifar10",
        license="not stated",
        source="Alex Krizhevsky 2009, Learning multiple layers of features from tiny images",
    ),
    DataSource(
        name="emoji",
        summary="emoji of 64×64 pixels in two styles, with their groups as classes",
        entry="zoo_data.emoji:emoji",
        license="Apache-2.0 AND CC-BY-4.0",
        source="Google, Noto Emoji v2.048; Twitter and the contributors of Twemoji v16.0.1; emojibase after CLDR",
    ),
    DataSource(
        name="captioned-emoji",
        summary="emoji of 64×64 pixels in both styles, with captions of their labels and tags",
        entry="zoo_data.captioned_emoji:captioned_emoji",
        license="Apache-2.0 AND CC-BY-4.0",
        source="Google, Noto Emoji v2.048; Twitter and the contributors of Twemoji v16.0.1; emojibase after CLDR",
    ),
    DataSource(
        name="paired-emoji",
        summary="Twemoji's emoji of 64×64 pixels, given Noto's pictures of the same",
        entry="zoo_data.paired_emoji:paired_emoji",
        license="Apache-2.0 AND CC-BY-4.0",
        source="Google, Noto Emoji v2.048; Twitter and the contributors of Twemoji v16.0.1; emojibase after CLDR",
    ),
    DataSource(
        name="shrunk-emoji",
        summary="emoji of 64×64 pixels in both styles, given themselves at 16×16",
        entry="zoo_data.paired_emoji:shrunk_emoji",
        license="Apache-2.0 AND CC-BY-4.0",
        source="Google, Noto Emoji v2.048; Twitter and the contributors of Twemoji v16.0.1; emojibase after CLDR",
    ),
    DataSource(
        name="digits",
        summary="1,797 handwritten digits of 8×8 pixels, 17 levels; comes with scikit-learn",
        requires=("sklearn",),
        entry="zoo_data.digits:digits",
        license="CC-BY-4.0",
        source=(
            "E. Alpaydin & C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
            "doi:10.24432/C50P49; the test set, as scikit-learn distributes it"
        ),
    ),
]

_SEQUENCES = [
    DataSource(
        name="spoken-digits",
        summary="3,000 recordings of the digits zero to nine by six people, 0.5 s at 8 kHz, 16 bits",
        entry="zoo_data.spoken_digits:spoken_digits",
        license="CC-BY-SA-4.0",
        source="Zohar Jackson and contributors, Free Spoken Digit Dataset v1.0.10, doi:10.5281/zenodo.1342401",
    ),
    DataSource(
        name="names",
        summary="29,494 first names of 2 to 15 letters, as whole numbers",
        entry="zoo_data.names:names",
        license="public domain",
        source="US Social Security Administration, by way of Andrej Karpathy's makemore",
    ),
]

_GENERATED = {
    "moons": ("moons", "two half circles with Gaussian noise, as scikit-learn's make_moons; exact entropy"),
    "circles": ("circles", "two circles with Gaussian noise, as scikit-learn's make_circles; exact entropy"),
    "eight-gaussians": ("eight_gaussians", "eight Gaussians on a circle; exact entropy"),
    "checkerboard": ("checkerboard", "uniform on eight squares of a 4×4 board; entropy ln 32"),
    "pinwheel": ("pinwheel", "five bent Gaussian arms (Johnson et al. 2016)"),
}

_SIMULATED = {
    "two-moons": ("two_moons", "2 parameters given 2 numbers; the posterior is two crescents"),
    "slcp": ("slcp", "5 parameters of a normal distribution given 4 of its points; the posterior has four modes"),
}

_MAZE = DataSource(
    name="maze",
    summary="policy: the next 16 moves through a maze with eight ways, given a picture of 32×32 pixels and the place",
    entry="zoo_data.maze:maze",
    license="Apache-2.0",
    source="generated",
)

_DIAMONDS = DataSource(
    name="diamonds",
    summary="table: 53,917 diamonds, seven numbers, cut, colour and clarity",
    entry="zoo_data.diamonds:diamonds",
    license="MIT",
    source="Hadley Wickham and the authors of ggplot2, as plotnine distributes it",
)

_UCI = "UCI Machine Learning Repository, doi:{}, as scikit-learn distributes it"
_TABLES = {
    "wine": (
        "wine",
        "178 wines, 13 chemical measurements, three cultivars",
        "CC-BY-4.0",
        "S. Aeberhard & M. Forina, Wine, " + _UCI.format("10.24432/C5PC7J"),
    ),
    "breast-cancer": (
        "breast_cancer",
        "569 biopsies, 30 measurements of cell nuclei, two diagnoses",
        "CC-BY-4.0",
        "W. Wolberg, O. Mangasarian, N. Street & W. Street, Breast Cancer Wisconsin (Diagnostic), "
        + _UCI.format("10.24432/C5DW2B"),
    ),
    "diabetes": (
        "diabetes",
        "442 patients, 10 measurements",
        "not stated",
        "B. Efron, T. Hastie, I. Johnstone & R. Tibshirani 2004, Least angle regression; from scikit-learn",
    ),
}


@hookimpl
def zoo_data_readers() -> list[DataReader]:
    """The readers of users' files and folders."""
    return readers()


@hookimpl
def zoo_datasets() -> list[DataSource]:
    """Pictures, recordings and texts, tables of measurements, densities in the plane, simulators and a policy."""
    return [*_PICTURES, *_SEQUENCES, *_tables(), _DIAMONDS, *_densities(), *_simulators(), _MAZE]


@hookimpl
def zoo_metrics() -> list[Metric]:
    """What the data sets alone can tell of a model."""
    return [
        Metric(
            name="reference-posterior",
            summary="how well a classifier tells posteriors of two-moons and slcp from those that sbibm comes with",
            entry="zoo_data.reference:reference_posteriors",
            requires=("sbibm", "sklearn"),
        ),
        Metric(
            name="maze",
            summary="in how many mazes a policy reaches the goal, beside its demonstrator",
            entry="zoo_data.maze:success",
        ),
    ]


def _tables() -> list[DataSource]:
    """Tables that come with scikit-learn."""
    return [
        DataSource(
            name=name,
            summary=f"table: {summary}; comes with scikit-learn",
            requires=("sklearn",),
            entry=f"zoo_data.tables:{function}",
            license=license,
            source=source,
        )
        for name, (function, summary, license, source) in _TABLES.items()
    ]


def _densities() -> list[DataSource]:
    """Densities in the plane, whose samples are drawn when they are loaded."""
    return [
        DataSource(
            name=name,
            summary=f"2-D: {summary}",
            entry=f"zoo_data.densities:{function}",
            license="Apache-2.0",
            source="generated",
        )
        for name, (function, summary) in _GENERATED.items()
    ]


def _simulators() -> list[DataSource]:
    """Parameters and what is observed given them, drawn when they are loaded."""
    return [
        DataSource(
            name=name,
            summary=f"simulator: {summary}",
            entry=f"zoo_data.simulators:{function}",
            license="Apache-2.0",
            source="generated, as a task of Lueckmann et al. 2021, Benchmarking simulation-based inference, "
            "arXiv:2101.04653",
        )
        for name, (function, summary) in _SIMULATED.items()
    ]
