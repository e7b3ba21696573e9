"""The public names are these, load when they are used, and cost nothing before."""

import subprocess
import sys

import pytest

import zoo

PUBLIC = {
    *(
        "Adapter",
        "Architecture",
        "Check",
        "Command",
        "DataReader",
        "DataSource",
        "DistillationMethod",
        "Engine",
        "Exporter",
        "Family",
        "Finding",
        "Format",
        "Importer",
    ),
    *("Metric", "ModalityKind", "ModelCard", "PathKind", "ProgramKind", "Sampler", "WeightsFile"),
    *(
        "Condition",
        "Dataset",
        "Diffusion",
        "DirectModel",
        "Flow",
        "GenerativeModel",
        "Objective",
        "PLUGIN_API",
        "Part",
        "Split",
        "Wrapped",
    ),
    *("Step", "StepTable"),
    *(
        "BundleError",
        "CheckError",
        "ConditionError",
        "ConfigError",
        "DataError",
        "DeviceMemoryError",
        "ExportError",
        "HubError",
        "MissingDependencyError",
    ),
    "NotApplicable",
    *("NameConflictError", "OutputError", "PluginError", "ProofError", "ProviderError", "RuntimeFailure"),
    *("UnknownNameError", "UsageError", "WeightsError", "ZooError"),
    *("Registry", "__version__", "hookimpl", "denoiser", "export", "installed", "load", "train", "wrap"),
}


def test_the_public_names_are_these():
    assert sorted(zoo.__all__) == sorted(PUBLIC)
    assert set(dir(zoo)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"Diffusion", "denoiser", "DirectModel", "Flow", "GenerativeModel"}))
def test_every_public_name_is_there(name):
    assert getattr(zoo, name) is not None


def test_the_model_classes_are_there():
    pytest.importorskip("torch")
    assert issubclass(zoo.DirectModel, zoo.GenerativeModel)
    assert issubclass(zoo.Diffusion, zoo.GenerativeModel)
    assert issubclass(zoo.Flow, zoo.DirectModel)
    assert callable(zoo.denoiser)


def test_every_error_is_public():
    from zoo import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= set(zoo.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'Modle'"):
        zoo.Modle  # noqa: B018


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = ("torch", "onnx", "onnxscript", "onnxruntime", "pandas", "matplotlib", "scipy", "PIL", "rich")


@pytest.mark.parametrize(
    "module", ["zoo", "zoo.cli", "zoo.registry", "zoo.runtime", "zoo.models.building", "zoo.doctor"]
)
def test_importing_loads_nothing_heavy(module):
    loaded = python(f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])")
    assert loaded.split() == []


def test_importing_zoo_alone_loads_none_of_its_modules_but_the_one_that_loads_them():
    loaded = python("import sys, zoo; print(*[m for m in sys.modules if m.startswith('zoo.') or m == 'numpy'])")
    assert loaded.split() == ["zoo.lazy"]


@pytest.mark.parametrize("package", ["zoo", "zoo.registry"])
def test_names_that_load_late_are_bound_once_they_are_used(package):
    """All of a star import, an attribute's module, and no name twice in the stub."""
    code = f"import {package} as p\nfrom {package} import *\nprint(len(p.__all__), len(set(p.__all__)), len(dir(p)))\n"
    code += "missing = [n for n in p.__all__ if n not in globals() or n not in vars(p) or n not in dir(p)]\n"
    code += "assert not missing, missing"
    pytest.importorskip("torch")
    names, different, _ = map(int, python(code).split())
    assert names == different >= 3


def test_names_load_from_an_archive_too(tmp_path):
    import shutil
    from pathlib import Path

    shutil.make_archive(tmp_path / "packed", "zip", Path(zoo.__file__).parents[1], "zoo")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'packed.zip')!r})\nimport zoo\n"
    code += "print('packed.zip' in zoo.__file__, zoo.Condition.__module__)"
    assert python(code).split() == ["True", "zoo.conditions"]


def test_a_model_class_without_torch_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None\nimport zoo\n"
    code += "try: zoo.DirectModel\nexcept zoo.ZooError as e: print(e.hint)"
    assert python(code).strip() == "pip install 'genzoo[torch]'"
