"""Distillation: few steps of a student are nearer to the data than as many of its teacher, and why."""

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import weights  # noqa: E402 - after the check for torch
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import ConfigError, UsageError  # noqa: E402
from zoo.paths import path_from  # noqa: E402
from zoo.training.loop import train  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo_diffusion.diffusion import Diffusion  # noqa: E402
from zoo_diffusion.distillation.consistency import Consistency, doubled, trajectory  # noqa: E402
from zoo_diffusion.distillation.reflow import PAIRS_FILE, Reflow  # noqa: E402
from zoo_diffusion.distillation.teacher import Levels, Teacher  # noqa: E402
from zoo_diffusion.masked import MaskedDiffusion  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402

METHODS = {"consistency": Consistency, "reflow": Reflow}
FEW = {"sampler": "consistency", "steps": 2}
CLASSES = {"kind": "classes", "size": 2, "labels": [], "required": False}
CENTRES = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)
CONFIG = {"event_shape": [2], "hidden": 48, "blocks": 2, "shift": 0.5, "scale": 2.0, "condition": CLASSES}


def four_points(n=8000):
    """Two classes, each of them narrow normals around two corners of a square."""
    rng = np.random.default_rng(0)
    corners = rng.integers(4, size=n)
    classes = (corners // 2).astype(np.int32)
    x = (CENTRES[corners] + rng.normal(0.0, 0.15, (n, 2))).astype(np.float32)
    half = n // 2
    return Dataset(
        "corners",
        *(Split(x[part], classes[part]) for part in (slice(half), slice(half, half + 200), slice(half, n))),
        labels=("right", "left"),
    )


DATA = four_points()


def built(**config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MLPDiffusion(**{**CONFIG, **config})


def recipe(distillation=None, **training):
    settings = {"steps": 300, "batch_size": 128, "learning_rate": 1e-3, "ema": 0.98, **training}
    table = {"name": "t", "model": {"architecture": "mlp"}, "data": {"name": "corners"}, "training": settings}
    return Recipe.from_dict({**table, **({} if distillation is None else {"distillation": distillation})})


def trained(model, folder, distillation=None, **training):
    table = {"teacher": "t", "method": "consistency"} if distillation is not None else None
    result = train(model, DATA, recipe(table, **training), folder / "c.safetensors", distillation=distillation)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in result.arrays.items()})
    (folder / "c.safetensors").unlink()
    return model.eval()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return trained(built(), tmp_path_factory.mktemp("teacher"), steps=500, learning_rate=3e-3)


def energy_distance(a, b):
    """Székely & Rizzo 2013, eq. 3: twice the mean distance across, less those within."""
    across, within_a, within_b = (torch.cdist(*pair).mean() for pair in ((a, b), (a, a), (b, b)))
    return (2 * across - within_a - within_b).item()


def distance(model, steps, **options):
    real = torch.from_numpy(DATA.test.x[:1000])
    given = DATA.test.condition[:1000]
    return energy_distance(model.sample(1000, seed=1, condition=given, steps=steps, **options), real)


class TestFewSteps:
    def test_consistency(self, teacher, tmp_path):
        student = built(sampling=FEW)
        student = trained(student, tmp_path, Consistency(student, teacher, steps=8), learning_rate=5e-4)
        for steps in (1, 2):
            assert distance(student, steps) < 0.2 * distance(teacher, steps)
        assert distance(student, 4) < 0.02

    def test_reflow(self, teacher, tmp_path):
        student = built(sampling={"sampler": "flow-euler", "steps": 1})
        distillation = Reflow(student, teacher, pairs=2000, sampler="flow-heun", steps=8)
        distillation.prepare(DATA, seed=0, folder=tmp_path)
        student = trained(student, tmp_path, distillation, steps=400, learning_rate=2e-3)
        for steps in (1, 2):
            assert distance(student, steps) < 0.2 * distance(teacher, steps)

    def test_guidance_goes_into_the_student(self, teacher, tmp_path):
        """Of a teacher guided by 0, which does not look at the class, the student learns not to look at it."""
        student = built(sampling=FEW)
        distillation = Consistency(student, teacher, steps=8, guidance=0.0)
        student = trained(student, tmp_path, distillation, learning_rate=5e-4)
        shares = [(model.sample(500, seed=3, condition=0)[:, 0] > 0).float().mean() for model in (teacher, student)]
        assert shares[0] > 0.95
        assert 0.35 < shares[1] < 0.65


