"""Models made by a user's code: ``my_module.py:make_flow`` and ``package.module:factory``.

Naming such a model runs its code, and nothing else does: a plain path or name never imports anything that is
not a plugin, and what a file states (a recipe's teacher, say) is never run. Weights come from safetensors files alone.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo import weights
from zoo.arrays import Array
from zoo.errors import ConfigError, UnknownNameError, UsageError, ZooError
from zoo.files import sha256
from zoo.hub.addresses import is_address
from zoo.models.wrapping import wrap
from zoo.printable import shortened
from zoo.registry.discovery import culprit, last_line
from zoo.registry.entries import importable, missing

if TYPE_CHECKING:
    from torch import nn

    from zoo.models.interface import GenerativeModel

_NAMED = re.compile(r"(?P<place>.+):(?P<function>[A-Za-z_]\w*)", re.S | re.A)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.A)


@dataclass(frozen=True)
class Factory:
    """A function without arguments that makes a model.

    Attributes:
        module: name of its module; of a file, the file's name without its extension.
        function: name of the function, or of a model that the module has made.
        file: the file that is run; None for a module that is imported.
    """

    module: str
    function: str
    file: Path | None = None

    @classmethod
    def of(cls, model: str | os.PathLike[str]) -> Factory | None:
        """What MODEL names, if it is ``path.py:function`` or ``module:function`` and no such file or folder exists."""
        text = os.fspath(model)
        match = _NAMED.fullmatch(text)
        if match is None or is_address(text) or Path(text).exists():
            return None
        place, function = match["place"], match["function"]
        if place.endswith(".py"):
            path = Path(place).expanduser()
            return cls(path.stem, function, path)
        return cls(place, function) if _MODULE.fullmatch(place) else None

    def check(self) -> None:
        """Refuse a file that does not exist.

        Raises:
            UsageError: with its path.
        """
        if self.file is not None and not self.file.is_file():
            raise UsageError(f"there is no file {self.file}, whose {self.function} was asked for")

    def __str__(self) -> str:
        """As it is called: ``make_flow() of my_module.py``."""
        return f"{self.function}() of {self.module if self.file is None else self.file.name}"

    def make(self, weights_file: Path | None = None) -> FactoryModel:
        """Run the code, and load weights into what it makes.

        Args:
            weights_file: a safetensors file of the model's tensors, or of those of the module in it that has all of its
                parameters; None for a factory that loads its own.

        Raises:
            MissingDependencyError: torch is not installed.
            UsageError: the file or module does not exist.
            UnknownNameError: it has no such function.
            ConfigError: it fails, with its line, or returns something other than a model.
            WeightsError: weights that do not fit.
        """
        if not importable("torch"):
            raise missing("torch", f"run {self}")
        self.check()
        module, digest = self._module()
        value = _called(self, _attribute(self, module))
        source: dict[str, object] = {"kind": "module" if self.file is None else "file", "module": self.module}
        source |= {"factory": self.function, "file": module_file(module).name, "sha256": digest}
        if weights_file is not None:
            source["weights"] = {"file": weights_file.name, "sha256": _load(value, weights_file, self)}
        model = _modelled(self, value)
        if weights_file is not None:
            weights.mark_loaded(model)
        return FactoryModel(model.eval(), source)

    def _module(self) -> tuple[ModuleType, str]:
        """The module, run or imported, and the digest of its file."""
        if self.file is None:
            return self._imported()
        digest = sha256(self.file)
        name = self.module if self.module.isidentifier() and not _known(self.module) else f"zoo_factory_{digest[:8]}"
        spec = importlib.util.spec_from_file_location(name, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with _telling(self), _on_path(self.file.parent.resolve()):
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return module, digest

    def _imported(self) -> tuple[ModuleType, str]:
        with _without_folder(), _telling(self):
            try:
                module = importlib.import_module(self.module)
            except ModuleNotFoundError as error:
                # tells a module that does not exist from one whose own imports fail
                if error.name is not None and f"{self.module}.".startswith(f"{error.name}."):
                    raise _absent(self) from error
                raise
        file = module_file(module)
        return module, sha256(file) if file.is_file() else ""


@dataclass(frozen=True)
class FactoryModel:
    """A model that a factory made.

    Attributes:
        model: in evaluation mode.
        source: where it came from, as JSON values without any path: ``kind`` (``"file"`` or ``"module"``), ``module``,
            ``factory``, the name of its ``file`` and its ``sha256``, and the same of its ``weights``.
    """

    model: GenerativeModel
    source: Mapping[str, object]


def module_file(module: ModuleType) -> Path:
    """The file of a module; of one without, such as a built-in one, its name."""
    return Path(getattr(module, "__file__", None) or module.__name__)


def told(source: Mapping[str, Any]) -> str:
    """Where a model came from, in words: ``make_flow() of my_module.py (sha256 0123456789abcdef…)``."""
    place = source.get("file") if source.get("kind") == "file" else source.get("module")
    return f"{source.get('factory')}() of {place} (sha256 {str(source.get('sha256'))[:16]}…)"


def how_to_rebuild(source: Mapping[str, Any], folder: object) -> str:
    """How to rebuild the PyTorch model of a bundle."""
    module, factory = str(source.get("module")), source.get("factory")
    where = f"from {module} import {factory}" if _MODULE.fullmatch(module) else f"{factory} from {module}.py"
    return (
        f"In Python, where that code is: `{where}`, `model = {factory}()`, and zoo.weights.load_into(model, "
        f"zoo.weights.read(file), source=file) with file = Path({str(folder)!r}) / 'weights.safetensors'."
    )


def _absent(factory: Factory) -> UsageError:
    """The error of a module that is not installed."""
    local = Path(*factory.module.split(".")).with_suffix(".py")
    hint = "Modules are looked up among what is installed, and in PYTHONPATH; files are run as `path.py:function`."
    if local.is_file():
        hint = f"To run the file in this folder: ./{local.as_posix()}:{factory.function}."
    return UsageError(f"there is no module {factory.module!r} to import {factory.function} from", hint=hint)


def _known(name: str) -> bool:
    """Whether a module of that name exists, whose name a file must not take."""
    return name in sys.modules or importable(name)


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """A block in which modules beside a file can be imported, as when Python runs the file."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


