"""The conformance kit: each broken thing fails the check that is named for it, and an unbroken one passes."""

import linecache
import math
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import zoo
from zoo.bundle import open_bundle
from zoo.cli._export_all import verified
from zoo.errors import NotApplicable, UnknownNameError, ZooError
from zoo.exporting import pack
from zoo.paths import path_from
from zoo.registry import Item, Registry, installed
from zoo.registry.cards import DataSource, Metric, ProgramKind, Sampler
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.samplers import BUILTIN, Recorder, table_for
from zoo.samplers.moves import toward
from zoo.testing import PluginCheck, check_plugin, checks, parametrize_with_checks
from zoo.testing import data as of_data
from zoo.testing import metrics as of_metrics
from zoo.testing import samplers as of_samplers
from zoo.testing.check import Outcome

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.programs import Iterate, Program  # noqa: E402 - after the checks for what they need
from zoo.runtime.running import Runner  # noqa: E402
from zoo.testing import models as of_models  # noqa: E402
from zoo.testing import programs as of_programs  # noqa: E402

RECORD = PluginRecord(name="mine", distribution="zoo-mine", version="1", module=__name__)


def told(found, what, subject=None):
    """What a check says, or an empty text if it passes."""
    try:
        PluginCheck("thing", "mine", what, found[what], subject)()
    except NotApplicable:
        raise
    except zoo.ZooError as error:
        return f"{error} {error.hint or ''}"
    return ""


# -- models -----------------------------------------------------------------------------------------------------------


class Right(zoo.DirectModel):
    """A coupling in the plane, with all that a model needs."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.stretch = torch.nn.Parameter(torch.tensor(0.3))
        self.log_scale = torch.nn.Parameter(torch.tensor([0.2, -0.1]))
        self.register_buffer("shift", torch.zeros(2))

    def prepare(self, x, condition=None):
        self.shift.copy_(x.mean(0))

    def gain(self, first):
        return self.stretch * torch.tanh(first)

    def inverse(self, z, condition=None):
        x = torch.stack([z[:, 0], z[:, 1] * torch.exp(self.gain(z[:, 0]))], 1)
        return self.shift + self.log_scale.exp() * x

    def log_density(self, x, condition=None):
        y = (x - self.shift) * torch.exp(-self.log_scale)
        gain = self.gain(y[:, 0])
        z = torch.stack([y[:, 0], y[:, 1] * torch.exp(-gain)], 1)
        return -0.5 * (z * z).sum(1) - math.log(2 * math.pi) - self.log_scale.sum() - gain


class NoDeterminant(Right):
    """Its density lacks the log-determinant of its coupling."""

    def log_density(self, x, condition=None):
        y = (x - self.shift) * torch.exp(-self.log_scale)
        return super().log_density(x) + self.gain(y[:, 0])


class Unnormalised(Right):
    def log_density(self, x, condition=None):
        return super().log_density(x) + 0.1


class OwnNoise(Right):
    """It draws noise of its own instead of the seed's."""

    def inverse(self, z, condition=None):
        return super().inverse(torch.randn_like(z))


class SeedBlind(Right):
    def inverse(self, z, condition=None):
        return super().inverse(0 * z + torch.tensor([0.5, 1.0]).to(z))


class LooksAround(Right):
    """A sample depends on the others of its batch."""

    def inverse(self, z, condition=None):
        return super().inverse(z - z.mean(0))


class WrongSign(Right):
    def loss(self, x, *, condition=None):
        return self.log_prob(x).mean()


class Forgetful(Right):
    """What it fits to data is not saved."""

    def __init__(self):
        super().__init__()
        del self.shift
        self.shift = torch.zeros(2)

    def prepare(self, x, condition=None):
        self.shift = x.mean(0)


class Single(Right):
    """It computes in float32, whatever it is asked for."""

    def inverse(self, z, condition=None):
        return super().inverse(z).float()


class OnTheProcessor(Right):
    def inverse(self, z, condition=None):
        return super().inverse(z) + torch.zeros(2)


