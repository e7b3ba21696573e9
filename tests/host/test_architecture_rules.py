"""The rules of the house (docs/architecture.md), read off the source and off the built wheel."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from zoo import paths, samplers

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCE_ROOTS = ("plugins", "exporters")
#: without the packages that `zoo new` copies, which are plugins
HOST = [path for path in sorted((ROOT / "zoo").rglob("*.py")) if "files" not in path.relative_to(ROOT).parts[:-1]]
BUILT_IN = sorted(path for root in SOURCE_ROOTS for path in (ROOT / root).rglob("*.py"))
#: all but the programs that exporters copy, which run by themselves
IMPORTED = [path for path in (*HOST, *BUILT_IN) if "files" not in path.relative_to(ROOT).parts]

#: modules of the host that are about tensors, and so import torch when they are imported
TENSORS = {
    *("zoo/models/interface.py", "zoo/models/conditioned.py", "zoo/models/contexts.py", "zoo/models/encoders.py"),
    *(
        "zoo/models/derivatives.py",
        "zoo/noise_torch.py",
        "zoo/models/loops.py",
        "zoo/models/mending.py",
        "zoo/models/calls.py",
    ),
    *("plugins/zoo_nflows/shared.py", "zoo/models/wrapped.py"),
    *("zoo/training/loop.py", "zoo/training/checkpoint.py", "zoo/training/pairing.py", "zoo/training/fit.py"),
    *("zoo/models/sharing.py", "zoo/training/processes.py", "zoo/training/parallel.py", "zoo/training/sharded.py"),
    "zoo/testing/toys.py",
    *("zoo/metrics/density.py", "zoo/metrics/agreement.py", "zoo/metrics/classifiers.py"),
    *("zoo/metrics/unexported.py", "zoo/training/optimizers.py", "zoo/training/sketching.py"),
    *("zoo/metrics/features.py", "zoo/training/feeding.py", "zoo/training/averages.py"),
}


@cache
def parsed(source):
    """The tree of a module, which several rules read."""
    return ast.parse(source)


def imports(path, *, late=True):
    """Top-level names of the modules that a file imports; without ``late`` only when it is imported itself."""
    return {module.partition(".")[0] for module in modules(path, late=late)}


def modules(path, *, late=True):
    """Whole names of the modules that a file imports."""
    found = set()

    def visit(node):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            # what is imported from a package may be a module of it
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if late or not (typing_only or function):
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(parsed(path.read_text("utf-8")))
    return found


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_this_reads_imports_rightly(tmp_path):
    path = tmp_path / "probe.py"
    path.write_text(
        "import a.b\nfrom c import d\nfrom . import e\nif TYPE_CHECKING:\n    import f\ndef g():\n    import h\n"
        "try:\n    import i\nexcept ImportError:\n    pass\nclass J:\n    import j\n"
    )
    assert imports(path) == {"a", "c", "f", "h", "i", "j"}
    assert modules(path) >= {"a.b", "c.d"}
    assert imports(path, late=False) == {"a", "c", "i", "j"}


@pytest.mark.parametrize("path", HOST, ids=name)
def test_the_host_never_imports_a_plugin(path):
    assert not {module for module in imports(path) if module.startswith("zoo_") or module in SOURCE_ROOTS}


def test_torch_is_imported_only_where_tensors_are():
    assert {name(path) for path in HOST if "torch" in imports(path, late=False)} <= TENSORS


def test_onnxruntime_runs_graphs_in_one_module():
    """The tools that its package brings for writing graphs, which run none of ours, are for exporters."""
    tools = ("onnxruntime.quantization", "onnxruntime.tools")
    runs = {
        name(path)
        for path in IMPORTED
        for module in modules(path)
        if module.partition(".")[0] == "onnxruntime" and not (path in BUILT_IN and module.startswith(tools))
    }
    assert runs == {"zoo/runtime/ort.py"}


def test_onnxruntime_is_imported_late():
    assert [name(path) for path in IMPORTED if "onnxruntime" in imports(path, late=False)] == []


def test_the_host_never_imports_onnx_when_it_is_imported():
    heavy = {"onnx", "onnxscript", "onnx_ir", "onnxruntime", "pandas", "matplotlib", "scipy", "sklearn"}
    assert {name(path): found for path in HOST if (found := imports(path, late=False) & heavy)} == {}


def test_the_runtime_needs_only_numpy_safetensors_and_onnxruntime():
    allowed = {"numpy", "safetensors", "onnxruntime", "zoo"} | set(sys.stdlib_module_names)
    for path in sorted((ROOT / "zoo" / "runtime").rglob("*.py")):
        assert imports(path) <= allowed, name(path)


def test_nothing_is_unpickled():
    for path in [*HOST, *BUILT_IN]:
        assert not imports(path) & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}, name(path)
        text = path.read_text("utf-8")
        for call in ("torch.load(", "allow_pickle=True", "pickle.load"):
            assert call not in text, f"{name(path)} has {call}"


def test_a_plugins_own_module_imports_nothing_heavy():
    heavy = {"torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "matplotlib", "sklearn", "scipy"}
    for value in PROJECT["project"]["entry-points"]["zoo"].values():
        code = f"import sys, {value}; print(*[m for m in {sorted(heavy)!r} if m in sys.modules])"
        search = [str(ROOT), *(str(ROOT / root) for root in SOURCE_ROOTS), *sys.path]
        code = f"import sys; sys.path[:0] = {search!r}\n{code}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [], value


def test_every_built_in_package_has_its_entry_point():
    listed = set(PROJECT["project"]["entry-points"]["zoo"].values())
    folders = {path.parent.name for root in SOURCE_ROOTS for path in (ROOT / root).glob("*/__init__.py")}
    rooms = {f"zoo.{path.parent.name}.plugin" for path in (ROOT / "zoo").glob("*/plugin.py")}
    models = tomllib.loads((ROOT / "plugins" / "zoo_models" / "pyproject.toml").read_text("utf-8"))["project"]
    listed |= set(models["entry-points"]["zoo"].values())
    assert listed == folders | rooms
    assert all(folder.startswith("zoo_") for folder in folders)


def test_contributing_names_what_to_copy_for_everything_new():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M)[2:]
    wanted = {"sampler", "path", "flow", "network of a diffusion", "target", "data set", "metric", "kind of program"}
    wanted |= {"reader of data files", "modality", "distillation", "importer of folders", "convention of denoisers"}
    wanted |= {"adapter of a library of flows", "translation of an operator", "cell of the benchmarks"}
    assert wanted <= {new for new, _, _ in rows}
    for new, where, model in rows:
        folder, *inside = re.findall(r"`([^`]+)`", where)
        assert (ROOT / folder).exists(), new
        # a file that "its `__init__.py`" registers in, besides folders of the checkout
        assert all((ROOT / path).exists() or (ROOT / folder / path).is_file() for path in inside), new
        (copied,) = re.findall(r"`([^`]+)`", model)
        assert (ROOT / copied).exists(), new
        if inside and inside[0].endswith(".py"):
            registered = (ROOT / folder / inside[0]).read_text("utf-8")
            assert Path(copied).stem in registered, f"{inside[0]} of {folder} does not name {copied}"


def test_readme_counts_what_there_is():
    Prediction = pytest.importorskip("zoo_diffusion.prediction", reason="torch is not installed").Prediction
    numbers = dict(
        zip(
            (5, 6, 7, 13, 14, 15, 22, 23, 24),
            ("five", "six", "seven", "thirteen", "fourteen", "fifteen", "twenty-two", "twenty-three", "twenty-four"),
            strict=True,
        )
    )
    gaussian = [cls for cls in paths.BUILTIN.values() if issubclass(cls, paths.GaussianPath)]
    told = f"with {numbers[len(get_args(Prediction))]} predictions and {numbers[len(gaussian)]} Gaussian paths"
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert told in text
    assert f"{numbers[len(samplers.BUILTIN)]} samplers" in text
    conventions = pytest.importorskip("zoo_diffusion.foreign.conventions").CONVENTIONS
    assert f"{numbers[len(conventions)]} conventions" in text


def test_no_docstring_is_wrapped_like_a_string_of_code():
    probe = 'def f():\n    """Half of a sentence "\n    "and the other half."""\n'
    assert seams(probe) == [2]
    broken = {name(path): lines for path in (*HOST, *BUILT_IN) if (lines := seams(path.read_text("utf-8")))}
    assert broken == {}


def seams(source):
    """Lines of docstrings in which a quote, a line break and a quote stand between words."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(parsed(source)) if isinstance(node, documented)]
    return [
        node.body[0].lineno for node in nodes if re.search(r' "\n\s*"\S', ast.get_docstring(node, clean=False) or "")
    ]