class Normal(torch.nn.Module):
    """Says of N(0, s²) where the ODE ends, or what is to be expected; predicts x₀."""

    def __init__(self, path, std, exact):
        super().__init__()
        self.path, self.std, self.exact = path, std, exact
        self.factor = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, time, condition):
        alpha, sigma = (torch.from_numpy(a).to(x)[:, None] for a in self.path.alpha_sigma(time.numpy() / 1000))
        alpha_end, sigma_end = (float(a) for a in self.path.alpha_sigma(self.path.t_min))
        spread = (alpha * self.std) ** 2 + sigma**2
        if self.exact:
            # x over its standard deviation is constant along the ODE
            end = np.sqrt((alpha_end * self.std) ** 2 + sigma_end**2) / alpha_end
            return self.factor * end * x / spread.sqrt()
        return self.factor * alpha * self.std**2 / spread * x


class TestDistances:
    def options(self, **options):
        config = {"data_min": -1.0, "data_max": 1.0, "shift": 0.0, "scale": 2.0}
        student = built(**config, sampling=FEW)
        return student, Consistency(student, built(**config), steps=4, **options)

    def test_targets_near_an_end_are_the_end_or_what_lies_beyond(self):
        student, distillation = self.options(snap=0.2)
        target = torch.tensor([[-0.5, -0.41, -0.45, -0.39], [0.5, 0.41, 0.45, 0.39]])
        d = torch.tensor([[-0.7, -0.3, -0.5, -0.9], [0.7, 0.3, 0.5, 0.9]])
        expected = torch.tensor([[-0.7, -0.5, -0.5, -0.39], [0.7, 0.5, 0.5, 0.39]])
        torch.testing.assert_close(distillation.snapped(student, target, d), expected)
        student, distillation = self.options()
        assert distillation.snapped(student, target, d) is target

    def test_of_numbers_the_loss_is_a_mean_of_absolute_values(self):
        """Of two numbers, the mean of absolute values is at least √½ of the root of the mean square, and at most it."""
        x, losses = torch.from_numpy(DATA.train.x[:256]), {}
        for distance in ("samples", "numbers"):
            student, distillation = self.options(distance=distance, huber=0.0)
            torch.manual_seed(1)
            torch.nn.init.normal_(student.network.last.weight, std=0.3)
            losses[distance] = distillation.loss(student, x, torch.zeros(256).long(), done=0.0).item()
        assert x.shape[1:] == (2,)
        assert math.sqrt(0.5) * losses["samples"] < losses["numbers"] < 0.99 * losses["samples"]

    @pytest.mark.parametrize(
        ("options", "says"), [({"distance": "pixels"}, "samples, numbers"), ({"snap": -1.0}, "snap must be 0")]
    )
    def test_others_are_refused(self, options, says):
        with pytest.raises(ConfigError, match=says):
            self.options(**options)

    def test_snapping_needs_a_range(self):
        with pytest.raises(ConfigError, match="data_min"):
            Consistency(built(sampling=FEW), built(), snap=1.0)

    def test_weights_that_the_recipe_names_are_not_replaced_by_the_teacher_s(self, tmp_path):
        student, distillation = self.options()
        torch.nn.init.ones_(student.network.last.weight)
        weights.mark_loaded(student)
        described = recipe({"teacher": "t", "method": "consistency"}, steps=1, learning_rate=1e-12, ema=0)
        described = replace(described, model=replace(described.model, weights="a-student"))
        result = train(student, DATA, described, tmp_path / "c.safetensors", distillation=distillation)
        np.testing.assert_allclose(result.arrays["network.last.weight"], 1.0, atol=1e-6)


class TestAgainstANormal:
    """Everything is known of the ODE of a normal distribution."""

    def pair(self, name="cosine-log-snr", student_is_exact=True, **options):
        path = path_from(name)
        student, teacher = (
            Diffusion(Normal(path, 0.5, exact), (3,), path=path.describe(), prediction="x0", sampling=sampling).double()
            for exact, sampling in ((student_is_exact, FEW), (False, {}))
        )
        return student, Consistency(student, teacher, **options)

    def loss(self, *args, **options):
        student, distillation = self.pair(*args, **options)
        torch.manual_seed(0)
        return distillation.loss(student, 0.5 * torch.randn(512, 3, dtype=torch.float64), None, done=0.5).item()

    @pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("heun", 2)])
    @pytest.mark.parametrize("path", ["cosine-log-snr", "rectified-flow"])
    def test_the_exact_function_loses_only_the_error_of_the_teacher_s_step(self, path, solver, order):
        coarse, fine = (self.loss(path, steps=n, solver=solver, huber=0.0) for n in (80, 160))
        # what is lost in a step is of one order more than what is lost on the whole way
        assert np.log2(coarse / fine) > order + 0.5
        coarse, fine = (self.loss(path, False, steps=n, solver=solver, huber=0.0) for n in (80, 160))
        # another function differs by the length of the step
        assert np.log2(coarse / fine) < 1.2

    def test_no_gradient_comes_through_the_target(self):
        """With it, shrinking everything to 0 would pay; without it, the exact function has no gradient."""
        student, distillation = self.pair(steps=80, huber=1.0)
        x = 0.5 * torch.randn(512, 3, dtype=torch.float64)
        gradients = []
        for factor in (0.8, 1.0, 1.2):
            with torch.no_grad():
                student.network.factor.fill_(factor)
            student.zero_grad()
            torch.manual_seed(0)
            distillation.loss(student, x, None, done=0.0).backward()
            gradients.append(student.network.factor.grad.item())
        # only the boundary says what the factor should be
        assert gradients[0] < -10 * abs(gradients[1])
        assert gradients[2] > 10 * abs(gradients[1])