class Misled(torch.autograd.Function):
    """x³, whose two derivatives disagree."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.saved_tensors[0] ** 2 * grad

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * ctx.saved_tensors[0] ** 2 * tangent


class WrongTangent(Right):
    density = "none"

    def inverse(self, z, condition=None):
        return super().inverse(z + Misled.apply(z))

    def loss(self, x, *, condition=None):
        return (self.log_scale**2).sum()


class OneWay(zoo.DirectModel):
    """Its two maps do not undo one another."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def to_data(self, z, condition=None):
        return self.scale * z, 2 * self.scale.log().expand(len(z))

    def to_noise(self, x, condition=None):
        return x / self.scale**2, -2 * self.scale.log().expand(len(x))

    def inverse(self, z, condition=None):
        return self.to_data(z)[0]

    def log_density(self, x, condition=None):
        return -0.5 * ((x / self.scale) ** 2).sum(1) - math.log(2 * math.pi) - 2 * self.scale.log()


class Branching(Right):
    def inverse(self, z, condition=None):
        return super().inverse(z) if z.sum() > -1000 else z


@dataclass(frozen=True)
class Fault:
    """A wrong model, the check that finds it, and what that says."""

    model: type
    what: str
    says: str


FAULTS = [
    Fault(NoDeterminant, "log-determinant", "the Jacobian of sampling by automatic differentiation"),
    Fault(NoDeterminant, "density", "log_prob is not the density of what sample draws"),
    Fault(Unnormalised, "mass", "sums to 1.1"),
    Fault(OwnNoise, "samples", "the same seed gives other samples the second time"),
    Fault(SeedBlind, "samples", "seeds 1 and 2 give the same samples"),
    Fault(LooksAround, "repeatable", "depends on the other samples"),
    Fault(WrongSign, "training", "the mean log_prob of the toy data it is trained on does not rise"),
    Fault(Forgetful, "saving", "after saving and loading the weights"),
    Fault(Forgetful, "device", "Forgetful.shift is a tensor that is neither a parameter nor a buffer"),
    Fault(Single, "dtype", "the type of samples of the model in float64 is torch.float32"),
    Fault(OnTheProcessor, "device", "makes a tensor on another device"),
    Fault(WrongTangent, "forward-mode", "in forward mode and"),
    Fault(OneWay, "invertible", "to_noise does not invert to_data"),
]
TRACED = [
    Fault(Branching, "symbolic-batch-inverse", "branches on the values of its inputs"),
    Fault(OwnNoise, "parity-sample", "differ"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.model.__name__}-{fault.what}")
def test_a_wrong_model_fails_the_check_that_is_named_for_it_and_a_right_one_passes_it(fault):
    said = told(of_models.of_model(installed(), fault.model), fault.what, fault.model)
    assert fault.says in said
    assert said.startswith(f"thing mine: {fault.what}: ")
    assert "test_testing.py:" in said  # where to look
    if fault.what != "invertible":  # which a model of one map has not
        assert told(of_models.of_model(installed(), Right), fault.what) == ""


@pytest.mark.full
@pytest.mark.parametrize("fault", TRACED, ids=lambda fault: fault.model.__name__)
def test_a_wrong_graph_fails_the_check_that_is_named_for_it(fault):
    assert fault.says in told(of_models.of_model(installed(), fault.model), fault.what)


@pytest.mark.full
@pytest.mark.slow
def test_a_right_model_passes_all_checks_and_says_which_did_not_run():
    report = zoo.testing.check_model(Right)
    assert report.ok, [each.message for each in report.of("failed")]
    assert {each.check.what for each in report.of("not run")} == {"invertible"}
    assert str(report) == f"{len(report.outcomes) - 1} checks ran, 0 failed, 1 did not run"


def test_a_gap_in_what_a_plugin_says_of_its_model_is_told_and_not_failed():
    described = zoo.Architecture(name="mine", family="flow", entry=f"{__name__}:NeedsSize")
    registry = Registry([Plugin(RECORD, {"architecture": (described,)}), *_builtin()])
    item = registry.item("architecture", "mine")
    with pytest.raises(NotApplicable, match="needs size in its config: give the Architecture an example"):
        told(of_models.of_architecture(registry, item, NeedsSize), "config")


class NeedsSize(Right):
    def __init__(self, *, size):
        super().__init__()


def _builtin():
    from zoo.registry.discovery import discover

    return [plugin for plugin in discover(allowed=[]) if plugin.record.name == "onnx"]


# -- samplers ---------------------------------------------------------------------------------------------------------


def right(path, steps, *, spacing="uniform-lambda"):
    """Euler's steps, each towards D."""
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        x = toward(x, d, here, there)
    return run.table(x)


def stops_short(path, steps):
    run = Recorder(path, steps, "uniform-lambda")
    x = run.start()
    for here, there in list(run.grid):
        x, d = run.denoise(x, here)
        x = toward(x, 0.9 * d, here, there)
    return run.table(x)


_random = np.random.default_rng(0)


def unrepeatable(path, steps):
    run = Recorder(path, steps, "uniform-lambda")
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        x = toward(x, d, here, there) + 1e-6 * _random.standard_normal() * run.noise()
    return run.table(x)


def without_steps(path, steps):
    return right(path, max(steps, 1))


def of_sampler(make, stochastic=False):
    description = Sampler(name="mine", entry="a:b", stochastic=stochastic)
    return of_samplers.of_sampler(installed(), Item("sampler", description, RECORD), make)


SAMPLERS = [
    (stops_short, "one-point", "data of the single point 0.5 are sampled with an error of"),
    (unrepeatable, "repeatable", "the table differs the second time"),
    (unrepeatable, "stochastic", "it adds fresh noise, and is described with stochastic=False"),
    (without_steps, "refuses", "0 steps are not refused, where a zoo.UsageError was expected"),
    (lambda path, steps: [1.0], "table", "returns list, not a StepTable"),
]


@pytest.mark.parametrize(("make", "what", "says"), SAMPLERS, ids=[what for _, what, _ in SAMPLERS])
def test_a_wrong_sampler_fails_the_check_that_is_named_for_it(make, what, says):
    assert says in told(of_sampler(make), what, make)
    assert told(of_sampler(right), what) == ""


def test_a_right_sampler_passes_all_checks():
    assert {what: told(of_sampler(right), what) for what in of_sampler(right)} == dict.fromkeys(of_sampler(right), "")


# -- data sets --------------------------------------------------------------------------------------------------------


def rings(*, seed=0):
    random = np.random.default_rng(seed)

    def some(n):
        return zoo.Split(random.standard_normal((n, 2)).astype(np.float32), random.integers(2, size=n))

    return zoo.Dataset("mine", some(300), some(100), some(200), labels=("one", "two"))


def unseeded():
    return rings(seed=None)


def leaking(*, seed=0):
    data = rings(seed=seed)
    return zoo.Dataset("mine", data.train, data.train, data.train, labels=data.labels)


def holes(*, seed=0):
    data = rings(seed=seed)
    data.train.x[3, 1] = np.nan
    return data


def of_texts(*, seed=0):
    data = rings(seed=seed)
    return zoo.Dataset("mine", zoo.Split(data.train.x.astype(str)), data.validation, data.test)


def failing(*, seed=0):
    return zoo.Dataset("mine", *np.split(np.zeros(seed), 3, 2))


def asking(seed):
    return rings(seed=seed)


def few_labels(*, seed=0):
    data = rings(seed=seed)
    return zoo.Dataset("mine", data.train, data.validation, data.test, labels=("one",))


def takes_anything(**options):
    return rings()


def of_dataset(make):
    description = DataSource(name="mine", entry="a:b")
    return of_data.of_dataset(installed(), Item("data set", description, RECORD), make)


DATA = [
    (unseeded, "repeatable", "the train split differs the second time"),
    (leaking, "held-out", "samples of the test split are in the train split"),
    (holes, "finite", "row 3"),
    (few_labels, "splits", "classes of the train split are 0 to 1, of 1 labels"),
    (takes_anything, "options", "an option that it does not have is accepted"),
    (of_texts, "splits", "the samples of a split are numbers, not texts"),
    (failing, "splits", "IndexError: tuple index out of range"),
    (asking, "splits", "it cannot be called without options: missing a required argument: 'seed'"),
    (lambda: 7, "splits", "it returns int, where a zoo.Dataset was expected"),
]


@pytest.mark.parametrize(("make", "what", "says"), DATA, ids=[f"{what}-{i}" for i, (_, what, _) in enumerate(DATA)])
def test_a_wrong_data_set_fails_the_check_that_is_named_for_it(make, what, says):
    assert says in told(of_dataset(make), what, make)
    assert told(of_dataset(rings), what) == ""


@pytest.mark.parametrize("make", [of_texts, failing, asking])
def test_a_data_set_that_is_not_made_is_told_of_once(make):
    checks = {what: Outcome.of(PluginCheck("data set", "mine", what, work)) for what, work in of_dataset(make).items()}
    assert [what for what, found in checks.items() if found.status == "failed"] == ["splits"]
    assert checks["finite"].status == checks["repeatable"].status == checks["held-out"].status == "not run"
    assert "which the check `splits` tells of" in checks["finite"].message


def test_a_number_that_is_none_is_told_by_the_check_of_numbers_alone():
    checks = {what: Outcome.of(PluginCheck("data set", "mine", what, work)) for what, work in of_dataset(holes).items()}
    assert [what for what, found in checks.items() if found.status == "failed"] == ["finite"]


# -- metrics, programs ------------------------------------------------------------------------------------------------


def spread(evaluation):
    if evaluation.drawn is None:
        return {}
    return {"spread": {"value": float(evaluation.drawn.x.std())}}


def unseeded_metric(evaluation):
    return {"spread": {"value": float(np.random.default_rng().random())}}


def not_json(evaluation):
    return {"spread": {"value": np.float32(1)}}


def changing(evaluation):
    evaluation.drawn.x[:] = 0
    return {"spread": {"value": 1.0}}


def always_drawn(evaluation):
    return {"spread": {"value": float(evaluation.drawn.x.std())}}


METRICS = [
    (unseeded_metric, "repeatable", "What is random in a metric takes evaluation.seed"),
    (not_json, "tables", "the table of spread is not of JSON values"),
    (changing, "changes-nothing", "it changes the samples that other metrics measure"),
    (always_drawn, "no-samples", "'NoneType' object has no attribute 'x'"),
]


def of_metric(function):
    registry = Registry([Plugin(RECORD, {"metric": (Metric(name="mine", entry=f"{__name__}:{function.__name__}"),)})])
    registry.load_entry = lambda description, part="entry": function
    return of_metrics.of_metric(registry, registry.item("metric", "mine"), function)


@pytest.fixture(scope="module")
def toy_evaluation():
    """The settings of a toy evaluation with a bundle that draws, but was not traced, which takes a while."""

    class Model:
        manifest = type("Manifest", (), {"sample": object(), "log_prob": None})
        condition = None

        def sample(self, n, *, seed, condition, progress):
            return np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)

    from zoo.metrics.evaluation import Evaluation
    from zoo.testing import toys

    return lambda **settings: Evaluation(model=Model(), data=toys.data(), **{"samples": 20, **settings})