@contextlib.contextmanager
def _without_folder() -> Iterator[None]:
    """A block in which the current folder is searched only if ``PYTHONPATH`` names it, not for ``python -m zoo``."""
    kept, here = list(sys.path), str(Path.cwd())
    asked_for = here in map(os.path.abspath, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    if kept and kept[0] == here and "-m" in sys.orig_argv and not asked_for:
        sys.path = kept[1:]
    sys.path = [place for place in sys.path if place]
    try:
        yield
    finally:
        sys.path = kept


@contextlib.contextmanager
def _telling(factory: Factory) -> Iterator[None]:
    """Report what a user's code raises in one sentence, with its line."""
    try:
        yield
    except (KeyboardInterrupt, ZooError):
        raise
    except BaseException as error:  # SystemExit too
        place = culprit(error)
        where = (
            f"{Path(place[0]).name}, line {place[1]}" if place is not None and place[0] != __file__ else "running it"
        )
        raise ConfigError(f"{factory} fails at {where}: {shortened(last_line(error), 300)}") from error


def _attribute(factory: Factory, module: ModuleType) -> Any:
    if not hasattr(module, factory.function):
        known = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise UnknownNameError(f"function of {module_file(module).name}", factory.function, known)
    return getattr(module, factory.function)


def _called(factory: Factory, function: Any) -> Any:
    """What a factory returns; a model that the module has built already is taken as it is."""
    from torch import nn

    if isinstance(function, nn.Module):
        return function
    if not callable(function):
        raise ConfigError(f"{factory.function} of {factory.module} is a {type(function).__name__}, not a function")
    with contextlib.suppress(TypeError, ValueError):
        parameters = inspect.signature(function).parameters.values()
        positional = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if needed := [p.name for p in positional if p.default is p.empty]:
            raise ConfigError(
                f"{factory} needs {', '.join(needed)}",
                hint="A factory takes no arguments: write a function that calls it.",
            )
    with _telling(factory):
        return function()


def _modelled(factory: Factory, value: Any) -> GenerativeModel:
    """What a factory returned, as a model.

    Raises:
        ConfigError: neither a model nor something that an adapter takes.
    """
    from torch import nn

    from zoo.models.interface import GenerativeModel

    if isinstance(value, GenerativeModel):
        return value
    if isinstance(value, nn.Module):
        try:
            return wrap(value)
        except ZooError as error:
            what = f"{factory} returns the module {type(value).__name__}, which is not a zoo.GenerativeModel"
            if isinstance(error, UsageError):
                hint = "For a network that denoises, return zoo.denoiser(net, event_shape=..., convention=...)."
            else:  # an adapter knows it, and lacks something
                hint = "Return zoo.wrap(model, event_shape=..., context=...)."
                hint += "" if error.hint is None else f" {error.hint}"
            raise ConfigError(f"{what}: {error}", hint=hint) from error
    raise ConfigError(f"{factory} returns {type(value).__name__}, not a zoo.GenerativeModel")


def _load(value: Any, path: Path, factory: Factory) -> str:
    """Load a weights file into what a factory made, and return its digest.

    Raises:
        WeightsError: it does not fit; what is missing, unexpected or of another shape is named.
    """
    from torch import nn

    if not isinstance(value, nn.Module):
        raise ConfigError(f"{factory} returns {type(value).__name__}, into which no weights can be loaded")
    arrays = weights.read_float32(path)
    inner = _module_of(value, arrays)
    state = inner.state_dict()
    fitted = {
        name: array.astype(str(state[name].dtype).removeprefix("torch."))
        if name in state and state[name].is_floating_point() and state[name].dtype.itemsize > 2
        else array
        for name, array in arrays.items()
    }
    weights.load_into(inner, fitted, source=path)
    return sha256(path)


def _module_of(model: nn.Module, arrays: Mapping[str, Array]) -> nn.Module:
    """The outermost module with all of the model's parameters whose tensors have the names of a file.

    A file may hold only the network that the model was built around. If no module has the names of the file, the one
    with the most similar names is returned, and loading then names what differs.
    """
    everything = {id(p) for p in model.parameters()}
    whole = [m for m in model.modules() if everything <= {id(p) for p in m.parameters()}] or [model]

    def unlike(module: nn.Module) -> int:
        return len(module.state_dict().keys() ^ arrays.keys())

    return min(whole, key=unlike)
