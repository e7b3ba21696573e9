"""Small models, and their bundles: written once, since tracing takes seconds."""

import dataclasses
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from filelock import FileLock  # noqa: E402 - after the checks for what they need

from zoo.conditions import Condition  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.models.interface import DirectModel, Noise, largest  # noqa: E402
from zoo.programs import Graph  # noqa: E402
from zoo.programs.ports import Port  # noqa: E402
from zoo_diffusion.unet import UNetDiffusion  # noqa: E402


class Gaussian(DirectModel):
    """x = m + A·z (+ B·c) in 16 dimensions: the least that a third party writes."""

    family = "flow"

    def __init__(self, conditional=False, size=16):
        super().__init__()
        self.event_shape = (size,)
        self.condition = Condition.vector(3) if conditional else None
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(size, size, generator=generator)
        self.factor = torch.nn.Parameter(torch.eye(size) + 0.1 * torch.tril(noise))
        self.register_buffer("inverse_factor", torch.linalg.inv(self.factor.detach()))
        self.mean = torch.nn.Parameter(torch.linspace(-1, 1, size))
        self.effect = torch.nn.Parameter(torch.randn(3, size, generator=generator)) if conditional else None
        # nobody's graph uses it, and it is a scalar
        self.register_buffer("steps_trained", torch.tensor(7))

    def centre(self, condition):
        return self.mean if self.effect is None else self.mean + condition @ self.effect

    def inverse(self, z, condition=None):
        return self.centre(condition) + z @ self.factor.T

    def log_density(self, x, condition=None):
        z = (x - self.centre(condition)) @ self.inverse_factor.T
        log_det = torch.log(torch.abs(torch.diagonal(self.factor))).sum()
        return -0.5 * (z * z).sum(1) - 0.5 * self.event_shape[0] * math.log(2 * math.pi) - log_det


class Noisy(DirectModel):
    """Two normals, three uniforms and four symbols of five, each from a noise of its own; it only samples."""

    family = "noisy"
    density = "none"
    draws_symbols = True

    def __init__(self):
        super().__init__()
        self.event_shape = (9,)
        self.scale = torch.nn.Parameter(torch.tensor([0.5, 2.0]))
        self.logits = torch.nn.Parameter(torch.linspace(-1, 1, 20).reshape(4, 5).sin())

    @property
    def noises(self):
        return (Noise("z", (2,)), Noise("u", (3,), "uniform"), Noise("g", (4, 5), "gumbel"))

    def draw(self, noise, condition=None):
        symbols, margins = largest(self.logits + noise["g"])
        numbers = torch.cat([self.scale * noise["z"], noise["u"]], 1)
        return torch.cat([numbers, symbols], 1), torch.cat([torch.full_like(numbers, 1e9), margins], 1)


class Baked(Gaussian):
    """Its graph takes the batch from Python, which tracing turns into a number."""

    def inverse(self, z, condition=None):
        return super().inverse(z) + torch.zeros(len(z), *self.event_shape)


class Logistic(Gaussian):
    """Its density is one that a naive translation gets wrong far out; its samples are not of it, and it says so."""

    density = "bound"

    def log_density(self, x, condition=None):
        return (torch.nn.functional.logsigmoid(x) + torch.nn.functional.logsigmoid(-x)).sum(1)

    def inverse(self, z, condition=None):
        return z


class Steps(UNetDiffusion):
    """A diffusion that does not score, whose export takes half the time."""

    def __init__(self, **config):
        super().__init__(**config)
        self.density = "none"

    def programs(self):
        whole = super().programs()
        graphs = tuple(graph for graph in whole.graphs if graph.name == whole.sample.graph)
        return dataclasses.replace(whole, graphs=graphs, log_prob=None)


def unet(kind=UNetDiffusion, **changes):
    """A U-Net diffusion over 8×8 images, with weights that are not those of a fresh model (whose output is zero)."""
    config = {
        "event_shape": [1, 8, 8],
        "base": 8,
        "multipliers": [1, 2],
        "attention": [],
        "head_channels": 8,
        "condition": {"kind": "classes", "size": 3, "labels": [], "required": False},
        "shift": 8.0,
        "scale": 8.0,
        "data_min": 0.0,
        "data_max": 16.0,
        "sampling": {"steps": 4},
        **changes,
    }
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = kind(**config)
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


@pytest.fixture(scope="session")
def models():
    """The classes above."""
    return {"gaussian": Gaussian, "baked": Baked, "logistic": Logistic, "unet": unet}


@pytest.fixture(scope="session")
def exported_once(tmp_path_factory, worker_id):
    """Exports a model under a name into a folder that all processes of a test run share."""

    def exported(name, model, **options):
        root = tmp_path_factory.getbasetemp()
        root = root if worker_id == "master" else root.parent
        folder = root / "bundles" / name
        with FileLock(root / f"{name}.lock"):
            folder.parent.mkdir(exist_ok=True)
            return folder if folder.exists() else export(model, folder, **options)

    return exported


@pytest.fixture(scope="session")
def gaussian():
    return Gaussian()


@pytest.fixture(scope="session")
def gaussian_bundle(gaussian, tmp_path_factory):
    return export(gaussian, tmp_path_factory.mktemp("gaussian") / "bundle")


@pytest.fixture(scope="session")
def diffusion():
    return unet()


@pytest.fixture(scope="session")
def diffusion_bundle(diffusion, exported_once):
    return exported_once("diffusion", diffusion)


@pytest.fixture(scope="session")
def steps():
    """The same without a density."""
    return unet(Steps)


@pytest.fixture(scope="session")
def steps_bundle(steps, exported_once):
    return exported_once("steps", steps)


@pytest.fixture(scope="session")
def unclipped():
    """The same with a sampler that keeps the network's own ε."""
    return unet(Steps, sampling={"steps": 4, "options": {"epsilon": "unclipped"}})


@pytest.fixture
def graph():
    """Makes a graph of one input x and one output y around a function, both float32 [batch, 4] unless said."""

    def make(function, shape=("batch", 4), out=None):
        return Graph(
            "g", function, (Port("x", "float32", shape),), (Port("y", "float32", shape if out is None else out),)
        )

    return make