@pytest.mark.parametrize(("function", "what", "says"), METRICS, ids=[what for _, what, _ in METRICS])
def test_a_wrong_metric_fails_the_check_that_is_named_for_it(function, what, says, toy_evaluation, monkeypatch):
    monkeypatch.setattr(of_metrics, "evaluation", toy_evaluation)
    assert says in told(of_metric(function), what, function)
    if what == "no-samples":
        with pytest.raises(NotApplicable, match="it measures samples alone"):
            told(of_metric(spread), what)
    else:
        assert told(of_metric(spread), what) == ""


@dataclass(frozen=True)
class Misnamed(Program):
    kind: ClassVar[str] = "yours"


class Runs(Runner):
    pass


@pytest.mark.parametrize(
    ("program", "says"), [(Misnamed, "its kind is 'yours'"), (int, "is not a zoo.programs.Program")]
)
def test_a_wrong_kind_of_program_is_told(program, says):
    description = ProgramKind(name="mine", entry=f"{__name__}:{program.__name__}", runner=f"{__name__}:Runs")
    registry = Registry([Plugin(RECORD, {"program": (description,)})])
    found = of_programs.of_program(registry, registry.item("program", "mine"), program)
    assert says in told(found, "declared")
    with pytest.raises(NotApplicable, match="no architecture of the plugin"):
        told(found, "used")


