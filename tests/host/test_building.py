"""From MODEL to a PyTorch model: names, folders, bundles; configs and weights that do not fit are told."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import bundle as bundles  # noqa: E402
from zoo import weights  # noqa: E402
from zoo.errors import (  # noqa: E402
    BundleError,
    ConfigError,
    NameConflictError,
    PluginError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from zoo.models import building  # noqa: E402 - after the check for torch
from zoo.models.building import keywords  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.models.sources import resolve  # noqa: E402
from zoo.programs import Direct  # noqa: E402
from zoo.programs.ports import Port  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.registry.cards import CARD_FILE, Architecture, ModelCard, WeightsFile  # noqa: E402
from zoo.registry.discovery import Plugin, PluginRecord  # noqa: E402

SOURCE = """
    import torch
    from zoo.models.interface import DirectModel

    class Base(DirectModel):
        family = "flow"

        def __init__(self, network, *, scale: float = 1.0):
            super().__init__()
            self.network, self.scale = network, scale

        def inverse(self, z, condition=None):
            return self.network + self.scale * z

        def log_density(self, x, condition=None):
            return -((x - self.network) ** 2).sum(1)

    class Shift(Base):
        def __init__(self, dim, **rest):
            super().__init__(torch.nn.Parameter(torch.zeros(dim)), **rest)
            self.event_shape = (dim,)
            if dim > 100:
                raise ZeroDivisionError("too large")

    class Dense(Shift):
        def density(self, x):
            return self.log_density(x).exp()

    not_a_model = dict