def test_autocast_does_not_lose_the_gradient(teacher):
    """It keeps cast weights, and those that the target has cast, without a gradient, must not be the student's."""
    student = built(sampling=FEW)
    distillation = Consistency(student, teacher, steps=4)
    distillation.start(student)
    x, classes = torch.from_numpy(DATA.train.x[:256]), torch.from_numpy(DATA.train.condition[:256])
    gradients = []
    for enabled in (False, True):
        student.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = distillation.loss(student, x, classes, done=0.0)
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in student.parameters()]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


@pytest.mark.parametrize(("order", "sampler"), [(1, "ddim"), (2, "flow-heun")])
def test_the_teacher_s_steps_are_those_of_its_sampler(teacher, order, sampler):
    steps, n = 5, 16
    noise = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
    classes = np.arange(n) % 2
    expected = teacher.sample(n, noise=noise, condition=classes, seed=0, sampler=sampler, steps=steps, guidance=2.0)
    guided = Teacher(teacher, 2.0)
    condition = guided.conditions(torch.from_numpy(classes.astype(np.int32)))
    times = np.linspace(1.0, 0.0, steps + 1)
    here = Levels.at(teacher.path, np.full(n, 1.0), torch.from_numpy(noise))
    x = here.sigma * torch.from_numpy(noise)
    for t in times[1:-1]:
        there = Levels.at(teacher.path, np.full(n, t), x)
        x = guided.step(x, here, there, condition, order=order)
        here = there
    # every sampler's last step is to D
    torch.testing.assert_close(guided.denoise(x, here, condition) * 2.0 + 0.5, expected, atol=1e-4, rtol=0)


ARM = {"name": "arm", "modality": "numbers", "shape": [2], "null": 0.0}
WORD = {"name": "prompt", "modality": "tokens", "shape": ["length"], "alphabet": "_abc", "padding": 0}
PARTS = {"parts": [ARM, {**WORD, "null": [1, 2, 3]}]}
PARTED = {"condition": PARTS, "conditioning": {"prompt": {"width": 4, "layers": 0}}, "hidden": 8, "blocks": 1}


def parted(**config):
    """An untrained diffusion that is given numbers and a word, and whose samples show both."""
    model = built(**{**PARTED, **config})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def instructed(n):
    random = np.random.default_rng(0)
    words = np.array(["a", "ab", "ca"])[np.arange(n) % 3]
    return {"arm": random.normal(size=(n, 2)).astype(np.float32), "prompt": words}


