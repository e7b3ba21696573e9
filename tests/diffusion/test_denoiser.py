"""``zoo.denoiser``: every convention against the loop or the formula of the library whose networks follow it."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from torch import nn  # noqa: E402 - after the check for torch

import zoo  # noqa: E402
from tests import foreign_libraries as libraries  # noqa: E402
from zoo import noise  # noqa: E402
from zoo.errors import ConfigError, ProofError, UnknownNameError, UsageError  # noqa: E402
from zoo.paths import DDPMTable, LinearBeta, Retimed, Trigonometric, path_from  # noqa: E402
from zoo.programs import Iterate, describe, program_from  # noqa: E402
from zoo.samplers import BUILTIN  # noqa: E402
from zoo_diffusion.foreign.conventions import CONVENTIONS  # noqa: E402

#: times of our paths, and of them those of noise levels that float32 can tell
T = np.array([0.02, 0.1, 0.35, 0.5, 0.8, 0.98])


class Field(nn.Module):
    """A smooth function of state and time, in double precision."""

    def __init__(self, size=2, outputs=None):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(outputs or size, size + 2, generator=generator, dtype=torch.float64))
        self.seen = []

    def forward(self, x, t):
        self.seen.append(t)
        time = torch.as_tensor(t).to(x.dtype).expand(len(x))
        return torch.tanh(torch.cat([x, (time / 3).sin()[:, None], (time / 3).cos()[:, None]], 1) @ self.weight.T)


class Called(nn.Module):
    """A network whose output is any function of x and t."""

    def __init__(self, function):
        super().__init__()
        self.function, self.unused = function, nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, t):
        return self.function(x, t)


def draws(n=5, size=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, size, generator=generator, dtype=torch.float64)


def at(model, t):
    """What a step at path time t is told: the network's time, α and σ."""
    alpha, sigma = model.path.alpha_sigma(t)
    return [torch.tensor(float(each), dtype=torch.float64) for each in (model.path.network_time(t), alpha, sigma)]


def denoised(model, x, t):
    """D at path time t."""
    time, alpha, sigma = at(model, t)
    return model.denoise(x, time, alpha, sigma, None)


# -- velocities: the field that a library would train a network to is put in its place ---------------------------------

DATA, NOISE = draws(seed=1), draws(seed=2)


def matcher(name, **arguments):
    """A flow matcher of torchcfm: states and velocities of a pair of noise and data at its time s."""
    theirs = getattr(libraries.torchcfm(), name)(**arguments)
    return (
        lambda s: theirs.compute_mu_t(NOISE, DATA, s) if name != "TargetConditionalFlowMatcher" else target(theirs, s),
        lambda x, s: theirs.compute_conditional_flow(NOISE, DATA, s, x),
    )


def target(theirs, s):
    return theirs.compute_mu_t(NOISE, DATA, s) + (1 - (1 - theirs.sigma) * s[:, None]) * NOISE


def scheduled(alpha_sigma):
    """A path x_s = α·data + σ·noise of a library, and its velocity by automatic differentiation."""

    def state(s):
        alpha, sigma = alpha_sigma(s)
        return alpha[:, None] * DATA + sigma[:, None] * NOISE

    def velocity(x, s):
        s = s.detach().requires_grad_()
        alpha, sigma = (torch.autograd.grad(each.sum(), s, retain_graph=True)[0] for each in alpha_sigma(s))
        return alpha[:, None] * DATA + sigma[:, None] * NOISE

    return state, velocity


def vp_scheduler(s):
    """flow_matching's: Song et al. 2021 with β from 0.1 to 20, counted from noise."""
    exponent = 0.5 * (1 - s) ** 2 * 19.9 + (1 - s) * 0.1
    return (-0.5 * exponent).exp(), (1 - (-exponent).exp()).sqrt()


VELOCITIES = {
    "torchcfm": (lambda: matcher("ConditionalFlowMatcher", sigma=0.1), lambda t: 1 - t),
    "velocity-field": (lambda: matcher("TargetConditionalFlowMatcher", sigma=0.0), lambda t: 1 - t),
    "torchcfm-vp": (lambda: matcher("VariancePreservingConditionalFlowMatcher"), lambda t: 1 - t),
    "flow-matching": (lambda: scheduled(lambda s: (s, 1 - s)), lambda t: 1 - t),
    "flow-matching-vp": (lambda: scheduled(vp_scheduler), lambda t: 1 - (1e-5 + (1 - 1e-5) * t)),
    "noise-minus-data": (lambda: scheduled(lambda s: (1 - s, s)), lambda t: t),
    "diffusers-flow": (lambda: scheduled(lambda s: (1 - s, s)), lambda t: t),
}


