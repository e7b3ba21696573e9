"""The packages that ``zoo new`` writes: those of the tutorials in docs/plugins, with other names.

``files/KIND/`` is a package as a page shows it, and ``files/common/`` what all have: README, tests and a CI file.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from zoo.errors import UnknownNameError, UsageError
from zoo.files import atomic_folder, check_free, write_text

FILES = Path(__file__).parent / "files"
COMMON = "common"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "zoo-"


@dataclass(frozen=True)
class Template:
    """A package to write.

    Attributes:
        name: that of what it brings, which is replaced.
        summary: what the package brings, as it stands.
        kinds: of what the new name must be free, keys of :data:`zoo.registry.discovery.KINDS`.
        page: of the documents that explains it, below ``docs/``.
        tries: commands to try it with, one a line.
        words: others that are replaced, by what they become: ``{name}``, ``{module}``.
    """

    name: str
    summary: str
    kinds: tuple[str, ...]
    page: str
    tries: str
    words: dict[str, str] = field(default_factory=dict)


_TRAINS = "zoo train {name}.toml -o runs/{name}\nzoo export runs/{name} -o {name}.bundle\n"
_PAGE = (
    "\n# a page that draws in the browser (npm fetches ONNX Runtime for it); then: python -m http.server -d page"
    "\nzoo export {name}.bundle -o page --target web"
)
#: by ``--kind``, in the order of the help
TEMPLATES = {
    "flow": Template(
        "twist",
        "a flow with a transform of its own",
        ("architecture",),
        "plugins/flow.md",
        _TRAINS + "zoo run {name}.bundle -n 1000 -o samples.png" + _PAGE,
    ),
    "diffusion": Template(
        "film",
        "the network of a diffusion",
        ("architecture",),
        "plugins/diffusion-network.md",
        _TRAINS + "zoo run {name}.bundle --class 0 -n 500 -o samples.png" + _PAGE,
    ),
    "sampler": Template(
        "restart",
        "a sampler for every diffusion",
        ("sampler",),
        "plugins/sampler.md",
        "zoo run moons-rectified-flow --sampler {name} --steps 8 -n 500 -o samples.png",
    ),
    "dataset": Template(
        "spirals",
        "a data set, with a recipe that trains a flow on it",
        ("data set",),
        "plugins/data-set.md",
        _TRAINS + "zoo run {name}.bundle --class second -n 500 -o samples.png" + _PAGE,
    ),
    "metric": Template(
        "coverage",
        "a number of zoo eval",
        ("metric",),
        "plugins/metric.md",
        "zoo eval moons-nsf --metric {name} --samples 500",
    ),
    "target": Template(
        "script",
        "a target of zoo export",
        ("exporter",),
        "plugins/target.md",
        "zoo export moons-nsf --target {name} --check -o moons-{name}",
    ),
    "adapter": Template(
        "acme",
        "an adapter of another library's models",
        ("adapter",),
        "adapters.md",
        "python -c 'import zoo, {module}_library as library; "
        'zoo.export(zoo.wrap(library.TriangularFlow(3)), "{name}.bundle")\'' + _PAGE,
        {"acme_flows": "{module}_library"},
    ),
    "program": Template(
        "rejection",
        "a kind of program, and a model that samples by it",
        ("program",),
        "plugins/program.md",
        _TRAINS.replace("{name}.toml", "{name}-model.toml") + "zoo run {name}.bundle -n 1000 -o samples.csv",
        {"resampled": "{name}-model"},
    ),
}


@dataclass(frozen=True)
class Naming:
    """The names of a new package: the distribution ``zoo-rings``, the module ``zoo_rings``, ``rings`` in it.

    Raises:
        UsageError: a name that a package, a module or a plugin cannot have.
    """

    called: str

    def __post_init__(self) -> None:
        """Refuse a name that cannot be one."""
        if not _NAME.fullmatch(self.called) or keyword.iskeyword(self.name):
            raise UsageError(
                f"{self.called!r} is not a name for a plugin: use lower-case words joined by hyphens, such as two-rings"
            )

    @property
    def name(self) -> str:
        """Of the plugin, and of what it brings."""
        return self.called.removeprefix(_PREFIX)

    @property
    def distribution(self) -> str:
        """Of the package."""
        return _PREFIX + self.name

    @property
    def module(self) -> str:
        """That the package installs."""
        return self.distribution.replace("-", "_")


def new(name: str, kind: str, folder: Path | None = None) -> Path:
    """Write a package.

    Args:
        name: with or without ``zoo-`` in front.
        kind: a key of :data:`TEMPLATES`.
        folder: where; None for a folder named as the distribution, here.

    Returns:
        the folder, which appears when everything in it is written.

    Raises:
        UsageError: not a name, or no such kind.
        OutputError: the folder exists, or cannot be written.
    """
    if kind not in TEMPLATES:
        raise UnknownNameError("kind of plugin", kind, TEMPLATES)
    naming = Naming(name)
    folder = folder or Path(naming.distribution)
    check_free(folder, replace=False)
    with atomic_folder(folder) as temporary:
        for path, text in written(naming, kind):
            place = temporary / path
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, text)
    return folder


def written(naming: Naming, kind: str) -> Iterator[tuple[PurePosixPath, str]]:
    """The files of a new package: each path in its folder, and the text."""
    template = TEMPLATES[kind]
    others = {word: text.format(name=naming.name, module=naming.module) for word, text in template.words.items()}
    modules = {f"zoo-{template.name}": naming.distribution, f"zoo_{template.name}": naming.module}
    modules |= {word: new for word, new in others.items() if "_" in word}
    things = {template.name: naming.name, **{word: new for word, new in others.items() if "_" not in word}}
    # in code only what is registered by the name, which stands between quotes, and not a function named alike
    quoted = {f'"{word}"': f'"{new}"' for word, new in things.items()}
    for path, text in _files(FILES / kind):
        toml = path.suffix == ".toml"
        stem = _replaced(str(path.with_suffix("")), {**modules, **things} if toml else modules)
        yield PurePosixPath(stem + path.suffix), _replaced(text, {**modules, **(things if toml else quoted)})
    tries = template.tries.format(name=naming.name, module=naming.module)
    common = {
        "plugin_dist": naming.distribution,
        "plugin_name": naming.name,
        "plugin_summary": template.summary,
        "plugin_page": f"docs/{template.page}",
        "plugin_try": f"```sh\n{tries}\n```",
    }
    for path, text in _files(FILES / COMMON):
        yield PurePosixPath(str(path).replace("dot-", ".")), _replaced(text, common)


def _files(folder: Path) -> Iterator[tuple[PurePosixPath, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield PurePosixPath(path.relative_to(folder).as_posix()), path.read_text("utf-8")


def _replaced(text: str, words: dict[str, str]) -> str:
    """A text with whole words replaced, all at once."""
    patterns = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<![\w]){'(' + patterns + ')'}(?![\w])", lambda match: words[match[0]], text)