class TestNamedParts:
    """A null of three symbols, which is longer than any word."""

    @pytest.mark.parametrize("guidance", [1.0, 2.0])
    def test_the_teacher_s_steps_are_those_of_its_sampler(self, guidance):
        teacher, steps, n = parted(class_dropout=0.5), 4, 6
        noise = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
        options = {"sampler": "ddim", "steps": steps, "guidance": guidance}
        expected = teacher.sample(n, noise=noise, condition=instructed(n), seed=0, **options)
        guided = Teacher(teacher, guidance)
        given = guided.conditions(teacher.hidden(teacher.condition_tensors(instructed(n), n), 0.0))
        here = Levels.at(teacher.path, np.full(n, 1.0), torch.from_numpy(noise))
        x = here.sigma * torch.from_numpy(noise)
        for t in np.linspace(1.0, 0.0, steps + 1)[1:-1]:
            there = Levels.at(teacher.path, np.full(n, t), x)
            x = guided.step(x, here, there, given, order=1)
            here = there
        torch.testing.assert_close(guided.denoise(x, here, given) * 2.0 + 0.5, expected, atol=1e-4, rtol=0)

    def data(self):
        x = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
        splits = [Split(x[20 * i : 20 * i + 20], instructed(20)) for i in range(3)]
        return Dataset("instructed", *splits)

    def test_both_methods_train_all_of_the_student(self, tmp_path):
        teacher, data = parted(), self.data()
        students = {"consistency": parted(sampling=FEW), "reflow": parted()}
        options = {"consistency": {"steps": 4}, "reflow": {"pairs": 40, "sampler": "ddim", "steps": 2}}
        for method, student in students.items():
            table = {"teacher": "t", "method": method, "start": "fresh"}
            distillation = METHODS[method](student, teacher, guidance=1.5, **options[method])
            distillation.prepare(data, seed=0, folder=tmp_path)
            before = {name: each.clone() for name, each in student.named_parameters()}
            settings = recipe(table, steps=3, batch_size=20)
            result = train(student, data, settings, tmp_path / f"{method}.safetensors", distillation=distillation)
            for name, each in before.items():
                assert np.abs(result.arrays[name] - each.detach().numpy()).max() > 0, (method, name)

    def test_what_does_not_fit_is_refused_by_name(self):
        bare = {"parts": [ARM]}
        teacher = parted()
        with pytest.raises(ConfigError, match="different conditions: the parts arm, prompt and the part arm"):
            Consistency(parted(sampling=FEW, condition=bare, conditioning={}), teacher)
        without = {"parts": [{name: each for name, each in ARM.items() if name != "null"}]}
        pair = (parted(condition=without, conditioning={}, **each) for each in ({"sampling": FEW}, {}))
        with pytest.raises(ConfigError, match=r"guidance needs a null of each part: .*arm"):
            Consistency(*pair, guidance=2.0)


class TestSteps:
    def test_they_double(self):
        assert doubled(18) == [18]
        assert doubled([8, 64]) == [8, 16, 32, 64]
        assert doubled([10, 32]) == [10, 20, 32]

    def test_trajectories_end_where_the_path_does(self):
        edm = path_from("edm")
        np.testing.assert_allclose(trajectory(edm, 4, "trailing"), [1.0, 0.75, 0.5, 0.25, 0.0])
        np.testing.assert_allclose(trajectory(edm, 5, "linspace"), [1.0, 0.75, 0.5, 0.25, 0.0])
        discrete = path_from("ddpm-linear")
        np.testing.assert_array_equal(
            discrete.network_time(trajectory(discrete, 4, "trailing")), [999, 749, 499, 249, 0]
        )
        assert trajectory(path_from("rectified-flow"), 2, "trailing")[-1] == 1e-3


class TestAConsistencyModel:
    model = built(sampling=FEW)

    @pytest.mark.parametrize("method", ["log_prob", "elbo", "log_prob_with_errors", "encode"])
    def test_it_has_no_ode_to_score_or_encode_by(self, method):
        with pytest.raises(UsageError, match=r"a consistency model cannot (score|encode) data"):
            getattr(self.model, method)(torch.zeros(2, 2))

    def test_its_bundle_samples_and_no_more(self):
        programs = self.model.programs()
        assert [graph.name for graph in programs.graphs] == ["step"]
        assert programs.log_prob is None

    def test_it_is_not_trained_without_a_teacher(self):
        with pytest.raises(ConfigError, match="has no loss to be trained by"):
            self.model.loss(torch.zeros(2, 2))


class TestStart:
    def test_the_student_begins_as_its_teacher(self, teacher):
        student = built(sampling=FEW)
        Consistency(student, teacher).start(student)
        x = torch.randn(5, 2)
        for mine, its in zip(student.parameters(), teacher.parameters(), strict=True):
            assert torch.equal(mine, its)
        level = Levels.at(student.path, np.full(5, 0.5), x)
        assert torch.equal(
            student.denoise(x, *level, torch.arange(5) % 2), teacher.denoise(x, *level, torch.arange(5) % 2)
        )

    @pytest.mark.parametrize(
        ("method", "config", "says"),
        [
            (Consistency, {"sampling": FEW, "hidden": 32}, "cannot start with the teacher's weights"),
            (Consistency, {"sampling": FEW, "prediction": "velocity"}, "must predict v, as the teacher does"),
            (Reflow, {"path": "rectified-flow", "prediction": "velocity"}, "must have its path, prediction"),
        ],
    )
    def test_weights_that_would_mean_something_else_are_refused(self, teacher, method, config, says):
        student = built(**config)
        with pytest.raises(ConfigError, match=says):
            method(student, teacher).start(student)


