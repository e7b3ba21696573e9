"""The plugin describes its data sets without importing what they need."""

import importlib
import subprocess
import sys

import zoo_data


def test_every_data_set_says_where_it_comes_from_and_may_be_used():
    sources = {s.name: s for s in zoo_data.zoo_datasets()}
    assert set(sources) == {
        "mnist",
        "fashion-mnist",
        "cifar-10",
        "emoji",
        "captioned-emoji",
        "paired-emoji",
        "shrunk-emoji",
        "spoken-digits",
        "names",
        "digits",
        "moons",
        "two-moons",
        "slcp",
        "maze",
        "circles",
        "eight-gaussians",
        "checkerboard",
        "pinwheel",
        "wine",
        "breast-cancer",
        "diabetes",
        "diamonds",
    }
    for source in sources.values():
        assert source.license
        assert source.source
        assert source.summary
        module, _, function = source.entry.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_describing_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys, zoo_data, zoo_flows; zoo_data.zoo_datasets(); zoo_flows.zoo_architectures(); "
        "print(sorted({'torch', 'sklearn', 'zoo_flows.flow'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert result.stdout.strip() == "[]"
