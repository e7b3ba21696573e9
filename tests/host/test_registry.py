"""The registry: names, conflicts, what is unavailable and why, and loading what descriptions name."""

import pytest

from zoo.errors import MissingDependencyError, NameConflictError, PluginError, UnknownNameError
from zoo.registry import Registry, entries
from zoo.registry.cards import Architecture, Check, DataSource, ModelCard, Sampler, WeightsFile
from zoo.registry.discovery import Plugin, PluginRecord


def plugin(name, distribution, **described):
    record = PluginRecord(name=name, distribution=distribution, version="1.0", module=name)
    return Plugin(record, {kind.replace("_", " "): tuple(items) for kind, items in described.items()})


def sampler(name, entry="nowhere:f", **fields):
    return Sampler(name=name, entry=entry, **fields)


def test_things_are_found_by_kind_and_name():
    euler = sampler("euler")
    rings = DataSource(name="rings", entry="a:b")
    gaussian = Architecture(name="gaussian", family="flow", entry="a:b")
    card = ModelCard(name="tiny", family="flow", architecture="gaussian")
    check = Check(name="npu", entry="a:b")
    everything = {
        "sampler": [euler],
        "data_set": [rings],
        "architecture": [gaussian],
        "model": [card],
        "check": [check],
    }
    registry = Registry([plugin("p", "d", **everything)])
    assert registry.sampler("euler") is euler
    assert registry.dataset("rings") is rings
    assert registry.architecture("gaussian") is gaussian
    assert registry.model("tiny") is card
    assert registry.check("npu") is check
    assert registry.item("sampler", "euler").plugin.origin == "d 1.0"
    for lookup in (registry.exporter, registry.importer, registry.model):
        with pytest.raises(UnknownNameError):
            lookup("euler")


def test_an_unknown_name_suggests_the_closest():
    registry = Registry([plugin("p", "d", sampler=[sampler("euler"), sampler("ddim")])])
    with pytest.raises(UnknownNameError, match="there is no sampler named 'eulr'") as caught:
        registry.sampler("eulr")
    assert caught.value.hint == "Did you mean euler?"


def test_two_third_parties_with_one_name_conflict_when_it_is_used():
    registry = Registry(
        [
            plugin("p", "zoo-p", sampler=[sampler("euler"), sampler("heun")]),
            plugin("q", "zoo-q", sampler=[sampler("euler")]),
        ]
    )
    with pytest.raises(NameConflictError) as caught:
        registry.sampler("euler")
    assert "zoo-p 1.0" in str(caught.value)
    assert "zoo-q 1.0" in str(caught.value)
    assert caught.value.exit_code == 1
    assert registry.sampler("heun")  # the rest of both stays usable
    assert len(registry.items("sampler")) == 3
    (p, q) = registry.plugins
    assert p.conflicts == ("the sampler 'euler' is also claimed by zoo-q 1.0; neither can be used",)
    assert q.conflicts == ("the sampler 'euler' is also claimed by zoo-p 1.0; neither can be used",)


@pytest.mark.parametrize("built_in_first", [True, False])
def test_a_third_party_does_not_get_a_built_in_name(built_in_first):
    mine, theirs = sampler("ddim", "zoo:mine"), sampler("ddim", "theirs:f")
    plugins = [plugin("samplers", "genzoo", sampler=[mine]), plugin("p", "zoo-p", sampler=[theirs, sampler("extra")])]
    registry = Registry(plugins if built_in_first else plugins[::-1])
    assert registry.sampler("ddim") is mine
    assert registry.sampler("extra")
    records = {record.name: record for record in registry.plugins}
    assert records["samplers"].conflicts == ()
    assert records["p"].conflicts == ("the sampler 'ddim' is built in and takes precedence; this one is ignored",)
    (warning,) = registry.warnings()
    assert warning.startswith("plugin p of zoo-p 1.0: the sampler 'ddim'")


def test_one_name_may_stand_for_things_of_several_kinds():
    registry = Registry(
        [
            plugin("p", "zoo-p", sampler=[sampler("rings")]),
            plugin("q", "q", data_set=[DataSource(name="rings", entry="a:b")]),
        ]
    )
    assert registry.sampler("rings").name == registry.dataset("rings").name
    assert not list(registry.warnings())


def test_a_failed_plugin_is_warned_of_in_one_line():
    record = PluginRecord(
        name="p",
        distribution="zoo-p",
        version="3",
        module="p",
        status="failed",
        error="ImportError: no",
        where="p.py:2",
    )
    (warning,) = Registry([Plugin(record)]).warnings()
    assert warning == "plugin p of zoo-p 3 is ignored: ImportError: no (p.py:2); see `zoo plugins --failed`"