class TestPairs:
    def pair(self, teacher, **options):
        student = built()
        return student, Reflow(student, teacher, pairs=40, sampler="ddim", steps=3, **options)

    def test_each_noise_meets_the_sample_that_it_becomes(self, teacher, tmp_path):
        _, distillation = self.pair(teacher, guidance=2.0)
        distillation.prepare(DATA, seed=7, folder=tmp_path)
        again = teacher.sample(
            1,
            noise=distillation.noise[3:4],
            condition=distillation.condition[3:4],
            sampler="ddim",
            steps=3,
            guidance=2.0,
        )
        torch.testing.assert_close(again[0], distillation.samples[3])

    def test_an_interrupted_run_finds_its_pairs_and_a_finished_one_leaves_none(self, teacher, tmp_path):
        told = []
        for _ in range(2):
            _, distillation = self.pair(teacher)
            distillation.prepare(DATA, seed=7, folder=tmp_path, say=told.append)
        assert len(told) == 1
        distillation.prepare(DATA, seed=8, folder=tmp_path, say=told.append)
        assert len(told) == 2
        (tmp_path / PAIRS_FILE).write_bytes(b"cut off")
        distillation.prepare(DATA, seed=8, folder=tmp_path, say=told.append)
        assert len(told) == 3
        distillation.finish(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_some_are_held_out(self, teacher, tmp_path):
        student, distillation = self.pair(teacher)
        distillation.prepare(DATA, seed=7, folder=tmp_path)
        distillation.samples[:2] = torch.nan
        x = torch.zeros(200, 2)
        assert distillation.loss(student.train(), x, None, done=0.5).isfinite()
        assert distillation.loss(student.eval(), x, None, done=0.5).isnan()


@pytest.mark.parametrize(
    ("method", "student", "options", "says"),
    [
        ("consistency", {}, {}, "must be a consistency model"),
        ("consistency", {"sampling": FEW, "path": "vp-linear"}, {}, "must have the path, shift and scale"),
        ("consistency", {"sampling": FEW, "condition": None}, {}, "different conditions"),
        ("consistency", {"sampling": FEW, "event_shape": [3]}, {}, "events of shape"),
        ("consistency", {"sampling": FEW}, {"solver": "rk4"}, "solver must be one of ddim, heun"),
        ("consistency", {"sampling": FEW}, {"steps": 1}, "steps must be 2 or more"),
        ("consistency", {"sampling": FEW}, {"steps": [8, 4]}, "first at most last"),
        ("consistency", {"sampling": FEW}, {"steps": "many"}, "a whole number or"),
        ("consistency", {"sampling": FEW}, {"spacing": "wide"}, "no spacing named 'wide'"),
        ("consistency", {"sampling": FEW}, {"huber": -1.0}, "huber must be 0 or above"),
        ("reflow", {"sampling": FEW}, {}, "not a consistency model"),
        ("reflow", {}, {"sampler": "ddpm"}, "deterministic sampler"),
        ("reflow", {}, {"pairs": 1}, "pairs must be 2 or more"),
        ("reflow", {"objective": {"coupling": "optimal-transport"}}, {}, "couples noise and data itself"),
    ],
)
def test_what_cannot_be_learned_is_refused(teacher, method, student, options, says):
    with pytest.raises(ConfigError, match=says):
        METHODS[method](built(**student), teacher, **options)


def test_a_teacher_is_a_diffusion_with_an_ode(teacher):
    student = built(sampling=FEW)
    with pytest.raises(ConfigError, match="the teacher of a diffusion must be a diffusion, not a NSFCoupling"):
        Consistency(student, NSFCoupling(event_shape=[2], transforms=1, hidden=8, blocks=1))
    with pytest.raises(ConfigError, match="has no ODE to learn from"):
        Consistency(student, student)
    without = built(sampling=FEW, condition={**CLASSES, "required": True})
    with pytest.raises(ConfigError, match="null class"):
        Consistency(without, built(condition={**CLASSES, "required": True}), guidance=2.0)


@pytest.mark.parametrize("method", METHODS.values())
@pytest.mark.parametrize(
    "student",
    [
        NSFCoupling(event_shape=[2], transforms=1, hidden=8, blocks=1),
        MaskedDiffusion(event_shape=[2], levels=3, width=8, layers=1, heads=2),
    ],
    ids=["flow", "masked"],
)
def test_a_student_is_a_diffusion_of_numbers(teacher, method, student):
    with pytest.raises(ConfigError, match=f"for diffusions of numbers, and {type(student).__name__} is not one"):
        method(student, teacher)
