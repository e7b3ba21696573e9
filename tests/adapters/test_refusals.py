"""What other people's models do that no graph can: the refusal names the class, the line, and what to do."""

import inspect
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx_ir")
from torch import nn  # noqa: E402 - after the check

import zoo  # noqa: E402


class Shifted(zoo.Wrapped):
    """A model that only samples: noise, and a shift of it by a function of the noise."""

    density = "none"

    def own_event_shape(self):
        return (3,)

    def inverse(self, z, condition=None):
        return z + self.flow(z)


class Random(nn.Module):
    def forward(self, x):
        return torch.randn_like(x)  # here


class InPlace(nn.Module):
    def forward(self, x):
        y = x[:, 1:]
        y += 1  # here
        return x.sin()


class Stateful(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x + self.calls


class InDouble(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.ones(1, dtype=torch.float64)

    def forward(self, x):
        y = x.double().sin().to(x.dtype)  # and back again
        return y + x.sin() * self.scale  # here


class Branches(nn.Module):
    def forward(self, x):
        return x.sin() if x.shape[0] > 20 else x.cos()  # here


class Counts(nn.Module):
    def forward(self, x):
        return x.sin() + torch.zeros(len(x), 1)  # here


class Rows(nn.Module):
    def forward(self, x):
        return torch.stack([row.sin() for row in x])  # here


class Values(nn.Module):
    def forward(self, x):
        return x.sin() if x[0, 0] > 100 else x.cos()  # here


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)  # here


class Numpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(np.sin(x.numpy()))  # here


class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(np.tanh(x.numpy()))  # here


class OwnFunction(nn.Module):
    def forward(self, x):
        return Tanh.apply(x)


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mixed", torch.eye(3).to_sparse())

    def forward(self, x):
        return torch.sparse.mm(self.mixed, x.T).T


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.ones(3, dtype=torch.complex64))

    def forward(self, x):
        return torch.fft.ifft(torch.fft.fft(x) * self.filter).real


REFUSED = {
    Random: ("draws from torch's random numbers, and not from the seed{line}$", "weights and the seed alone"),
    InPlace: ("changes its input z in place{line}", r"compute x \+ 1"),
    Stateful: (r"it keeps state between calls[^;]*$", "weights and the seed alone"),
    InDouble: ("in float64 although its inputs are in float32: .*{line}", "register them as buffers"),
    Branches: ("branches on the size of batch: .*{line}", "leave sizes out of conditions"),
    Counts: ("the batch was baked into graph inverse: .*{line}", "from the shape of the inputs"),
    Rows: ("the batch was baked into graph inverse: .*{line}", "from the shape of the inputs"),
    Values: ("branches on the values of its inputs, .*{line}", "torch.where"),
    Bessel: (r"prims\.bessel_j0.*{line}", "mended"),
    Numpy: (r"\.numpy\(\) is not supported .*{line}", "mended"),
    OwnFunction: (r"\.numpy\(\) is not supported .*{line}", "mended"),
    Sparse: (
        r"mixed of flow is a tensor that weights files do not hold: sparse_coo \(Sparse, test_ref",
        r"to_dense\(\)",
    ),
    Complex: (r"filter of flow is a tensor that .*: complex \(Complex, test_refusals", "view_as_real"),
}


@pytest.mark.parametrize("network", REFUSED, ids=lambda cls: cls.__name__)
@pytest.mark.sample("Random", "InDouble", "Counts")
def test_what_no_graph_can_do_is_refused_by_class_and_line_with_what_to_do(network, tmp_path):
    message, hint = REFUSED[network]
    with pytest.raises(zoo.ZooError) as caught:
        zoo.export(Shifted(network(), None).eval(), tmp_path / "out")
    assert re.search(message.replace("{line}", _here(Tanh if network is OwnFunction else network)), str(caught.value))
    assert re.search(hint, caught.value.hint)
    assert not (tmp_path / "out").exists()


def _here(cls):
    """A pattern of the marked line of a class."""
    lines, first = inspect.getsourcelines(cls)
    marked = [first + i for i, line in enumerate(lines) if "# here" in line]
    return rf" \({cls.__name__}, test_refusals\.py:{marked[0]} of \S+\)" if marked else ""


def test_what_a_trial_call_raises_says_how_it_was_called():
    base = pytest.importorskip("nflows.transforms").Transform
    flows, normal = (pytest.importorskip(f"nflows.{name}") for name in ("flows", "distributions"))

    class Sundays(base):
        def inverse(self, inputs, context=None):
            raise ValueError("not on Sundays")

    with pytest.raises(zoo.ExportError, match=r"ValueError: not on Sundays \(Sundays, test_refusals\.py:") as caught:
        zoo.wrap(flows.Flow(Sundays(), normal.StandardNormal([3])))
    assert "two events of shape (3,), in float32" in caught.value.hint


def test_torchscript_is_refused_by_the_name_of_the_part():
    transforms = pytest.importorskip("nflows.transforms")
    flows, normal = (pytest.importorskip(f"nflows.{name}") for name in ("flows", "distributions"))
    flow = flows.Flow(transforms.LULinear(3), normal.StandardNormal([3]))
    flow.net = torch.jit.script(nn.Linear(3, 3))
    with pytest.raises(zoo.ExportError, match=r"Flow cannot be copied: its part flow\.net is TorchScript, of Linear"):
        zoo.wrap(flow)


def test_an_error_shows_its_hint_in_a_traceback_of_python():
    import pickle
    import traceback

    error = zoo.ZooError("it cannot be", hint="Do that.")
    error.add_note("seen on a Sunday")
    assert str(error) == "it cannot be"
    assert "".join(traceback.format_exception(error)).splitlines()[-2:] == ["Do that.", "seen on a Sunday"]
    error.hint = "Or this."
    assert error.__notes__ == ["Or this.", "seen on a Sunday"]
    assert pickle.loads(pickle.dumps(error)).hint == "Or this."
    error.hint = None
    assert error.__notes__ == ["seen on a Sunday"]