def test_an_entry_is_imported_when_it_is_wanted(site):
    site.install("lazy", "raise RuntimeError('imported')\n", points={})
    described = sampler("lazy", "lazy:f")
    registry = Registry([plugin("p", "zoo-p", sampler=[described])])
    with pytest.raises(PluginError) as caught:
        registry.load_entry(described)
    expected = "sampler 'lazy' of zoo-p 1.0 cannot be loaded: RuntimeError: imported (lazy.py:1)"
    assert str(caught.value) == expected
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import sys; sys.exit()", "SystemExit"),
        ("def f(:", "SyntaxError"),
        ("x = 1", "has no attribute 'f'"),
        ("import surely_not_there", "No module named 'surely_not_there'"),
    ],
)
def test_an_entry_that_cannot_be_loaded_names_its_distribution(site, source, told):
    site.install("broken-entry", source, points={})
    described = sampler("b", "broken_entry:f")
    with pytest.raises(PluginError, match=r"'b' of zoo-p 1\.0 cannot be loaded") as caught:
        Registry([plugin("p", "zoo-p", sampler=[described])]).load_entry(described)
    assert told in str(caught.value)


def test_an_entry_may_be_an_attribute_of_a_class(site):
    site.install("nested", "class A:\n    f = 5\n", points={})
    described = sampler("n", "nested:A.f")
    assert Registry([plugin("p", "d", sampler=[described])]).load_entry(described) == 5


def test_an_entry_that_lacks_a_package_says_how_to_install_it():
    needs_ours, needs_other = sampler("a", requires=("onnx",)), sampler("b", requires=("surely_not_there",))
    registry = Registry([plugin("p", "d", sampler=[needs_ours, needs_other])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "find_spec", lambda name: None)
        with pytest.raises(MissingDependencyError) as caught:
            registry.load_entry(needs_ours)
        assert caught.value.hint == "pip install 'genzoo[onnx]'"
        with pytest.raises(MissingDependencyError, match="surely_not_there is needed to use sampler 'b'") as caught:
            registry.load_entry(needs_other)
        assert caught.value.hint == "pip install surely_not_there"


def test_samplers_are_a_mapping_that_imports_only_what_is_looked_up(site):
    site.install("two-samplers", "def f():\n    return 'table'\n", points={})
    registry = Registry([plugin("p", "d", sampler=[sampler("f", "two_samplers:f"), sampler("g", "not_there:g")])])
    samplers = registry.samplers()
    assert sorted(samplers) == ["f", "g"]
    assert "g" in samplers
    assert "h" not in samplers
    assert samplers["f"]() == "table"
    with pytest.raises(PluginError):
        samplers["g"]


# -- unavailable ----------------------------------------------------------------------------------------------------


@pytest.fixture
def only(monkeypatch):
    """Pretend that just these of the optional packages are installed."""

    def install(*names):
        monkeypatch.setattr(entries, "find_spec", lambda name: name in names or None)

    return install


def model_registry(folder, *, weights=True, bundle=True, architecture="gaussian", requires=("torch",)):
    folder.mkdir(exist_ok=True)
    if weights:
        (folder / "weights.safetensors").write_bytes(b"")
    if bundle:
        (folder / "bundle").mkdir()
    card = ModelCard(
        name="tiny",
        family="flow",
        architecture=architecture,
        weights=WeightsFile("weights.safetensors", "0" * 64, 0),
        bundle="bundle",
        folder=folder,
    )
    built = Architecture(name="gaussian", family="flow", entry="a:b", requires=requires)
    return Registry([plugin("p", "d", architecture=[built], model=[card])]), card, built


def test_an_architecture_without_torch_says_so(only, tmp_path):
    registry, _, architecture = model_registry(tmp_path)
    only("onnxruntime")
    assert registry.unavailable(architecture) == "needs torch: pip install 'genzoo[torch]'"
    only("torch")
    assert registry.unavailable(architecture) is None


def test_all_that_lacks_is_told_at_once(only):
    only()
    described = sampler("s", requires=("torch", "diffrax", "onnx"))
    expected = "needs torch and diffrax and onnx: pip install 'genzoo[torch]' diffrax 'genzoo[onnx]'"
    assert Registry().unavailable(described) == expected


def test_a_model_with_a_bundle_needs_only_onnx_runtime(only, tmp_path):
    registry, card, _ = model_registry(tmp_path, weights=False, architecture="not-installed")
    only("onnxruntime")
    assert registry.unavailable(card) is None
    only("torch")
    assert registry.unavailable(card) == "needs onnxruntime: pip install 'genzoo[cpu]'"


def test_a_model_with_both_is_usable_through_either(only, tmp_path):
    registry, card, _ = model_registry(tmp_path)
    for names in (("onnxruntime",), ("torch",), ("onnxruntime", "torch")):
        only(*names)
        assert registry.unavailable(card) is None
    only()
    assert registry.unavailable(card) == "needs onnxruntime: pip install 'genzoo[cpu]'"


def test_a_model_without_a_bundle_needs_its_architecture_and_weights(only, tmp_path):
    registry, card, _ = model_registry(tmp_path / "a", bundle=False, requires=("torch", "diffrax"))
    only("onnxruntime")
    assert registry.unavailable(card).startswith("needs torch and diffrax")
    only("torch", "diffrax")
    assert registry.unavailable(card) is None
    registry, card, _ = model_registry(tmp_path / "b", bundle=False, weights=False)
    assert registry.unavailable(card) == "its weights file is missing"
    registry, card, _ = model_registry(tmp_path / "c", bundle=False, architecture="not-installed")
    assert "no architecture named 'not-installed'" in registry.unavailable(card)