# -- whole plugins ----------------------------------------------------------------------------------------------------

PLUGIN = """
    import zoo

    zoo_api = 1

    @zoo.hookimpl
    def zoo_samplers():
        return [zoo.Sampler(name="halfway", entry="halfway_sampler:halfway")]

    @zoo.hookimpl
    def zoo_formats():
        return [zoo.Format(name="xyz", writer="nowhere:write")]
"""
SAMPLER = """
from zoo.samplers import Recorder
from zoo.samplers.moves import toward


def halfway(path, steps):
    run = Recorder(path, steps, "uniform-lambda")
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        x = toward(x, d, here, there)
    return run.table(0.5 * x)
"""


@pytest.fixture
def halfway(site):
    site.install("zoo-halfway", PLUGIN, points={"halfway": "zoo_halfway"})
    (site.folder / "halfway_sampler.py").write_text(SAMPLER)
    return site


def test_a_plugin_is_reported_with_what_failed_and_what_was_not_run_and_why(halfway, zoo_command):
    done = zoo_command("check-plugin", "halfway", check=3)
    said = " ".join(done.stdout.split())
    assert "failed: sampler halfway: one-point: for cosine-log-snr in 1 steps, data of the single point 0.5 are" in said
    assert "The weights of x and D in the last step must remove the noise" in said
    assert "halfway_sampler.py:" in said
    assert "failed: format xyz: loads:" in said
    assert "not run: format xyz: behaves: there are no checks of a format beyond its import" in said
    assert "8 checks ran, 3 failed, 1 did not run" in said
    report = check_plugin("zoo-halfway", registry=halfway.registry())
    assert report.ok is False
    failed = [(each.check.kind, each.check.what) for each in report.of("failed")]
    assert failed == [("sampler", "one-point"), ("sampler", "normal-data"), ("format", "loads")]