@pytest.mark.parametrize("name", VELOCITIES)
@pytest.mark.parametrize("t", T)
def test_where_the_network_gives_the_velocity_of_a_pair_its_data_are_what_is_denoised(name, t):
    made, time_of = VELOCITIES[name]
    state, velocity = made()
    unit = 1000.0 if name == "diffusers-flow" else 1.0
    net = Called(lambda x, s: velocity(x, s / unit))
    # it is a function of five samples alone, which no others can be tried with
    model = zoo.denoiser(net, event_shape=(2,), convention=name, time_shape="batch")
    s = torch.full((5,), float(time_of(t)), dtype=torch.float64)
    x = state(s)
    time, alpha, sigma = at(model, t)
    torch.testing.assert_close(alpha * DATA + sigma * NOISE, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(time / unit, s[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(denoised(model, x, t), DATA, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["torchcfm", "velocity-field", "flow-matching"])
def test_euler_over_the_field_as_the_library_does_it_equals_ours(name):
    """A field of no path at all, as of a coupling or another source of noise."""
    field, steps, x = Field(), 25, 3.0 * NOISE
    model = zoo.denoiser(field, event_shape=(2,), convention=name)
    with torch.no_grad():
        ours = model.sample(5, noise=x.numpy(), steps=steps)
        for k in range(steps):
            x = x + field(x, torch.full((5,), k / steps, dtype=torch.float64)) / steps
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


def test_a_field_of_a_coupling_is_integrated_and_never_given_noise():
    """Its velocity is not a score, so samplers with fresh noise would draw from another distribution."""
    coupled, independent = (
        zoo.denoiser(Field(), event_shape=(2,), convention=name) for name in ("velocity-field", "torchcfm")
    )
    noisy = set()
    for name in BUILTIN.keys() - {"unmasking"}:
        if independent.table(name, 8).noise_scale.any():
            noisy.add(name)
            with pytest.raises(UsageError, match="adds noise on the way, which a field of coupled data and noise"):
                coupled.sample(2, seed=0, sampler=name, steps=8)
            with pytest.raises(UsageError, match="adds noise on the way"):
                coupled.sample(2, seed=0, sampler=independent.table(name, 8))
        else:
            assert np.isfinite(coupled.sample(2, seed=0, sampler=name, steps=8).numpy()).all()
    assert {"ddpm", "euler-ancestral"} <= noisy < BUILTIN.keys() - {"flow-euler", "heun", "ddim"}
    with pytest.raises(UsageError, match="adds noise on the way"):
        coupled.sample(2, seed=0, sampler="ddim", steps=8, eta=1.0)
    assert path_from(coupled.path.describe()) == coupled.path
    # a bundle stores no such table, which other runtimes would follow, and its proof runs none
    cases = [case.get("sampler") for n in (1, 2) for case in coupled.sampling.sampling_cases(n)]
    assert not noisy & {*cases, *(name for name, _ in coupled.sampling.tables())}


@pytest.mark.slow
def test_the_likelihood_is_that_of_the_continuous_flow_of_the_field():
    """d ln p/ds = -div, from noise to data, by a Runge-Kutta method of its own with exact divergences."""
    field, steps, x = Field(), 40, 0.7 * DATA
    # nearer to the data than by default, where what is scored is 0.001 away from them
    path = {"name": "rectified-flow", "t_min": 1e-4}
    model = zoo.denoiser(field, event_shape=(2,), convention="torchcfm", path=path)

    def slopes(x, s):
        x = x.detach().requires_grad_()
        v = field(x, torch.full((5,), s, dtype=torch.float64))
        rows = [torch.autograd.grad(v[:, k].sum(), x, retain_graph=True)[0][:, k] for k in range(2)]
        return v.detach(), rows[0] + rows[1]

    change, h, y = torch.zeros(5, dtype=torch.float64), 1 / steps, x
    for k in range(steps):
        s = 1 - k * h
        k1, d1 = slopes(y, s)
        k2, d2 = slopes(y - 0.5 * h * k1, s - 0.5 * h)
        k3, d3 = slopes(y - 0.5 * h * k2, s - 0.5 * h)
        k4, d4 = slopes(y - h * k3, s - h)
        y = y - h * (k1 + 2 * k2 + 2 * k3 + k4) / 6
        change = change - h * (d1 + 2 * d2 + 2 * d3 + d4) / 6
    exact = -0.5 * y.square().sum(1) - math.log(2 * math.pi) + change
    torch.testing.assert_close(model.log_prob(x, steps=128, probes=0), exact, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_diffusers_own_loop_equals_ours():
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(7)
    field, x = Field(), NOISE
    model = zoo.denoiser(field, event_shape=(2,), convention="diffusers-flow", path={"name": "rectified-flow"})
    with torch.no_grad():
        ours = model.sample(5, noise=x.numpy(), steps=7)
        for t in scheduler.timesteps:
            x = scheduler.step(field(x, t.expand(5)), t, x).prev_sample.double()
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4)


# -- denoisers in the noise level --------------------------------------------------------------------------------------

#: table 1 of Karras et al. 2022, for the three that are not EDM: skip, out, in and noise
EDM = {
    "edm": lambda s, t: (
        0.25 / (s**2 + 0.25),
        0.5 * s / (s**2 + 0.25) ** 0.5,
        1 / (s**2 + 0.25) ** 0.5,
        math.log(s) / 4,
    ),
    "edm-vp": lambda s, t: (1.0, -s, 1 / (s**2 + 1) ** 0.5, 999 * t),
    "edm-ve": lambda s, t: (1.0, s, 1.0, math.log(s / 2)),
}


def vp_time(sigma):
    """t of σ² = exp(½·19.9·t² + 0.1·t) - 1."""
    return ((0.1**2 + 2 * 19.9 * math.log(1 + sigma**2)) ** 0.5 - 0.1) / 19.9


@pytest.mark.parametrize("name", EDM)
@pytest.mark.parametrize("t", T)
def test_preconditioning_is_that_of_the_table_of_edm(name, t):
    net = Field()
    model = zoo.denoiser(net, event_shape=(2,), convention=name)
    _, alpha, sigma = at(model, t)
    level = float(sigma / alpha)
    skip, out, scale, told = EDM[name](level, vp_time(level))
    x = DATA + level * NOISE
    wanted = skip * x + out * net(scale * x, torch.full((5,), told, dtype=torch.float64))
    torch.testing.assert_close(denoised(model, alpha * x, t), wanted, rtol=1e-6, atol=1e-6)


def test_the_network_of_iddpm_is_told_the_index_from_data_and_loses_its_variance():
    """u_j of Karras et al. 2022, algorithm of table 1 for iDDPM, with C₁ = 0.001, C₂ = 0.008 and M = 1000."""
    u = [0.0]
    for j in range(1000, 0, -1):
        bar = [math.sin(0.5 * math.pi * k / 1000 / 1.008) ** 2 for k in (j, j - 1)]
        u.append(math.sqrt((u[-1] ** 2 + 1) / max(bar[1] / bar[0], 0.001) - 1))
    net = Field(outputs=4)
    model = zoo.denoiser(net, event_shape=(2,), convention="edm-iddpm")
    for timestep in (0, 1, 500, 998):
        level = u[timestep + 1]
        x = DATA + level * NOISE
        told = torch.full((5,), float(timestep), dtype=torch.float64)
        wanted = x - level * net(x / math.sqrt(level**2 + 1), told)[:, :2]
        _, alpha, sigma = at(model, timestep / 999)
        np.testing.assert_allclose(float(sigma / alpha), level, rtol=1e-6)
        torch.testing.assert_close(denoised(model, alpha * x, timestep / 999), wanted, rtol=1e-5, atol=1e-5)


LEVELS = [0.01, 0.3, 1.0, 7.0, 40.0]


def at_level(model, level):
    """The path time of a noise level."""
    return float(model.path.time_at(-2 * math.log(level)))


@pytest.mark.parametrize("level", LEVELS)
def test_networks_inside_the_wrappers_of_k_diffusion_give_what_the_wrappers_give(level):
    net, sigma, x = Field(), torch.full((5,), level, dtype=torch.float64), DATA + level * NOISE
    wrapped = {
        "k-diffusion-v": libraries.k_diffusion("external").VDenoiser,
        "k-diffusion": libraries.k_diffusion("layers").Denoiser,
    }
    for name, wrapper in wrapped.items():
        model = zoo.denoiser(net, event_shape=(2,), convention=name)
        t = at_level(model, level)
        alpha = at(model, t)[1]
        torch.testing.assert_close(denoised(model, alpha * x, t), wrapper(net)(x, sigma), rtol=1e-7, atol=1e-7)
        whole = zoo.denoiser(wrapper(net), event_shape=(2,), convention="denoiser")
        assert whole.path.describe() == {**path_from("edm").describe(), "clock": "sigma"}
        t = at_level(whole, level)
        torch.testing.assert_close(denoised(whole, x, t), wrapper(net)(x, sigma), rtol=1e-7, atol=1e-7)


BETAS = torch.linspace(1e-4, 0.02, 300, dtype=torch.float64) ** 0.8


@pytest.mark.parametrize("quantize", [False, True])
def test_a_network_of_a_table_of_betas_gives_what_k_diffusions_wrapper_of_it_gives(quantize):
    net = Field()
    theirs = libraries.k_diffusion("external").DiscreteEpsDDPMDenoiser(net, (1 - BETAS).cumprod(0), quantize)
    model = zoo.denoiser(
        net, event_shape=(2,), convention="ddpm", betas=BETAS, time="index" if quantize else "timestep"
    )
    # of a continuous level the nearest timestep is that of the nearest logarithm; the first three are timesteps
    for level in [float(theirs.sigmas[k]) for k in (0, 120, 299)] + ([] if quantize else [0.05, 0.77, 3.0]):
        sigma, x = torch.full((5,), level, dtype=torch.float64), DATA + level * NOISE
        t = at_level(model, level)
        alpha = at(model, t)[1]
        torch.testing.assert_close(denoised(model, alpha * x, t), theirs(x, sigma), rtol=1e-7, atol=1e-7)
        assert net.seen[-1].dtype == net.seen[-2].dtype == (torch.int64 if quantize else torch.float64)


def test_k_diffusions_own_loop_over_a_wrapper_equals_ours():
    sampling = libraries.k_diffusion("sampling")
    model = libraries.k_diffusion("layers").Denoiser(Field())
    ours = zoo.denoiser(model, event_shape=(2,), convention="denoiser")
    with torch.no_grad():
        sigmas = sampling.get_sigmas_karras(9, 0.002, 80.0).double()
        wanted = sampling.sample_euler(model, 80.0 * NOISE, sigmas, disable=True)
        found = ours.sample(5, noise=NOISE.numpy(), sampler="euler", steps=9, spacing="karras", initial_scale=80.0)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def ancestral(net, betas, x, fresh):
    """Ho et al. 2020, algorithm 2, as anybody writes it; σ² is the posterior variance."""
    alphas, bars = 1 - betas, (1 - betas).cumprod(0)
    for i in reversed(range(len(betas))):
        t = torch.full((len(x),), i)
        mean = (x - betas[i] / (1 - bars[i]).sqrt() * net(x, t)) / alphas[i].sqrt()
        before = bars[i - 1] if i > 0 else torch.ones(())
        x = mean + (betas[i] * (1 - before) / (1 - bars[i])).sqrt() * fresh(i)
    return x


def test_ancestral_sampling_of_a_plain_ddpm_equals_ours_from_the_same_noise():
    net, betas = Field(), torch.linspace(1e-4, 0.05, 40, dtype=torch.float64)

    def fresh(i):
        return torch.from_numpy(noise.normal(7, 5, (2,), step=len(betas) - 1 - i, stream=noise.Stream.STEP)).double()

    model = zoo.denoiser(net, event_shape=(2,), convention="ddpm", betas=betas)
    assert model.sampling.steps == 40
    with torch.no_grad():
        start = torch.from_numpy(noise.normal(7, 5, (2,))).double()
        wanted = ancestral(net, betas, start, fresh)
        found = model.sample(5, seed=7, sampler="ddpm", steps=40, initial_scale=1.0)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_every_convention_of_the_table_is_compared_here():
    compared = {*VELOCITIES, *EDM, "edm-iddpm", "k-diffusion", "k-diffusion-v", "denoiser", "ddpm"}
    assert compared == set(CONVENTIONS)


# -- how a network is called, and what is refused ----------------------------------------------------------------------


class Plain(nn.Module):
    """A linear function of state and time, and of one-hot classes."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.body, self.labels = nn.Linear(3, 2), nn.Linear(3, 2, bias=False)

    def forward(self, x, t):
        return self.body(torch.cat([x, t[:, None]], 1))


class Joined(Plain):
    def forward(self, x):
        return self.body(x)


class Scalar(Plain):
    """As torchcfm's torch_wrapper: one time for all, repeated."""

    def forward(self, t, x, *args, **kwargs):
        return self.body(torch.cat([x, t.repeat(x.shape[0])[:, None]], 1))


class Column(Plain):
    def forward(self, sample, timestep):
        return self.body(torch.cat([sample, timestep], 1))


class Held(Plain):
    """As networks of diffusers: a record with the tensor."""

    def forward(self, sample, timestep, return_dict=True):
        return {"sample": super().forward(sample, timestep)}


class Unnamed(Plain):
    def forward(self, a, b, /):
        return super().forward(b, a)


class Wide(Plain):
    """With a constant that is in float64, and dropout that is left on."""

    def __init__(self):
        super().__init__()
        self.register_buffer("one", torch.ones(2, dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)
        self.train()

    def forward(self, x, t):
        return self.dropout(super().forward(x, t)) * self.one


CALLS = {
    "net(x, t)": (Plain, {}, "batch"),
    "net(cat([x, t]))": (Joined, {"arguments": "cat"}, "batch"),
    "one time for all": (Scalar, {}, "scalar"),
    "a column of times": (Column, {}, "column"),
    "a record": (Held, {}, "batch"),
    "by position": (Unnamed, {"arguments": ("time", "x")}, "batch"),
    "by name": (Plain, {"arguments": {"t": "time", "x": "x"}}, "batch"),
    "left in training, and widened": (Wide, {}, "batch"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_network_is_called_as_it_wants_to_be(call):
    network, said, shape = CALLS[call]
    model, plain = (
        zoo.denoiser(n(), event_shape=(2,), convention="torchcfm", **s) for n, s in ((network, said), (Plain, {}))
    )
    assert model.network.manner.time_shape == shape
    x = DATA.float()
    found, wanted = (m.denoise(x, *(each.float() for each in at(m, 0.3)), None) for m in (model, plain))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted)


def test_a_network_with_one_time_for_all_is_not_trained_with_others():
    model = zoo.denoiser(Scalar(), event_shape=(2,), convention="torchcfm")
    with pytest.raises(ConfigError, match="one time for all samples of a batch, but training draws one for each"):
        model.loss(torch.zeros(4, 2))
    assert zoo.denoiser(Plain(), event_shape=(2,), convention="torchcfm").loss(torch.zeros(4, 2)).isfinite()


class Embedded(nn.Module):
    """A network that embeds whole timesteps and normalizes as most DDPMs do; ``dtype`` is that of its state, or not."""

    def __init__(self, said):
        super().__init__()
        self.said, self.plain = said, torch.tensor([1.0, 0.3, 0.1])  # a constant that is no buffer
        self.time, self.enter, self.leave = nn.Linear(3, 8), nn.Linear(2, 8), nn.Linear(8, 2)
        self.norm = nn.LayerNorm(8)

    def forward(self, x, t, condition=None):
        if self.said == "x.dtype":
            embedding = (t[:, None].to(x.dtype) / 100 * self.plain.to(x.dtype)).sin()
            h = self.norm(self.enter(x) + self.time(embedding))
        elif self.said == "float()":
            h = self.enter(x) + self.time((t[:, None].float() / 100 * self.plain).sin())
            h = self.norm(h.float()).type(h.dtype)
        elif self.said == "torch.float32":
            embedding = torch.zeros(len(x), 3, dtype=torch.float32)
            embedding[:, :2] = (t[:, None] / 100 * self.plain[:2]).sin()
            embedding[:, 2:].add_((t[:, None].to(torch.float32) / 100 * self.plain[2:]).sin())
            h = self.norm((self.enter(x) + self.time(embedding)).to(dtype=torch.float32))
        else:
            angles = torch.stack([(t / 100 * each).sin() for each in self.plain], 1)
            h = self.norm(self.enter(x) + self.time(angles))
        return self.leave(h)


def embedded(said, dtype):
    torch.manual_seed(0)
    net = Embedded(said).to(dtype)
    return zoo.denoiser(net, event_shape=(2,), convention="ddpm", betas=torch.linspace(1e-4, 0.02, 1000)).to(dtype)


@pytest.mark.parametrize("said", ["float()", "torch.float32", "no type"])
def test_a_network_whose_code_says_float32_is_computed_in_float64_too(said):
    """In float32 nothing changes; in float64 the state keeps its digits, whatever becomes of the time."""
    for dtype, tolerance in ((torch.float32, 0.0), (torch.float64, 1e-5)):
        found, wanted = (
            embedded(each, dtype).denoise(DATA.to(dtype), *(v.to(dtype) for v in at(embedded(each, dtype), 0.4)), None)
            for each in (said, "x.dtype")
        )
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)
    model = embedded(said, torch.float64)
    values = at(model, 0.4)
    step = 1e-7 * torch.ones_like(DATA)
    ahead, here = (model.denoise(x, *values, None) for x in (DATA + step, DATA))
    _, slope = torch.func.jvp(lambda x: model.denoise(x, *values, None), (DATA,), (step,))
    # float32 would leave no digit of this difference
    torch.testing.assert_close((ahead - here) / 1e-7, slope / 1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("said", ["float()", "no type"])
def test_a_network_whose_code_says_float32_is_exported(said, tmp_path):
    pytest.importorskip("onnxscript")
    folder = zoo.export(embedded(said, torch.float32), tmp_path / "bundle")
    assert (folder / "manifest.json").is_file()


def test_a_model_that_does_not_follow_float64_is_told_what_to_write(tmp_path):
    pytest.importorskip("onnxscript")
    model = zoo.Diffusion(Embedded("float()"), (2,), path="ddpm-linear")
    with pytest.raises(ProofError, match=r"graph step fails in PyTorch in float64: .*test_denoiser") as caught:
        zoo.export(model, tmp_path / "bundle")
    assert "t.to(x.dtype) rather than t.float()" in caught.value.hint


class Labelled(Plain):
    def forward(self, x, sigma, class_labels=None):
        self.seen = class_labels
        return super().forward(x, sigma) + self.labels(class_labels)


def test_classes_are_one_hot_where_the_convention_says_so_and_zeros_stand_for_none():
    net = Labelled()
    condition = zoo.Condition.classes(3, required=False)
    model = zoo.denoiser(net, event_shape=(2,), convention="edm", condition=condition)
    model.denoise(torch.zeros(3, 2), *(each.float() for each in at(model, 0.5)), torch.tensor([2, 0, 3]))
    assert net.seen.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


class Two(Plain):
    def forward(self, x, xt, t):
        return x


class Needs(Plain):
    def forward(self, x, t, low_res):
        return x


CFM = {"convention": "torchcfm"}
REFUSED = {
    "nothing said": (Plain, {}, "does not say its path or prediction or time, which zoo.denoiser does not guess"),
    "no schedule": (
        Plain,
        {"convention": "ddpm"},
        r"the convention 'ddpm' does not say its path.*state path \(or betas\)",
    ),
    "no time": (Plain, {"path": "edm", "prediction": "edm"}, "does not say its time"),
    "time of a table": (Plain, {**CFM, "time": "index"}, "counts the timesteps of a discrete path, and .* has none"),
    "infinite time": (Plain, {**CFM, "time": "log-sigma"}, "ends in pure noise, where σ/α is infinite"),
    "score": (Plain, {**CFM, "prediction": "score"}, "prediction must be one of"),
    "no time argument": (Joined, CFM, r"none of the arguments of Joined.forward\(x\) has a name for the time"),
    "two states": (Two, CFM, "more than one argument that may be the state: x and xt"),
    "another input": (Needs, CFM, r"also needs low_res, and the model has no condition"),
    "no place for classes": (Plain, {**CFM, "condition": zoo.Condition.classes(3)}, "has a name for the condition"),
    "wrong order": (Unnamed, {**CFM, "arguments": ("x",)}, "arguments must name x, time, each once, not x"),
    "fails": (Plain, {**CFM, "event_shape": (4,)}, r"cannot be called: net\(x \[2, 4\], t \[2\]\) fails: RuntimeError"),
    "a function": (lambda: lambda x, t: x, CFM, "must be a torch.nn.Module, not function"),
    "a shape": (Plain, {**CFM, "event_shape": 2}, r"such as \(2,\), not 2"),
    "two schedules": (Plain, {**CFM, "path": "edm", "betas": [0.1, 0.2]}, "path and betas both say"),
    "velocity of a path": (
        Plain,
        {"path": "edm", "prediction": "path-velocity", "time": "sigma"},
        "the velocity of the path edm is not one of",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_said_or_does_not_fit_is_refused_in_a_sentence(what):
    network, said, told = REFUSED[what]
    with pytest.raises((ConfigError, UsageError), match=told):
        zoo.denoiser(network(), **{"event_shape": (2,), **said})


def test_an_unknown_convention_or_time_names_those_that_there_are():
    with pytest.raises(UnknownNameError) as error:
        zoo.denoiser(Plain(), event_shape=(2,), convention="torch-cfm")
    assert "torchcfm" in error.value.hint
    with pytest.raises(UnknownNameError, match="there is no time named 'log_sigma'"):
        zoo.denoiser(Plain(), event_shape=(2,), convention="edm", time="log_sigma")


# -- the paths that are new --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description",
    [
        {"name": "ddpm-table", "table": [0.1, 0.2, 0.3]},
        {"name": "edm", "clock": "sigma"},
        {"name": "vp-linear", "clock": [0.0, 999.0]},
        {"name": "trigonometric"},
    ],
)
def test_their_descriptions_are_read_back_from_a_manifest(description):
    path = path_from(description)
    program = Iterate("step", path=path.describe())
    assert program_from(describe(program)) == program
    assert path_from(path.describe()) == path
    assert path_from(description).describe().items() >= description.items()


def test_a_table_is_the_path_of_its_betas_and_a_clock_changes_the_time_alone():
    own = path_from("ddpm-linear")
    table = DDPMTable(own.betas().tolist())
    t = np.linspace(0, 1, 1000)
    np.testing.assert_array_equal(table.log_snr(t), own.log_snr(t))
    np.testing.assert_array_equal(table.network_time(t), np.arange(1000))
    clock = Retimed(LinearBeta(), (2.0, -1.0))
    np.testing.assert_array_equal(clock.log_snr(t), LinearBeta().log_snr(t))
    np.testing.assert_allclose(clock.network_time(t), 2.0 - 3.0 * t, atol=1e-12)
    for name, function in {"sigma": lambda s: s, "log-half-sigma": lambda s: np.log(s / 2)}.items():
        alpha, sigma = LinearBeta().alpha_sigma(t)
        np.testing.assert_allclose(Retimed(LinearBeta(), name).network_time(t), function(sigma / alpha), rtol=1e-9)


@pytest.mark.parametrize("clock", ["hours", [1.0], [1.0, 1.0], [0.0, math.inf], [0, True], 3, {"a": 1}])
def test_a_clock_that_is_none_is_refused(clock):
    with pytest.raises(ConfigError, match="clock is one of sigma"):
        path_from({"name": "edm", "clock": clock})


@pytest.mark.parametrize("table", [[0.1, 2.0], [0.1], "0.1", [0.1, None], [0.1] * 5000])
def test_a_table_of_betas_that_is_none_is_refused(table):
    with pytest.raises(ConfigError, match="ddpm-table"):
        path_from({"name": "ddpm-table", "table": table})


def test_the_trigonometric_path_is_the_sine_and_cosine():
    t = np.linspace(0.01, 0.99, 50)
    alpha, sigma = Trigonometric().alpha_sigma(t)
    np.testing.assert_allclose(alpha, np.cos(np.pi * t / 2), rtol=1e-12)
    np.testing.assert_allclose(sigma, np.sin(np.pi * t / 2), rtol=1e-12)
    with pytest.raises(ConfigError):
        Trigonometric(t_min=0.0)
