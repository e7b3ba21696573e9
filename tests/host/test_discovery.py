"""Discovery: each thing that a plugin can do wrong is told, and stops nobody else."""

import pytest

from zoo.errors import UnknownNameError
from zoo.registry.api import PLUGIN_API
from zoo.registry.discovery import HOME, discover, normalised

# what the module does -> what the record must say, and where
FAULTS = {
    "import-error": ("x = 1\nimport surely_not_there\n", "No module named 'surely_not_there'", ":2"),
    "exit": ("import sys\nsys.exit(3)\n", "SystemExit: 3", ":2"),
    "exits-in-hook": ("import zoo\n@zoo.hookimpl\ndef zoo_models():\n    raise SystemExit\n", "SystemExit", ":4"),
    "raises": ("1 / 0\n", "ZeroDivisionError: division by zero", ":1"),
    "syntax": ("x = 1\ndef f(:\n", "SyntaxError", ":2"),
    "misspelt": (
        "import zoo\n@zoo.hookimpl\ndef zoo_modles():\n    return []\n",
        "zoo_modles is not a hook of this version of genzoo; did you mean zoo_models?",
        "",
    ),
    "unmarked": ("def zoo_models():\n    return []\n", "zoo_models is not marked with @zoo.hookimpl", ""),
    "extra-argument": ("import zoo\n@zoo.hookimpl\ndef zoo_models(registry):\n    return []\n", "registry", ""),
    "raises-in-hook": ("import zoo\n@zoo.hookimpl\ndef zoo_models():\n    return [][1]\n", "IndexError", ":4"),
    "none": (
        "import zoo\n@zoo.hookimpl\ndef zoo_models():\n    pass\n",
        "zoo_models returned None, not a list of ModelCard",
        "",
    ),
    "wrong-type": (
        "import zoo\n@zoo.hookimpl\ndef zoo_models():\n    return 7\n",
        "zoo_models returned int, not a list of ModelCard",
        "",
    ),
    "bare-item": (
        "import zoo\n@zoo.hookimpl\ndef zoo_samplers():\n    return zoo.Sampler(name='a', entry='b:c')\n",
        "zoo_samplers returned Sampler, not a list of Sampler",
        "",
    ),
    "wrong-item": (
        "import zoo\n@zoo.hookimpl\ndef zoo_samplers():\n    return [zoo.Sampler(name='a', entry='b:c'), 'd']\n",
        "zoo_samplers returned a list with str in it, not only Sampler",
        "",
    ),
    "bad-name": (
        "import zoo\n@zoo.hookimpl\ndef zoo_samplers():\n    return [zoo.Sampler(name='My Sampler', entry='b:c')]\n",
        "'My Sampler' is not a name",
        "",
    ),
    "bad-entry": (
        "import zoo\n@zoo.hookimpl\ndef zoo_samplers():\n    return [zoo.Sampler(name='a', entry='b.c')]\n",
        "the entry of a is 'b.c', not of the form 'module:attribute'",
        "",
    ),
    "twice": (
        "import zoo\n@zoo.hookimpl\ndef zoo_samplers():\n    return 2 * [zoo.Sampler(name='a', entry='b:c')]\n",
        "zoo_samplers describes a twice",
        "",
    ),
    "no-hooks": ("x = 1\n", "it implements no hook", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_plugin_is_recorded_and_the_others_work(site, good, fault):
    source, error, line = FAULTS[fault]
    site.install("faulty", source, version="2.3")
    site.install("good", good)
    plugins = site.plugins()
    record = plugins["faulty"].record
    assert record.status == "failed"
    assert error in record.error
    assert (record.distribution, record.version) == ("faulty", "2.3")
    assert record.where == (f"faulty.py{line}" if line else "")
    assert record.location.endswith("faulty.py")
    assert plugins["faulty"].described == {}
    assert plugins["good"].record.status == "ok"
    assert [a.name for a in plugins["good"].described["architecture"]] == ["gaussian"]


def test_a_module_that_is_missing_is_named(site):
    site.install("lost", points={"lost": "lost_module"})
    record = site.plugins()["lost"].record
    assert record.status == "failed"
    assert "No module named 'lost_module'" in record.error


def test_an_attribute_that_is_missing_is_named(site):
    site.install("partial", points={"partial": "partial:plugin"})
    record = site.plugins()["partial"].record
    assert record.status == "failed"
    assert "has no attribute 'plugin'" in record.error


def test_nothing_is_kept_of_a_generator_that_raises_half_way(site):
    source = """
        import zoo

        @zoo.hookimpl
        def zoo_samplers():
            yield zoo.Sampler(name="first", entry="a:b")
            raise RuntimeError("half-way")

        @zoo.hookimpl
        def zoo_datasets():
            return [zoo.DataSource(name="rings", entry="a:b")]
    """
    site.install("generator", source)
    plugin = site.plugins()["generator"]
    assert plugin.record.error == "RuntimeError: half-way"
    assert plugin.record.where == "generator.py:7"
    assert plugin.described == {}


def test_a_generator_that_ends_well_is_kept_whole(site):
    source = """
        import zoo

        @zoo.hookimpl
        def zoo_samplers():
            yield zoo.Sampler(name="first", entry="a:b")
            yield zoo.Sampler(name="second", entry="a:c")
    """
    site.install("generator", source)
    plugin = site.plugins()["generator"]
    assert plugin.record.hooks == ("zoo_samplers",)
    assert [s.name for s in plugin.described["sampler"]] == ["first", "second"]


def test_an_optional_hook_of_a_newer_genzoo_is_passed_over(site, good):
    site.install(
        "newer", good + "\n    @zoo.hookimpl(optionalhook=True)\n    def zoo_holograms():\n        return []\n"
    )
    assert site.plugins()["newer"].record.status == "ok"


def test_what_a_plugin_prints_is_kept_out_of_stdout(site, good, capsys):
    site.install(
        "loud", "print('hello from a plugin')\n" + "import zoo\n@zoo.hookimpl\ndef zoo_models():\n    return []\n"
    )
    record = site.plugins()["loud"].record
    assert record.status == "ok"
    assert record.printed == "hello from a plugin\n"
    assert capsys.readouterr().out == ""


def test_an_interrupt_is_not_swallowed(site):
    site.install("interrupted", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        discover()


def test_a_disabled_plugin_is_not_imported(site):
    site.install("boom", "raise RuntimeError('imported')\n")
    for name in ("boom", "Boom"):
        record = site.plugins(disabled=[name])["boom"].record
        assert (record.status, record.error) == ("disabled", "")
    assert site.plugins()["boom"].record.status == "failed"


def test_a_plugin_is_disabled_by_its_distribution_too(site, good):
    site.install("zoo-thing", good, points={"thing": "zoo_thing"})
    assert site.plugins(disabled=["Zoo_Thing"])["thing"].record.status == "disabled"


def test_only_allowed_plugins_are_loaded_and_always_the_built_in_ones(site, good):
    site.install("one", good)
    site.install("two", good.replace("gaussian", "other"))
    found = {p.record.name: p.record for p in discover(allowed=["two"])}
    assert (found["one"].status, found["two"].status) == ("disabled", "ok")
    found = {p.record.name: p.record for p in discover(allowed=[])}
    assert (found["one"].status, found["two"].status) == ("disabled", "disabled")
    assert all(record.status != "disabled" for record in found.values() if record.builtin)


def test_disabling_what_does_not_exist_is_an_error(site, good):
    site.install("octopus", good)
    with pytest.raises(UnknownNameError) as caught:
        discover(disabled=["octopsu"])
    assert caught.value.hint == "Did you mean octopus?"


def test_a_distribution_found_twice_is_loaded_once(site, good, tmp_path):
    site.install("twice-here", good, version="2.0")
    stale = tmp_path / "stale"
    site.install("Twice_Here", good, version="1.0", module="twice_here", folder=stale, kind="egg-info")
    with pytest.MonkeyPatch.context() as patch:
        import sys

        patch.setattr(sys, "path", [*sys.path, str(stale)])
        found = [p.record for p in discover() if p.record.module == "twice_here"]
    assert [(r.version, r.status) for r in found] == [("2.0", "ok")]


def test_somebody_elses_damaged_metadata_does_not_matter(site, good):
    info = site.install("damaged", good)
    (info / "entry_points.txt").write_text("[console_scripts]\nno equals sign here\n")
    site.install("good", good)
    assert site.plugins()["good"].record.status == "ok"


def test_metadata_without_a_version_does_not_matter(site, good):
    info = site.install("nameless", good)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nameless\n")
    record = site.plugins()["nameless"].record
    assert (record.status, record.origin) == ("ok", "nameless")


def test_names_are_compared_as_packaging_does():
    assert normalised("Zoo_Example.Thing") == "zoo-example-thing"
    assert normalised(HOME) == HOME


def test_every_name_of_something_to_import_is_checked(site):
    source = """
        import zoo

        @zoo.hookimpl
        def zoo_formats():
            return [zoo.Format(name="tsv", writer="somewhere:write", reader="read")]
    """
    site.install("careless", source)
    record = site.plugins()["careless"].record
    assert record.error == "zoo_formats: the reader of tsv is 'read', not of the form 'module:attribute'"


def with_api(good, version):
    return good + f"\n    zoo_api = {version}\n"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (
            "2",
            "it is written for version 2 of the plugin API, and this genzoo has version 1: `pip install --upgrade genz",
        ),
        ("0", "version 0 of the plugin API, of which this genzoo takes 1 to 1: `pip install --upgrade other`"),
        ("'1'", "zoo_api is '1', not a whole number such as 1"),
        ("True", "zoo_api is True, not a whole number such as 1"),
        ("None", "zoo_api is None, not a whole number such as 1"),
    ],
)
def test_a_plugin_of_another_version_of_the_api_is_refused_alone(site, good, version, told):
    site.install("other", with_api(good, version))
    site.install("good", good.replace("gaussian", "another"))
    plugins = site.plugins()
    record = plugins["other"].record
    assert record.status == "failed"
    assert told in record.error
    assert record.api == (int(version) if version in "02" else None)
    assert plugins["other"].described == {}
    assert plugins["good"].record.status == "ok"


def test_a_plugin_declares_its_version_of_the_api_or_is_of_the_first(site, good):
    site.install("silent", good)
    site.install("spoken", with_api(good, PLUGIN_API))
    assert {name: plugin.record.api for name, plugin in site.plugins().items()} == {"silent": 1, "spoken": PLUGIN_API}
    assert site.plugins(disabled=["spoken"])["spoken"].record.api is None


def test_a_plugin_that_fails_for_want_of_a_newer_genzoo_is_told_so_and_others_their_own_error(site):
    site.install("ahead", "import zoo\nzoo_api = 9\nzoo.Hologram\n")
    site.install("astray", "import zoo\nzoo_api = 1\nzoo.Hologram\n")
    plugins = site.plugins()
    assert "version 9 of the plugin API, and this genzoo has version 1" in plugins["ahead"].record.error
    assert plugins["ahead"].record.api == 9
    assert "no attribute 'Hologram'" in plugins["astray"].record.error


def test_the_version_of_the_api_is_shown(zoo_command, site, good):
    site.install("ahead", with_api(good, 2))
    document = zoo_command.json("plugins", check=0)
    assert document["api"] == PLUGIN_API
    assert {each["name"]: each["api"] for each in document["plugins"]} | {"ahead": 2, "flows": 1} == {
        each["name"]: each["api"] for each in document["plugins"]
    }
    shown = zoo_command("plugins", "--failed", check=0).stdout
    assert "it is written for version 2 of the plugin API" in " ".join(shown.split())
    told = " ".join(zoo_command("doctor").stdout.split())
    assert f"version {PLUGIN_API} of the plugin API" in told
    assert "plugin ahead of ahead 1.0 failed: it is written for version 2 of the plugin API" in told
    assert zoo_command("list", "--samplers").returncode == 0