BROKEN = """
from math import sqrt
from zoo.samplers import Recorder
from zoo.samplers.moves import toward


def halfway(path, steps, *, eta=0.0, spacing="trailing"):
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        BODY
    RETURN
"""


@pytest.mark.parametrize(
    ("body", "end", "line", "told"),
    [
        (
            "x = toward(x, d * d, here, there)",
            "return run.table(x)",
            12,
            "nothing else, and two of them are multiplied",
        ),
        ("x = there.alpha + d", "return run.table(x)", 12, "nothing else, and a float is added"),
        ("x = d / x", "return run.table(x)", 12, "nothing else, and one of them is divided by another"),
        (
            "x = sqrt(-1.0 - eta) * d",
            "return run.table(x)",
            12,
            "ValueError: math domain error (halfway_sampler.py",
        ),
        ("x = toward(x, d, here, there)", "return x", 7, "returns Linear, not a StepTable"),
        ("x = toward(x, d, here, there)", "pass", 7, "returns NoneType, not a StepTable"),
        ("x = run.noise()", "return run.table(x + x0)", 13, "NameError: name 'x0' is not defined"),
    ],
)
def test_a_sampler_that_fails_is_told_of_once_with_its_line(body, end, line, told, halfway, monkeypatch):
    monkeypatch.delitem(sys.modules, "halfway_sampler", raising=False)
    linecache.clearcache()
    file = halfway.folder / "halfway_sampler.py"
    file.write_text(BROKEN.replace("BODY", body).replace("RETURN", end))
    report = check_plugin("zoo-halfway", registry=halfway.registry())
    (failed,) = [each for each in report.of("failed") if each.check.kind == "sampler"]
    assert failed.check.what == "table"
    assert told in failed.message
    assert failed.hint.endswith(f"Look at {file}:{line}.")
    # a run of it tells the same, and does not call it an error of genzoo
    program = Iterate("step", path=path_from("rectified-flow").describe())
    with pytest.raises(ZooError, match="sampler halfway") as caught:
        table_for(program, "halfway", 2, samplers={**BUILTIN, "halfway": sampler_of(file)})
    assert told in str(caught.value)


