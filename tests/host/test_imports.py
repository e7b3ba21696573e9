"""The graph of imports has no cycle: not a lazy one, nor one for types, nor one through a name in a string."""

import ast
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: folders that packages lie in, and what of them is ours
SOURCES = {"": ["zoo"], "plugins": ["*"], "exporters": ["*"]}


def files(root=ROOT):
    """Every module by its name, but for the programs that exporters copy, which run by themselves."""
    found = {}
    for folder, patterns in SOURCES.items():
        packages = [path for pattern in patterns for path in (root / folder).glob(pattern) if path.is_dir()]
        for path in (file for package in packages for file in package.rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            if "files" not in parts[:-1]:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def parsed(path):
    """A module's tree, with that of the stub beside it, which is where names that are loaded late stand."""
    tree, stub = ast.parse(path.read_text("utf-8"), str(path)), path.with_suffix(".pyi")
    if stub.exists():
        tree.body += ast.parse(stub.read_text("utf-8"), str(stub)).body
    return tree


def bound_names(tree):
    """What a module binds at its top level, within ``if`` and ``try`` too: what an import from it may mean."""
    names = set()
    for node in tree.body:
        for part in ast.walk(node) if isinstance(node, (ast.If, ast.Try)) else [node]:
            if isinstance(part, (ast.FunctionDef, ast.ClassDef)):
                names.add(part.name)
            elif isinstance(part, (ast.Import, ast.ImportFrom)):
                names.update(alias.asname or alias.name.partition(".")[0] for alias in part.names)
            elif isinstance(part, (ast.Assign, ast.AnnAssign)):
                targets = part.targets if isinstance(part, ast.Assign) else [part.target]
                names.update(n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
    return names


class House:
    """Modules, and what they name.

    Attributes:
        modules: the file of each by its name.
        graph: of every module the modules that it names, each with a line: imports wherever they stand, and strings.
    """

    def __init__(self, root=ROOT):
        self.root, self.modules = root, files(root)
        trees = {name: parsed(path) for name, path in self.modules.items()}
        self.bound = {name: bound_names(tree) for name, tree in trees.items()}
        self.graph = {module: self.edges(module, tree) for module, tree in trees.items()}

    def edges(self, module, tree):
        lines = {}
        for node in ast.walk(tree):
            for name in map(self.nearest, self.named(module, node)):
                for each in (name, *self.run_first(module, name)):
                    if each and each != module:
                        lines.setdefault(each, node.lineno)
        return lines

    def run_first(self, module, name):
        """The packages that are run before what a name means: those around it, but for those around the module too."""
        while name := name.rpartition(".")[0]:
            if name in self.modules and not module.startswith(f"{name}."):
                yield name

    def nearest(self, name):
        """The module that holds what a dotted name means, or nothing if it is not ours."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name

    def named(self, module, node):
        """What a node of a module names.

        A string counts if all of it is a module's name, as does an f-string such as ``f"zoo.cli.{name}"``, for every
        module that it may become. ``"module:attribute"`` strings do not: those are entries, by which plugins are found.
        """
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            package = module.split(".") if self.modules[module].name == "__init__.py" else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            return [name for alias in node.names for name in self.imported_from(base, alias.name)]
        if isinstance(node, ast.JoinedStr):
            return self.made_of(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            return [node.value] if node.value in self.modules else []
        return []

    def imported_from(self, base, alias):
        """A submodule, a name that the package binds, or both where they are called the same."""
        whole = f"{base}.{alias}"
        if whole not in self.modules:
            return [base]
        return [whole, base] if alias in self.bound.get(base, ()) else [whole]

    def made_of(self, node):
        """The modules whose name an f-string may become."""
        parts = [re.escape(p.value) if isinstance(p, ast.Constant) else r"\w+" for p in node.values]
        return [name for name in self.modules if "\\." in parts[0] and re.fullmatch("".join(parts), name)]

    def told(self, path):
        """A cycle, an import a line."""
        lines = ["a cycle of imports:"]
        for here, there in itertools.pairwise(path):
            file = self.modules[here].relative_to(self.root).as_posix()
            lines.append(f"  {file}:{self.graph[here][there]}  {here} imports {there}")
        return "\n".join(lines)


def cycle(graph):
    """A shortest cycle of modules, the first once more at its end, or None."""
    shortest = None
    for start in graph:
        before, queue = {start: None}, [start]
        for module in queue:
            if start in graph[module]:
                path = [start]
                while module is not None:
                    path.append(module)
                    module = before[module]
                if shortest is None or len(path) < len(shortest):
                    shortest = path[::-1]
                break
            for name in graph[module]:
                if name not in before:
                    before[name] = module
                    queue.append(name)
    return shortest


@pytest.fixture(scope="module")
def house():
    return House()


def test_there_is_no_cycle(house):
    assert {"zoo.files", "zoo_flows.flow", "zoo_onnx.export"} <= set(house.modules)
    path = cycle(house.graph)
    assert path is None, house.told(path)


def test_the_host_reaches_its_commands_and_public_names_by_strings(house):
    assert "zoo.registry" in house.graph["zoo"]
    assert {"zoo.cli.run", "zoo.cli.list"} <= set(house.graph["zoo.cli._group"])


def floors():
    """The rooms of the host as docs/architecture.md draws them: sets of names, the top floor first."""
    guide = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawing = guide.split("## The house\n", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    heads = [[line for line in floor.splitlines() if line[:1].strip()] for floor in re.split("─+", drawing)]
    # names, a space apart, then two spaces or more, and what is said of them
    names = [" ".join(re.match(r"\S+(?: \S+)*", line).group() for line in lines) for lines in heads]
    return [set(re.findall(r"(\w+)(?:/|\.py)", floor)) for floor in names]


def test_every_import_of_the_host_goes_down_as_the_house_is_drawn(house):
    drawn = floors()
    level = {room: len(drawn) - i for i, rooms in enumerate(drawn) for room in rooms}
    rooms = {path.relative_to(ROOT / "zoo").parts[0].removesuffix(".py") for path in (ROOT / "zoo").rglob("*.py")}
    assert set(level) == rooms - {"__init__", "__main__"}
    up = set()
    for module, names in house.graph.items():
        for name in names:
            here, there = (each.split(".")[1] if each.startswith("zoo.") else None for each in (module, name))
            if here in level and there in level and here != there and level[here] <= level[there]:
                up.add((here, there))
    # the bottom floor is of single modules, and training and metrics use each other
    bottom = drawn[-1]
    assert {edge for edge in up if not set(edge) <= bottom} <= {("training", "metrics"), ("metrics", "training")}


A_CYCLE = {
    "at the top": "import zoo.a",
    "of a name": "from zoo.a import x",
    "of a module": "from zoo import a",
    "relative": "from . import a",
    "relative, of a name": "from .a import x",
    "in a function": "def f():\n    from zoo.a import x",
    "for types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zoo.a import x",
    "by a string": "import importlib\nM = 'zoo.a'\nimportlib.import_module(M)",
    "by an f-string": "import importlib\ndef f(name):\n    importlib.import_module(f'zoo.{name}')",
}


@pytest.mark.parametrize("source", A_CYCLE.values(), ids=A_CYCLE)
def test_a_cycle_is_found_wherever_the_import_stands(tmp_path, source):
    (tmp_path / "zoo").mkdir()
    for name, text in {"__init__": "", "a": "import zoo.b\nx = 1", "b": source, "c": "import zoo.a"}.items():
        (tmp_path / "zoo" / f"{name}.py").write_text(text)
    house = House(tmp_path)
    path = cycle(house.graph)
    assert path in (["zoo.a", "zoo.b", "zoo.a"], ["zoo.b", "zoo.a", "zoo.b"])
    assert "  zoo/a.py:1  zoo.a imports zoo.b" in house.told(path)


def test_what_a_package_binds_is_the_packages_even_if_a_module_of_it_has_that_name(tmp_path):
    (tmp_path / "zoo").mkdir()
    for name, text in {"__init__": "from zoo.b import a", "a": "x = 1", "b": "from zoo import a"}.items():
        (tmp_path / "zoo" / f"{name}.py").write_text(text)
    assert set(cycle(House(tmp_path).graph)) == {"zoo", "zoo.b"}


def test_entries_of_plugins_and_straight_lines_are_no_cycles(tmp_path):
    (tmp_path / "zoo").mkdir()
    texts = {
        "__init__": "",
        "a": "import zoo.b\nENTRY = 'zoo.c:f'",
        "b": "'''See zoo.a, or ``zoo.c``.'''\nimport json",
        "c": "import zoo.a",
    }
    for name, text in texts.items():
        (tmp_path / "zoo" / f"{name}.py").write_text(text)
    assert cycle(House(tmp_path).graph) is None