"""


@pytest.fixture
def registry(site, tmp_path):
    site.install("shifts", SOURCE, points={})
    described = (
        Architecture(name="shift", family="flow", entry="shifts:Shift"),
        Architecture(name="dense", family="flow", entry="shifts:Dense"),
        Architecture(name="dict", family="flow", entry="shifts:not_a_model"),
    )
    record = PluginRecord(name="p", distribution="zoo-p", version="1.0", module="shifts")
    card = write_model(tmp_path / "tiny")
    return Registry([Plugin(record, {"architecture": described, "model": (card,)})])


def write_model(folder, dim=3, name="tiny", **changes):
    folder.mkdir(parents=True)
    path = folder / "weights.safetensors"
    digest = weights.write(path, {"network": np.arange(dim, dtype=np.float32)})
    card = ModelCard(
        name=name,
        family="flow",
        architecture="shift",
        config={"dim": dim},
        event_shape=(dim,),
        weights=WeightsFile(path.name, digest, path.stat().st_size),
    )
    values = {**card.describe(), **changes}
    (folder / CARD_FILE).write_text(json.dumps(values))
    return ModelCard.from_folder(folder)


def identity(dim):
    """An ONNX graph that gives back what it takes."""
    onnx = pytest.importorskip("onnx")
    z, x = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", dim]) for name in "zx")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["z"], ["x"])], "inverse", [z], [x])
    opset = onnx.helper.make_opsetid("", 18)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def write_bundle(folder, dim=3, **model):
    folder.mkdir(parents=True)
    arrays = {"network": np.arange(dim, dtype=np.float32), "graph:folded": np.ones(2, np.float32)}
    weights.write(folder / bundles.WEIGHTS, arrays)
    (folder / "inverse.onnx").write_bytes(identity(dim))
    x, z = Port("x", "float32", ("batch", dim)), Port("z", "float32", ("batch", dim))
    manifest = bundles.Manifest(
        model={"name": "packed", "architecture": "shift", "config": {"dim": dim}, **model},
        event_shape=(dim,),
        condition=None,
        levels=None,
        licenses={},
        graphs={"inverse": bundles.GraphInfo("inverse.onnx", 18, 8, (z,), (x,))},
        sample=Direct("inverse", noise="z"),
        log_prob=None,
        files={name: bundles.file_info(folder / name) for name in (bundles.WEIGHTS, "inverse.onnx")},
    )
    (folder / bundles.MANIFEST).write_text(manifest.to_json())
    return folder


def test_a_model_is_built_from_its_config(registry):
    model = building.build(registry, "shift", {"dim": 2, "scale": 3.0})
    assert isinstance(model, DirectModel)
    assert (model.event_shape, model.scale) == ((2,), 3.0)


def test_a_model_whose_density_is_a_method_is_refused_before_it_trains(registry):
    told = "density of Dense must be one of exact, bound, estimate, ratio, none, not a method"
    with pytest.raises(ConfigError, match=told):
        building.build(registry, "dense", {"dim": 2})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"dim": 2, "size": 1}, "takes no size"),
        ({}, "needs dim in its config"),
        ({"dim": "two"}, "cannot be built with this config: TypeError"),
        ({"dim": -1}, "cannot be built with this config: RuntimeError"),
        ({"dim": 101}, "cannot be built with this config: ZeroDivisionError: too large"),
    ],
)
def test_a_config_that_does_not_fit_names_what_does(registry, config, told):
    with pytest.raises(ConfigError) as caught:
        building.build(registry, "shift", config)
    assert told in str(caught.value)
    assert caught.value.hint == "shift takes dim, scale = 1.0."


def test_keywords_of_a_class_that_takes_anything_are_unknown():
    class Anything:
        def __init__(self, **config):
            pass

    assert keywords(Anything) is None


def test_what_is_no_model_is_refused(registry):
    with pytest.raises(PluginError, match=r"shifts:not_a_model .* is not a zoo.GenerativeModel"):
        building.build(registry, "dict", {})


def test_a_name_a_folder_and_a_card_give_the_same_model(registry, tmp_path):
    card = registry.model("tiny")
    for model in ("tiny", tmp_path / "tiny", str(tmp_path / "tiny" / CARD_FILE), card, resolve(registry, "tiny")):
        loaded = building.load(registry, model)
        assert not loaded.training
        assert loaded.network.tolist() == [0.0, 1.0, 2.0]


def test_a_bundle_gives_its_model_back(registry, tmp_path):
    loaded = building.load(registry, write_bundle(tmp_path / "b"))
    assert loaded.network.tolist() == [0.0, 1.0, 2.0]


def test_a_bundle_of_nobody_knows_what_cannot_be_loaded_into_torch(registry, tmp_path):
    with pytest.raises(BundleError, match="does not state the architecture"):
        building.load(registry, write_bundle(tmp_path / "b", architecture=""))


def test_weights_are_checked(registry, tmp_path):
    folder = tmp_path / "altered"
    write_model(folder)
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="altered or damaged"):
        building.load(registry, folder)
    path.unlink()
    with pytest.raises(WeightsError, match="does not exist"):
        building.load(registry, folder)


def test_weights_of_another_shape_do_not_fit(registry, tmp_path):
    write_model(tmp_path / "other", config={"dim": 4}, event_shape=[4])
    with pytest.raises(WeightsError, match="does not fit the model"):
        building.load(registry, tmp_path / "other")


def test_a_card_that_states_another_event_shape_is_refused(registry, tmp_path):
    write_model(tmp_path / "other", event_shape=[4])
    with pytest.raises(ConfigError, match="states events of shape"):
        building.load(registry, tmp_path / "other")


def test_a_card_without_weights_cannot_be_loaded(registry, tmp_path):
    write_model(tmp_path / "empty", weights=None)
    with pytest.raises(WeightsError, match="has no weights"):
        building.load(registry, tmp_path / "empty")


# -- resolve --------------------------------------------------------------------------------------------------------


def test_resolving_says_what_there_is(registry, tmp_path):
    source = resolve(registry, "tiny")
    assert (source.name, source.card.architecture, source.bundle) == ("tiny", "shift", None)
    packed = write_bundle(tmp_path / "b")
    source = resolve(registry, packed)
    assert (source.name, source.card, source.bundle) == ("packed", None, packed)
    assert source.manifest().event_shape == (3,)
    write_model(tmp_path / "both", bundle="bundle")
    assert resolve(registry, tmp_path / "both").bundle is None  # stated, and not there
    carried = write_bundle(tmp_path / "both" / "bundle")
    source = resolve(registry, tmp_path / "both")
    assert (source.card.name, source.bundle) == ("tiny", carried)


def test_a_registered_name_goes_before_a_folder_of_that_name(registry, tmp_path, monkeypatch):
    write_model(tmp_path / "elsewhere" / "tiny", dim=5)
    write_model(tmp_path / "elsewhere" / "local", dim=5, name="local")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resolve(registry, "tiny").card.event_shape == (3,)
    assert resolve(registry, "./tiny").card.event_shape == (5,)
    assert resolve(registry, "local").card.event_shape == (5,)


def test_what_is_no_model_says_what_one_looks_like(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="no model named 'tny'") as caught:
        resolve(registry, "tny")
    assert caught.value.hint == "Did you mean tiny?"
    with pytest.raises(UsageError, match="there is no model at"):
        resolve(registry, "./tny")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is a folder, but not a model"):
        resolve(registry, tmp_path / "folder")
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file, but not a model"):
        resolve(registry, "model.onnx")


def test_a_contested_name_is_not_taken_for_a_path(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = registry.model("tiny")
    records = [PluginRecord(name=n, distribution=n, version="1", module=n) for n in ("a", "b")]
    contested = Registry([Plugin(record, {"model": (card,)}) for record in records])
    with pytest.raises(NameConflictError):
        resolve(contested, "tiny")


@pytest.mark.parametrize(
    ("file", "text"), [(CARD_FILE, "{"), (CARD_FILE, "[]"), (bundles.MANIFEST, "{"), (CARD_FILE, "\0")]
)
def test_a_damaged_card_or_manifest_is_a_zoo_error(registry, tmp_path, file, text):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / file).write_text(text)
    with pytest.raises((ConfigError, BundleError)):
        resolve(registry, tmp_path / "damaged")