def sampler_of(file):
    """The function of a file, imported anew."""
    space = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    return space["halfway"]


def test_checks_are_parameters_of_a_test(halfway):
    registry = halfway.registry()
    mark = parametrize_with_checks("halfway", registry=registry)
    ids = mark.mark.kwargs["ids"]
    assert ids[:2] == ["sampler-halfway-loads", "sampler-halfway-table"]
    runs = dict(zip(ids, mark.mark.args[1], strict=True))
    runs["sampler-halfway-table"]()
    with pytest.raises(zoo.ZooError, match="one-point"):
        runs["sampler-halfway-one-point"]()
    with pytest.raises(pytest.skip.Exception, match="no checks of a format"):
        runs["format-xyz-behaves"]()


def test_a_plugin_that_is_not_there_or_broken_or_disabled_is_told(site, good):
    site.install("broken", "1 / 0")
    site.install("other", good)
    with pytest.raises(UnknownNameError):
        checks("brokn", registry=site.registry())
    with pytest.raises(zoo.PluginError, match=r"plugin broken of broken 1.0 cannot be loaded: ZeroDivisionError"):
        check_plugin("broken", registry=site.registry())
    with pytest.raises(zoo.PluginError, match="is disabled"):
        checks("other", registry=site.registry(disabled=["other"]))


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("name", ["samplers", "metrics"])
def test_what_is_built_in_passes_its_own_checks(name):
    report = check_plugin(name)
    assert report.ok, [each.message for each in report.of("failed")]


# -- targets ----------------------------------------------------------------------------------------------------------


def dated(bundle, folder):
    (folder / "made.txt").write_text(str(time.time_ns()))


def empty(bundle, folder):
    pass


def meddles(bundle, folder):
    (folder / "run.txt").write_text("x")
    (folder / "bundle" / "MODEL_CARD.md").write_text("mine")


def adds(bundle, folder):
    (folder / "run.txt").write_text("x")
    (folder / "bundle" / "extra.txt").write_text("mine")


def fails(bundle, folder):
    return bundle.manifest.colour


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "what", "says"),
    [
        (adds, "writes", "it writes bundle/extra.txt, where only the bundle's own files are to be"),
        (fails, "writes", "the target mine of zoo-mine 1 fails: AttributeError: 'Manifest' object has no attribute"),
        (dated, "repeatable", "made.txt differs the second time"),
        (empty, "writes", "it writes no file"),
        (meddles, "writes", "it changes or removes bundle/MODEL_CARD.md"),
    ],
)
def test_a_wrong_target_fails_the_check_that_is_named_for_it(function, what, says):
    from zoo.testing import targets

    registry = registry_of(function)
    found = targets.of_exporter(registry, registry.item("exporter", "mine"), function)
    assert says in told(found, what)


def registry_of(function, **described):
    """A registry with a target of a plugin, which packs by a function."""
    entry = f"{__name__}:{function.__name__}"
    exporter = zoo.Exporter(name="mine", entry=entry, packs=True, **described)
    registry = Registry([Plugin(RECORD, {"exporter": (exporter,)})])
    registry.load_entry = lambda description, part="entry": function
    return registry


def test_a_target_that_fails_is_told_as_its_plugins_and_leaves_nothing(tmp_path):
    bundle = open_bundle(installed().model("moons-nsf").bundle_path)
    with pytest.raises(zoo.PluginError, match=r"the target mine of zoo-mine 1 fails: AttributeError.*test_testing.py:"):
        pack(bundle, tmp_path / "out", target="mine", registry=registry_of(fails))
    assert not list(tmp_path.iterdir())
    registry = registry_of(fails, verify="a:b")
    with pytest.raises(zoo.PluginError, match="the target mine of zoo-mine 1 fails: TypeError"):
        verified(SimpleNamespace(registry=registry), registry.exporter("mine"), tmp_path)
