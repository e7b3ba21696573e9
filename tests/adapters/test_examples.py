"""The two moons of each library, trained as written in its documentation, exported by one line more.

zuko: tutorial "Train from data"; nflows: examples/moons.ipynb; normflows: examples/real_nvp_colab.ipynb; FrEIA: the
quickstart guide. And sbi's "Getting started". Those of torchcfm and of a DDPM in plain PyTorch are in
docs/bring-your-model.md, and tested with it. The number of steps is the document's; what draws pictures is left out.
"""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx_ir")
datasets = pytest.importorskip("sklearn.datasets")
from torch import nn, optim  # noqa: E402 - after the check

import zoo  # noqa: E402
from zoo import runtime  # noqa: E402


def moons(n, noise):
    return torch.tensor(datasets.make_moons(n, noise=noise)[0], dtype=torch.float32)


def two_moons(n, sigma=1e-1):
    """As zuko's tutorial draws them."""
    theta = 2 * torch.pi * torch.rand(n)
    label = (theta > torch.pi).float()
    x = torch.stack((torch.cos(theta) + label - 1 / 2, torch.sin(theta) + label / 2 - 1 / 4), axis=-1)
    return torch.normal(x, sigma), label


def zuko_moons(epochs=8):
    import zuko
    from torch.utils import data

    trainset = data.TensorDataset(*two_moons(16384))
    trainloader = data.DataLoader(trainset, batch_size=64, shuffle=True)

    flow = zuko.flows.NSF(features=2, transforms=3, hidden_features=(64, 64))
    optimizer = optim.Adam(flow.parameters(), lr=1e-3)
    for _ in range(epochs):
        for x, _ in trainloader:
            loss = -flow().log_prob(x).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return flow, two_moons(500)[0], lambda x: flow().log_prob(x), lambda z: flow().transform.inv(z)


def nflows_moons(num_iter=5000):
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import MaskedAffineAutoregressiveTransform
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.permutations import ReversePermutation

    transforms = []
    for _ in range(5):
        transforms.append(ReversePermutation(features=2))
        transforms.append(MaskedAffineAutoregressiveTransform(features=2, hidden_features=4))
    flow = Flow(CompositeTransform(transforms), StandardNormal(shape=[2]))
    optimizer = optim.Adam(flow.parameters())
    for _ in range(num_iter):
        optimizer.zero_grad()
        loss = -flow.log_prob(inputs=moons(128, 0.1)).mean()
        loss.backward()
        optimizer.step()
    return flow, moons(500, 0.1), flow.log_prob, lambda z: flow._transform.inverse(z)[0]


def normflows_moons(max_iter=4000):
    import normflows as nf

    base = nf.distributions.base.DiagGaussian(2)
    flows = []
    for _ in range(32):
        param_map = nf.nets.MLP([1, 64, 64, 2], init_zeros=True)
        flows.append(nf.flows.AffineCouplingBlock(param_map))
        flows.append(nf.flows.Permute(2, mode="swap"))
    model = nf.NormalizingFlow(base, flows)
    target = nf.distributions.target.TwoMoons()
    optimizer = optim.Adam(model.parameters(), lr=5e-4, weight_decay=1e-5)
    for _ in range(max_iter):
        optimizer.zero_grad()
        loss = model.forward_kld(target.sample(2**9))
        if ~(torch.isnan(loss) | torch.isinf(loss)):
            loss.backward()
            optimizer.step()
    loc, scale = base.loc.detach(), base.log_scale.detach().exp()
    return model, target.sample(500), model.log_prob, lambda z: model(loc + scale * z)


def freia_moons(steps=1000):
    import FrEIA.framework as Ff
    import FrEIA.modules as Fm

    def subnet_fc(dims_in, dims_out):
        return nn.Sequential(nn.Linear(dims_in, 512), nn.ReLU(), nn.Linear(512, dims_out))

    inn = Ff.SequenceINN(2)
    for _ in range(8):
        inn.append(Fm.AllInOneBlock, subnet_constructor=subnet_fc, permute_soft=True)
    optimizer = optim.Adam(inn.parameters(), lr=0.001)
    for _ in range(steps):
        optimizer.zero_grad()
        z, log_jac_det = inn(moons(100, 0.05))
        loss = 0.5 * torch.sum(z**2, 1) - log_jac_det
        loss = loss.mean() / 2
        loss.backward()
        optimizer.step()

    def scored(x):
        z, volume = inn(x)
        return volume - 0.5 * z.square().sum(1) - np.log(2 * np.pi)

    return inn, moons(500, 0.05), scored, lambda z: inn(z, rev=True)[0]


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize(
    ("library", "trained"),
    [("zuko", zuko_moons), ("nflows", nflows_moons), ("normflows", normflows_moons), ("FrEIA", freia_moons)],
)
def test_the_moons_of_a_library_leave_it_by_one_line(library, trained, tmp_path):
    pytest.importorskip(library)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)
        model, x, score, sample = trained()

    bundle = runtime.load(zoo.export(zoo.wrap(model), tmp_path / "moons.bundle"))

    model.eval()
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(bundle.log_prob(x.numpy()), score(x), atol=1e-3, rtol=1e-3)
        np.testing.assert_allclose(bundle.sample(500, noise=z.numpy()), sample(z), atol=1e-3, rtol=1e-3)
    # it has learned something: better than the normal of the data
    normal = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T))
    assert bundle.log_prob(x.numpy()).mean() > float(normal.log_prob(x).mean()) + 0.3


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_sbis_first_tutorial_leaves_it_by_one_line(tmp_path, monkeypatch):
    pytest.importorskip("sbi")
    from sbi.inference import NPE
    from sbi.utils import BoxUniform

    monkeypatch.chdir(tmp_path)  # sbi writes its logs here
    with torch.random.fork_rng():
        torch.manual_seed(0)
        num_dim = 3

        def simulator(theta):
            return theta + 1.0 + torch.randn_like(theta) * 0.1

        prior = BoxUniform(low=-2 * torch.ones(num_dim), high=2 * torch.ones(num_dim))
        inference = NPE(prior=prior)
        num_simulations = 2000
        theta = prior.sample((num_simulations,))
        x = simulator(theta)
        inference = inference.append_simulations(theta, x)
        inference.train()
        posterior = inference.build_posterior()
        x_obs = torch.as_tensor([0.8, 0.6, 0.4])
        samples = posterior.sample((10000,), x=x_obs).numpy()

        zoo.export(zoo.wrap(posterior), tmp_path / "posterior.bundle")

    bundle = runtime.load(tmp_path / "posterior.bundle")
    ours = bundle.sample(10000, condition=x_obs.numpy(), seed=0)
    spread = samples.std(0)
    assert (np.abs(ours.mean(0) - samples.mean(0)) < 5 * spread * math.sqrt(2 / 10000)).all()
    assert (np.abs(ours.std(0) / spread - 1) < 0.05).all()
    assert np.abs(ours).max() <= 2
    assert (np.abs(ours.mean(0) - (x_obs - 1).numpy()) < 5 * spread).all()
    scored = posterior.log_prob(torch.from_numpy(ours[:200]), x=x_obs).numpy()
    # both estimate how much of the estimator's mass lies within the prior
    np.testing.assert_allclose(bundle.log_prob(ours[:200], condition=x_obs.numpy()), scored, atol=0.05)
