"""Packed bundles, Node and Chromium: what is missing is skipped, saying what."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from zoo.bundle import open_bundle
from zoo.conditions import Condition
from zoo.exporting import export, pack
from zoo.modality import Audio, describe
from zoo.registry import Registry
from zoo.registry.cards import ModelCard
from zoo.registry.discovery import Plugin, PluginRecord

SHIPPED = Path(__file__).parents[2] / "plugins" / "zoo_models"
#: bundles of models that are conditioned on named parts
PARTS = Path(__file__).parents[1] / "bundles" / "parts"
SECONDS = 120
RATE = 8000


def registry():
    """The targets of this package and the one that writes bundles, whatever else is installed."""
    import zoo_onnx
    import zoo_web

    exporters = (*zoo_web.zoo_exporters(), *zoo_onnx.zoo_exporters())
    record = PluginRecord(name="web", distribution="genzoo", version="1.0", module="zoo_web")
    return Registry([Plugin(record, {"exporter": exporters})])


@pytest.fixture(scope="session", name="registry")
def _registry():
    return registry()


@pytest.fixture(scope="session")
def shipped():
    """Opens one of the bundles that come with genzoo."""
    return lambda name: open_bundle(SHIPPED / name / "bundle")


# -- models whose bundles have what the shipped ones lack -------------------------------------------------------------


def sound():
    """White noise of a twentieth of a second, louder towards its end; two classes, the second of them lower."""
    from torch import linspace, nn

    from zoo.models.interface import DirectModel

    class Noise(DirectModel):
        family = "flow"

        def __init__(self):
            super().__init__()
            self.event_shape, self.condition = (1, RATE // 20), Condition.classes(2, ["high", "low"])
            self.loudness = nn.Parameter(linspace(0.05, 0.4, self.event_shape[1]))

        def inverse(self, z, condition=None):
            return z * self.loudness * (1 - 0.5 * condition.float().view(-1, 1, 1))

        def log_density(self, x, condition=None):
            scale = self.loudness * (1 - 0.5 * condition.float().view(-1, 1, 1))
            return (-0.5 * (x / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)).sum((1, 2))

    return Noise()


def plane():
    """x = m + A·z + B·c in the plane, for a vector c of three numbers."""
    import torch

    from zoo.models.interface import DirectModel

    class Plane(DirectModel):
        family = "flow"

        def __init__(self):
            super().__init__()
            self.event_shape, self.condition = (2,), Condition.vector(3, ["east", "north", "spare"])
            self.factor = torch.nn.Parameter(torch.tensor([[0.5, 0.0], [0.3, 0.8]]))
            self.effect = torch.nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -0.5]]))
            self.register_buffer("inverse_factor", torch.linalg.inv(self.factor.detach()))

        def inverse(self, z, condition=None):
            return condition @ self.effect + z @ self.factor.T

        def log_density(self, x, condition=None):
            z = (x - condition @ self.effect) @ self.inverse_factor.T
            log_det = torch.diagonal(self.factor).log().sum()
            return -0.5 * (z * z).sum(1) - math.log(2 * math.pi) - log_det

    return Plane()


def _small():
    """The small models that exports are tested with."""
    spec = importlib.util.spec_from_file_location("small_models", Path(__file__).parents[1] / "onnx" / "conftest.py")
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    return small


def unet():
    """The small U-Net that exports are tested with, without a density, and with names for its classes."""
    small = _small()
    condition = {"kind": "classes", "size": 3, "labels": ["a", "b", "c"], "required": False}
    return small.unet(small.Steps, condition=condition)


def maf():
    """A masked autoregressive flow in six dimensions, whose small steps are a loop with weights in its body."""
    import torch

    from zoo_flows.maf import MAF

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = MAF(event_shape=[6], transforms=2, hidden=[32, 32])
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


def noisy():
    """Numbers and symbols from noises of every distribution."""
    return _small().Noisy()


def cool():
    """A line in the plane, whose samples have a temperature of their own."""
    model = _small().Gaussian()
    model.temperature = 0.7
    return model


MODELS = {"cool": cool, "noisy": noisy, "sound": sound, "plane": plane, "unet": unet, "maf": maf}
#: bundle -> its model, and the options of its export
BUNDLES = {
    "cool": ("cool", {"fused": {}}),
    "noisy": ("noisy", {}),
    "sound": ("sound", {}),
    "plane": ("plane", {}),
    "plane-fixed": ("plane", {"batch": 3}),
    "maf-loop": ("maf", {"inverse": "loop"}),
    "unet": ("unet", {"fused": {"sampler": "ddpm", "steps": 3}}),
    "unet-fixed": ("unet", {"batch": 3}),
    "unet-float16": ("unet", {"dtype": "float16"}),
    "unet-bfloat16": ("unet", {"dtype": "bfloat16"}),
    "unet-int8": ("unet", {"quantize": "int8", "bound": 0.1}),
    "unet-int8-dynamic": ("unet", {"quantize": "int8-dynamic"}),
    "unet-int4-weights": ("unet", {"quantize": "int4-weights", "bound": 0.2}),
}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, shipped):
    """Opens a bundle: one of those above, exported when it is first asked for, or a shipped one."""
    made = {}

    def give(name):
        if (PARTS / name).is_dir():
            return open_bundle(PARTS / name)
        if name not in BUNDLES:
            return shipped(name)
        for needed in ("torch", "onnx", "onnxscript"):
            pytest.importorskip(needed)
        if name not in made:
            model, options = BUNDLES[name]
            data = {"name": "made", **({"kind": describe(Audio(RATE))} if model == "sound" else {})}
            built = MODELS[model]()
            card = ModelCard(
                name=name,
                summary=f"The model {name} of the tests",
                family=built.family,
                architecture="",
                event_shape=tuple(built.event_shape),
                condition=built.condition,
                data=data,
            )
            made[name] = export(
                built, tmp_path_factory.mktemp(name) / "bundle", card=card, registry=registry(), **options
            )
        return open_bundle(made[name])

    return give


# -- Node -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def modules():
    """The folder of npm packages that GENZOO_NODE_MODULES names."""
    folder = os.environ.get("GENZOO_NODE_MODULES")
    if not folder or not (Path(folder) / "onnxruntime-web").is_dir():
        pytest.skip("GENZOO_NODE_MODULES names no folder with the npm packages onnxruntime-web and onnxruntime-node")
    return Path(folder)


@pytest.fixture(scope="session")
def packed(bundle, tmp_path_factory):
    """Packs a bundle for a target, once."""
    made = {}

    def give(name, target):
        if (name, target) not in made:
            folder = tmp_path_factory.mktemp(target) / name
            made[name, target] = pack(bundle(name), folder, target=target, registry=registry())
        return made[name, target]

    return give


@pytest.fixture(scope="session")
def node(modules):
    """Runs JavaScript in Node and gives what it returns; ``given`` has the keyword arguments."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not installed")

    def run(package, script, **given):
        source = f"""
            import {{ writeFileSync }} from "node:fs";
            import * as genzoo from {json.dumps((package / "index.mjs").as_uri())};
            const given = JSON.parse(process.env.GIVEN);
            const plain = (key, value) => {{
              if (ArrayBuffer.isView(value)) return Array.from(value, (v) => (Number.isFinite(v) ? v : String(v)));
              return typeof value === "bigint" ? Number(value) : value;
            }};
            const refused = async (call) => {{
              try {{ await call(); }} catch (error) {{ return [error.name, error.message, error.hint ?? ""]; }}
              return null;
            }};
            const result = await (async () => {{ {script} }})();
            writeFileSync(1, JSON.stringify(result, plain));
            process.exit(0);
        """
        environment = {**os.environ, "GIVEN": json.dumps(given), "GENZOO_NODE_MODULES": str(modules)}
        command = [program, "--input-type=module", "-e", source]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def package(packed):
    """Any package, for what does not depend on the bundle in it."""
    return packed("moons-nsf", "node")
