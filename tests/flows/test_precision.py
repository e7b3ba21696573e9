"""Under autocast, conditioners compute in fewer bits and nothing else does."""

import pytest

torch = pytest.importorskip("torch")

from zoo_flows.glow import Glow  # noqa: E402 - after the check for torch
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.transforms import Autoregressive, Coupling  # noqa: E402
from zoo_flows.transforms.precision import conditioned, lowered_conditioners  # noqa: E402

FLOWS = {
    "glow": lambda: Glow(event_shape=[1, 4, 4], scales=1, steps=2, hidden=8, levels=256),
    "glow-spline": lambda: Glow(event_shape=[1, 4, 4], scales=1, steps=2, hidden=8, coupling="spline", marginal_bins=4),
    "maf": lambda: MAF(event_shape=[6], transforms=2, hidden=[8], mixing="lu"),
    "nsf-coupling": lambda: NSFCoupling(event_shape=[6], transforms=2, hidden=8),
}


def lowered(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        return model.loss(x)


def data(model):
    generator = torch.Generator().manual_seed(0)
    return 256 * torch.rand(32, *model.event_shape, generator=generator)


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)
def test_a_fresh_flow_whose_conditioners_give_zero_loses_nothing(make):
    torch.manual_seed(0)
    model = make()
    x = data(model)
    model.prepare(x)
    assert lowered(model, x).item() == model.loss(x).item()


@pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)
def test_conditioners_do_compute_in_fewer_bits(make, scramble):
    model = scramble(make())
    x = data(model)
    model.prepare(x)
    seen = []
    for module in model.modules():
        if isinstance(module, Coupling | Autoregressive):
            module.network.register_forward_hook(lambda *hooked: seen.append(hooked[2].dtype))
    loss = lowered(model, x)
    assert seen
    assert set(seen) == {torch.bfloat16}
    assert loss.dtype == torch.float32
    assert loss.item() != model.loss(x).item()
    assert loss.item() == pytest.approx(model.loss(x).item(), rel=0.05)


def test_afterwards_everything_is_as_it_was():
    network = torch.nn.Linear(3, 3)
    x = torch.ones(2, 3)

    def call():
        return conditioned(lambda read, context: network(read), x, None).dtype

    with torch.autocast("cpu", torch.bfloat16):
        with lowered_conditioners(x.device):
            assert (network(x).dtype, call()) == (torch.float32, torch.float32)
            assert conditioned(lambda read, context: network(read), x, None).equal(network(x)) is False
        assert network(x).dtype == torch.bfloat16
    with lowered_conditioners(x.device):
        assert conditioned(lambda read, context: network(read), x, None).equal(network(x))