def test_every_file_is_short():
    long = {name(path): n for path in [*HOST, *BUILT_IN] if (n := len(path.read_text("utf-8").splitlines())) > 450}
    assert long == {}


#: participles that say how a thing came about and not what it is
_NAMELESS = {"given", "made", "found"}
#: where users write ``given`` for the columns that samples are conditioned on: the keyword of ``zoo.train``, the option
#: ``--given`` and the option of a recipe's data; nothing behind them has that name
_PUBLIC_GIVEN = {"zoo/training/quick.py": "train", "zoo/cli/_data.py": "stated", "zoo/reading/options.py": "Options"}


def names_bound(source):
    """Every variable, parameter, function, import and attribute that a module binds, methods apart, with its line."""
    tree, defined = parsed(source), (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    methods = {each for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in node.body}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, (*defined, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node not in methods:
            yield node.name or "", node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def nameless(source, public=""):
    """Lines in which something is called by no more than a participle.

    ``public`` names a function or class of the module whose one parameter or field ``given`` users write.
    """
    if not re.search(r"\b_?(?:given|made|found)_?\b", source, re.IGNORECASE):
        return []
    allowed = lines_of_public_given(source, public)
    assert len(allowed) == bool(public), public
    # MADE is an algorithm, by the name that its paper gives it
    lines = [at for each, at in names_bound(source) if each != "MADE" and each.strip("_").lower() in _NAMELESS]
    return [at for at in lines if at not in allowed]


def lines_of_public_given(source, owner):
    """Lines of the parameters of a function, or the fields of a class, that are called ``given``."""
    for node in parsed(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == owner:
            parameters = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            return {each.lineno for each in parameters if each.arg == "given"}
        if isinstance(node, ast.ClassDef) and node.name == owner:
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            return {each.lineno for each in fields if ast.unparse(each.target) == "given"}
    return set()


def test_things_are_called_by_what_they_are():
    probe = (
        "def f(given):\n    def made(): ...\n    for found, x in y: ...\n    with z as self._given: ...\n"
        "import a as made\nGiven = 1\nclass Found:\n    def given(self): return self.given, found\n"
    )
    assert sorted(nameless(probe)) == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(nameless(probe, "f")) == [2, 3, 4, 5, 6, 7]
    assert nameless("class F:\n    given: int\n    found: int\n", "F") == [3]
    paths = [*HOST, *BUILT_IN, *(ROOT / "scripts").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    lines = {name(path): nameless(path.read_text("utf-8"), _PUBLIC_GIVEN.get(name(path), "")) for path in paths}
    assert _PUBLIC_GIVEN.keys() <= lines.keys()
    assert {path: numbers for path, numbers in lines.items() if numbers} == {}


def lines_of_functions(source):
    """The name of every function, nested ones too, and its lines without decorators and docstring."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            yield node.name, lines


def test_every_function_is_short():
    probe = 'class A:\n    @d\n    def f(self):\n        """One\n\n        Two."""\n        pass\n'
    assert list(lines_of_functions(probe)) == [("f", 2)]
    folders = ("zoo", "plugins", "exporters", "scripts", "benchmarks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {
        f"{name(path)}: {function}": lines
        for path in paths
        for function, lines in lines_of_functions(path.read_text("utf-8"))
        if lines > 60
    }
    assert long == {}


def test_functions_are_simple_without_exceptions():
    """Ruff holds complexity and statements (``pyproject.toml``); nothing but tests is let off."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    rules = {"C901", "PLR0915"}
    assert rules <= set(lint["select"])
    assert (lint["mccabe"]["max-complexity"], lint["pylint"]["max-statements"]) == (12, 40)
    assert [where for where, ignored in lint["per-file-ignores"].items() if rules & set(ignored)] == ["tests/**"]
    assert not rules & set(lint["ignore"])
    for path in (*HOST, *BUILT_IN, *(ROOT / "scripts").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")):
        comments = re.findall(r"#\s*(?:ruff:\s*)?noqa.*", path.read_text("utf-8"))
        # one without codes lets off from everything
        assert not [c for c in comments if any(rule in c for rule in rules) or ":" not in c.split("noqa")[1]], name(
            path
        )


def too_wide(path):
    """Lines of Markdown over 120 columns, but for tables and pictures, which have no other form."""
    return [
        f"{name(path)}:{number}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > 120 and not line.startswith(("|", "!"))
    ]


def test_the_architecture_is_told_in_under_200_lines():
    assert len((ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines()) < 200


def test_documents_have_the_columns_of_the_code():
    folders = [ROOT / folder for folder in ("docs", "benchmarks", "plugins", "exporters")]
    documents = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]
    # cards are generated, and have what people wrote in recipes
    written = [path for path in documents if path.name != "MODEL_CARD.md"]
    assert len(written) > 25
    assert [line for path in written for line in too_wide(path)] == []


def wheel_of(folder, output):
    """The names in the wheel that a project builds, and its metadata."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "--wheel-dir", output, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = output.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        about = {n: archive.read(n).decode() for n in archive.namelist() if ".dist-info/" in n and "RECORD" not in n}
        return wheel.stat().st_size, archive.namelist(), about


@pytest.mark.slow
def test_the_wheel_holds_zoo_and_the_plugins_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling")
    size, files, about = wheel_of(ROOT, tmp_path)
    assert size < 3e6
    assert not any(str(ROOT) in text for text in about.values())
    tops = {file.partition("/")[0] for file in files}
    packages = {path.parent.name for root in SOURCE_ROOTS for path in (ROOT / root).glob("*/__init__.py")}
    packages.remove("zoo_models")  # a distribution of its own
    version = PROJECT["project"]["version"]
    assert tops == {"zoo", *packages, f"genzoo-{version}.dist-info"}
    # every module of the source is there, in its package
    expected = {name(path) for path in (*HOST, *(ROOT / "zoo").rglob("*.pyi"))} | {
        path.relative_to(ROOT / root).as_posix()
        for root in SOURCE_ROOTS
        for path in (ROOT / root).rglob("*.py")
        if path.parent.name != "zoo_models"
    }
    assert expected <= set(files)
    typed = {f"{package}/py.typed" for package in {"zoo", *packages}}
    assert typed <= set(files)
    # what else there is are schemas of files and operators, and what targets and `zoo new` copy
    others = set(files) - expected - typed - {file for file in files if file.startswith("genzoo-")}
    schemas = {name(path) for folder in ("schema", "bundle/scan") for path in (ROOT / "zoo" / folder).glob("*.json")}
    copied = {
        path.relative_to(folder).as_posix()
        for folder, pattern in ((ROOT / "exporters", "*/files/**/*"), (ROOT, "zoo/*/files/**/*"))
        for path in folder.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert others == (schemas | copied) - expected


@pytest.mark.slow
def test_the_pretrained_models_are_a_wheel_of_their_own(tmp_path):
    pytest.importorskip("hatchling")
    shelf = ROOT / "plugins" / "zoo_models"
    _, files, about = wheel_of(shelf, tmp_path)
    assert not any(str(ROOT) in text for text in about.values())
    tracked = {path for folder in shelf.iterdir() if folder.is_dir() for path in folder.rglob("*") if path.is_file()}
    models = {path for path in tracked if path.suffix not in (".py", ".pyc")}
    expected = {
        path.relative_to(shelf.parent).as_posix() for path in (*models, shelf / "__init__.py", shelf / "py.typed")
    }
    assert {file for file in files if ".dist-info/" not in file} == expected
    (entries,) = (text for file, text in about.items() if file.endswith("entry_points.txt"))
    assert entries.split() == ["[zoo]", "models", "=", "zoo_models"]
    own = tomllib.loads((shelf / "pyproject.toml").read_text("utf-8"))["project"]
    # what the cards state, and the version of the code that they are released with
    licenses = {json.loads(card.read_text("utf-8"))["license"]["weights"] for card in shelf.glob("*/card.json")}
    assert own["license"] == " AND ".join(sorted({"Apache-2.0", *licenses}))
    assert own["version"] == PROJECT["project"]["version"]
    assert (shelf / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def asks_for_a_kind_of_program(node):
    """Whether an expression or pattern asks of which class or kind a program is."""
    from zoo.programs import KINDS, Fused, Iterate

    classes = {"Program", *(each.__name__ for each in (*KINDS.values(), Fused))}
    if isinstance(node, ast.MatchClass):
        return ast.unparse(node.cls).rpartition(".")[2] in classes
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        kinds = {repr(kind) for kind in (*KINDS, Fused.kind)}
        return any(ast.unparse(s).endswith(".kind") for s in sides) and any(ast.unparse(s) in kinds for s in sides)
    if not isinstance(node, ast.Call) or len(node.args) < 2:
        return False
    asked, given = ast.unparse(node.func), [ast.unparse(argument) for argument in node.args]
    if asked in ("isinstance", "issubclass"):
        return bool(set(re.findall(r"\w+", given[1])) & classes)
    about = re.search(r"(program|\.sample|\.log_prob|\.sampling|\.fused|role)\b", given[0]) is not None
    return asked in ("getattr", "hasattr") and about and given[1].strip("'") in Iterate.__dataclass_fields__


def test_nobody_asks_of_which_kind_a_program_is():
    probe = ast.parse(
        "isinstance(p, Direct | Iterate)\nhasattr(program, 'guidance')\np.kind == 'iterate'\nisinstance(x, int)\n"
        "getattr(m.sample, 'steps', 1)\nmatch p:\n    case programs.Integrate(): pass\ngetattr(table, 'steps')\n"
    )
    assert sum(map(asks_for_a_kind_of_program, ast.walk(probe))) == 5
    room = {"zoo/programs/program.py", "zoo/programs/one_call.py"}
    asking = [
        f"{name(path)}:{node.lineno}"
        for path in (*IMPORTED, *(ROOT / "scripts").rglob("*.py"))
        if name(path) not in room
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if asks_for_a_kind_of_program(node)
    ]
    assert len(asking) <= 3, asking


def numbered(source):
    """Lines of handlers of errors of the system that put the exception itself, with its number, into a text."""
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.ExceptHandler) or node.name is None or node.type is None:
            continue
        caught = {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)}
        if caught & {"OSError", "FileNotFoundError", "PermissionError"}:
            for part in ast.walk(node):
                if isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == node.name:
                    yield part.lineno


def test_no_message_has_the_number_of_an_error():
    probe = "try: f()\nexcept (OSError, ValueError) as e:\n    raise E(f'{e}')\n"
    assert list(numbered(probe)) == [3]
    told = {name(path): lines for path in (*HOST, *BUILT_IN) if (lines := list(numbered(path.read_text("utf-8"))))}
    assert told == {}
