"""Every operator that the exporter translates itself, at ordinary values and at those where naive formulas fail."""

import math
from functools import partial

import numpy as np
import onnx_ir as ir
import pytest
import torch

from zoo.errors import ExportError
from zoo.runtime import Session
from zoo_onnx.trace import trace
from zoo_onnx.translations import TRANSLATIONS
from zoo_onnx.translations.linear_algebra import LARGEST

aten = torch.ops.aten
INF = math.inf
MATRIX = np.random.default_rng(0).standard_normal((2, 36)).astype(np.float32)
BOUNDARIES = torch.tensor([0.0, 1.0, 2.0])
#: needs every pivot of a column but the first
SWAPPED = np.array([[0, 1, 0, 0, 0, 2, 3, 0, 0]], np.float32)


def row(*values):
    return np.array([values], np.float32)


def matrices(function):
    """A function of square matrices as one of rows of numbers."""

    def of_rows(x):
        n = math.isqrt(x.shape[1])
        return function(x.reshape(-1, n, n)).reshape(x.shape[0], -1)

    return of_rows


def lower(a):
    return torch.tril(a, -1) + (2 + torch.diagonal(a, dim1=-2, dim2=-1).abs()).diag_embed()


def definite(a):
    return a @ a.mT + torch.eye(a.shape[-1], dtype=a.dtype)


#: operator -> (function that calls it, inputs)
WIDE = torch.arange(1.0, 10.0).reshape(3, 3)
CASES = {
    aten.log_sigmoid.default: [(aten.log_sigmoid, row(-INF, -200, -30, -1, 0, 1e-8, 30, INF))],
    aten.log_sigmoid_forward.default: [(lambda x: aten.log_sigmoid_forward(x)[0], row(-200, -30, 1e-8, 30))],
    aten.logaddexp.default: [(lambda x: aten.logaddexp(x, -x), row(-INF, -200, -1, 0, 1e-8, 200))],
    aten.logaddexp2.default: [(lambda x: aten.logaddexp2(x, -x), row(-200, -1, 0, 1e-8, 200))],
    aten.logcumsumexp.default: [(lambda x: aten.logcumsumexp(x, 1), row(-200, 1.5, 200, 0.5, 3, -INF))],
    aten.log1p.default: [(aten.log1p, row(-1, -0.9999, -1e-6, 0, 1e-8, 0.5, 1e30, INF))],
    aten.expm1.default: [(aten.expm1, row(-INF, -50, -1e-6, 0, 1e-8, 1, 80, 100))],
    aten.elu.default: [(lambda x: aten.elu(x, 1.5), row(-200, -1e-6, 0, 1e-6, 2, 1e30))],
    aten.selu.default: [(torch.selu, row(-200, -1e-6, 0, 1e-6, 2, 1e30))],
    aten.celu.default: [(lambda x: torch.celu(x, 2.0), row(-200, -1e-6, 0, 1e-6, 2, 1e30))],
    aten.gelu.default: [
        (aten.gelu, row(-1e30, -30, -2, -0.5, -1e-6, 0, 1e-8, 0.7, 3, 30, 1e12)),
        (partial(aten.gelu, approximate="tanh"), row(-1e12, -30, -2, -0.5, -1e-6, 0, 1e-8, 0.7, 3, 30, 1e12)),
    ],
    aten.erfc.default: [(aten.erfc, row(-INF, -5, -1, 0, 1e-8, 0.49, 0.51, 1, 3, 5, 9, INF))],
    aten.special_erfcx.default: [(aten.special_erfcx, row(-5, -1, 0, 1, 10, 1e6, 1e30))],
    aten.special_log_ndtr.default: [(aten.special_log_ndtr, row(-1000, -20, -5, -1, 0, 1, 5, 12))],
    aten.erfinv.default: [(aten.erfinv, row(-1, -0.9999999, -0.99, -1e-8, 0, 1e-6, 0.5, 0.999, 1))],
    aten.special_ndtri.default: [(aten.special_ndtri, row(0, 1e-38, 1e-30, 1e-6, 0.01, 0.5, 0.9, 0.999999, 1))],
    aten.lgamma.default: [
        (aten.lgamma, row(1e-10, 0.1, 0.5, 1, 1.001, 1.5, 2, 2.0001, 3, 3.01, 7.5, 8, 100, 1e10)),
        (aten.lgamma, row(-0.5, -3.3, -10.01, -1e-6)),
    ],
    aten.digamma.default: [(aten.digamma, row(0.1, 0.5, 1, 1.46, 2, 10, 1e5, -0.3, -2.5))],
    aten.hypot.default: [(lambda x: aten.hypot(x, 2 * x), row(-1e-30, 0, 1, 1e30))],
    aten.atan2.default: [(lambda x: aten.atan2(x, x.flip(1)), row(-1, 0, 0.5, 1, -2, 3, 1e-30, 0, 1e30, 4))],
    aten.searchsorted.Tensor: [
        (lambda x: aten.searchsorted(BOUNDARIES.to(x), x).to(x), row(-INF, 0, 0.5, 1, 2, INF)),
        (lambda x: aten.searchsorted(x.cumsum(1), x, right=True).to(x), row(1, 1, 3, 5, 9)),
        (lambda x: aten.searchsorted(x, x, sorter=x.argsort(1), side="right").to(x), row(1, 3, 0, 2)),
    ],
    aten.bucketize.Tensor: [
        (
            lambda x: aten.bucketize(x, BOUNDARIES.to(x), out_int32=True).to(x),
            row(-1, 0, 0.5, 2, 3),
        )
    ],
    aten.cumprod.default: [
        (lambda x: aten.cumprod(x, 1), row(1.5, -2, 0.5, 3, 0, 4)),
        (lambda x: aten.cumprod(x, -1), row(2)),
    ],
    aten.linalg_solve_triangular.default: [
        (matrices(lambda a: torch.linalg.solve_triangular(lower(a), a, upper=False)), MATRIX),
        (matrices(lambda a: torch.linalg.solve_triangular(a, a[:, :, :2], upper=True, unitriangular=True)), MATRIX),
        (matrices(lambda a: torch.linalg.solve_triangular(lower(a).mT, a[:, :3], upper=True, left=False)), MATRIX),
        (matrices(lambda a: torch.linalg.solve_triangular(1e-3 * lower(a), 1e30 * a, upper=False)), MATRIX),
    ],
    aten.linalg_slogdet.default: [
        (matrices(lambda a: torch.stack(torch.linalg.slogdet(a), -1)), MATRIX),
        (matrices(lambda a: torch.stack(torch.linalg.slogdet(a), -1)), SWAPPED),
        (matrices(lambda a: torch.stack(torch.linalg.slogdet(1e-12 * a), -1)), MATRIX),
    ],
    aten.slogdet.default: [(matrices(lambda a: torch.stack(aten.slogdet(a), -1)), MATRIX[:, :1])],
    aten.logdet.default: [
        (matrices(lambda a: aten.logdet(definite(a))), MATRIX),
        (matrices(lambda a: aten.logdet(1e12 * definite(a))), MATRIX),
        (matrices(aten.logdet), row(0, 1, 1, 0)),
    ],
    aten.linalg_inv.default: [(matrices(torch.linalg.inv), MATRIX), (matrices(torch.linalg.inv), SWAPPED)],
    aten.inverse.default: [(matrices(aten.inverse), row(1e-20))],
    aten.linalg_solve.default: [
        (matrices(lambda a: torch.linalg.solve(a, a[:, :, :2] + 1)), MATRIX),
        (matrices(lambda a: torch.linalg.solve(a, a[:, :, 0] + 1)), MATRIX),
        (matrices(lambda a: torch.linalg.solve(a, a[:, :2] + 1, left=False)), MATRIX),
    ],
    aten.linalg_cholesky.default: [
        (matrices(lambda a: torch.linalg.cholesky(definite(a))), MATRIX),
        (matrices(lambda a: torch.linalg.cholesky(1e-20 * definite(a), upper=True)), MATRIX),
    ],
    aten.square.default: [(torch.square, row(-3, 0, 1e-20, 2.5))],
    aten.rsub.Scalar: [
        (lambda x: 1.5 - x, row(-3, 0, 1e30)),
        (lambda x: aten.rsub(x, 2, 0.5), row(-3, 0, 1e30)),
    ],
    # tensors of different ranks under `...`, written out or not, and sums over letters
    aten.einsum.default: [
        (lambda x: torch.einsum("...ij,jk->...ik", x.reshape(-1, 2, 3), WIDE.to(x)).flatten(1), row(*range(6))),
        (lambda x: torch.einsum("...i,ij", x.reshape(-1, 2, 3), WIDE.to(x)).flatten(1), row(*range(6))),
        (lambda x: torch.einsum("...i, ...i -> ...", x.reshape(-1, 2, 3), WIDE.to(x)[0]), row(*range(6))),
    ],
    aten.movedim.int: [
        (lambda x: x.reshape(-1, 3, 2).movedim(1, -1).flatten(1), row(*range(6))),
        (lambda x: x.reshape(-1, 1, 3, 2).movedim(-1, 1).flatten(1), row(*range(6))),
    ],
    aten.diff.default: [
        (lambda x: torch.diff(x, 2), row(1, 5, 2, 8)),
        (lambda x: torch.diff(x, dim=1, prepend=x[:, :1] - 1, append=2 * x), row(1, 5, 2, 8)),
    ],
    aten.argsort.default: [
        (lambda x: x.argsort(1).to(x), row(3, -1, 2, -1, 7)),
        (lambda x: x.reshape(-1, 3, 2).argsort(-2, descending=True).flatten(1).to(x), row(3, -1, 2, -1, 7, 0)),
    ],
    aten.eye.default: [
        (lambda x: x @ torch.eye(3, dtype=x.dtype), row(3, -1, 2)),
        (lambda x: (x.reshape(-1, 1, 1) * torch.eye(2, dtype=torch.int64).unsqueeze(0)).flatten(1), row(3)),
    ],
    aten.ger.default: [(lambda x: x @ torch.ger(x[0], x[0].flip(0) + 1), row(3, -1, 2))],
    aten.eye.m: [(lambda x: x @ torch.eye(3, 5, dtype=x.dtype), row(3, -1, 2))],
}
#: an error relative to float64 that rounding alone explains
ROUNDING = 2e-6


def run(graph, tmp_path, function, x):
    width = function(torch.from_numpy(x)).shape[1]
    model = trace(graph(function, shape=("batch", x.shape[1]), out=("batch", width)), 18)
    ir.save(model, tmp_path / "g.onnx")
    return Session(tmp_path / "g.onnx").run({"x": x})["y"]


def test_every_translation_has_its_cases():
    assert set(CASES) == set(TRANSLATIONS)


@pytest.mark.sample(
    *("aten.logdet.default-1", "aten.linalg_solve_triangular.default-0", "aten.linalg_inv.default-0"),
    *("aten.linalg_cholesky.default-0", "aten.searchsorted.Tensor-1", "aten.lgamma.default-0", "aten.log1p.default-0"),
    *(
        "aten.diff.default-1",
        "aten.einsum.default-0",
        "aten.einsum.default-1",
        "aten.rsub.Scalar-1",
        "aten.movedim.int-1",
    ),
    *("aten.erfinv.default-0", "aten.cumprod.default-1", "aten.log_sigmoid.default-0"),
)
@pytest.mark.parametrize(
    ("function", "x"),
    [pytest.param(*case, id=f"{name}-{i}") for name, cases in CASES.items() for i, case in enumerate(cases)],
)
def test_it_is_as_near_to_float64_as_torch_is(graph, tmp_path, function, x):
    given = run(graph, tmp_path, function, x)
    exact, near = function(torch.from_numpy(x).double()).numpy(), function(torch.from_numpy(x)).numpy()
    # matrices are as exact as their largest number is
    unit = np.abs(exact) if x.shape[0] == 1 else np.abs(exact).max(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        ours, torchs = np.abs(given - exact), np.abs(near - exact)
        fine = (given == near) | (np.isnan(given) & np.isnan(near)) | (ours <= 4 * torchs) | (ours <= ROUNDING * unit)
    assert fine.all(), (x[~fine.all(1)], given[~fine.all(1)], exact[~fine.all(1)])


def test_a_singular_matrix_has_no_finite_inverse(graph, tmp_path):
    given = run(graph, tmp_path, matrices(lambda a: torch.linalg.inv(a + 0)), row(1, 2, 3, 4)).all()
    assert given
    session = Session(tmp_path / "g.onnx")
    assert not np.isfinite(session.run({"x": row(1, 2, 2, 4)})["y"]).all()


@pytest.mark.sample("1")
@pytest.mark.parametrize("rows", [1, LARGEST])
def test_matrices_up_to_the_largest(graph, tmp_path, rows):
    x = np.random.default_rng(1).standard_normal((1, rows * rows)).astype(np.float32)
    sign, magnitude = np.linalg.slogdet(x.astype(np.float64).reshape(rows, rows))
    given = run(graph, tmp_path, matrices(lambda a: torch.stack(torch.linalg.slogdet(a), -1)), x)
    np.testing.assert_allclose(given, [[sign, magnitude]], rtol=1e-5)


def test_larger_ones_are_refused(graph):
    size = (LARGEST + 1) ** 2
    function = matrices(torch.linalg.inv)
    with pytest.raises(ExportError, match=f"a matrix with {LARGEST + 1} rows cannot be written"):
        trace(graph(function, shape=("batch", size), out=("batch", size)), 18)


class OfWeights(torch.nn.Module):
    """Everything that flows do with the matrices that they learn, larger than a graph could compute."""

    def __init__(self, n=LARGEST + 6):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.n = n
        self.square = torch.nn.Parameter(torch.randn(n, n, generator=generator) / n**0.5)
        self.factor = torch.nn.Parameter(torch.randn(n, n, generator=generator) / (3 * n**0.5))
        self.mixed = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(n, n, bias=False))

    def forward(self, x):
        factor = torch.tril(self.factor, -1) + torch.eye(self.n)
        y = torch.linalg.solve_triangular(factor, x.T, upper=False, unitriangular=True).T
        y = torch.linalg.solve_triangular(factor.T, y, upper=True, left=False)
        y = torch.linalg.solve(self.square, self.mixed(y), left=False) @ torch.linalg.inv(self.square)
        skew = self.factor - self.factor.T
        return y @ torch.matrix_exp(skew) + torch.linalg.slogdet(self.square)[1] + torch.logdet(definite(self.square))


def test_linear_algebra_of_weights_is_computed_when_exporting(graph, tmp_path):
    torch.manual_seed(0)
    module = OfWeights().eval().requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = np.random.default_rng(2).standard_normal((3, module.n)).astype(np.float32)
    model = trace(graph(module, shape=("batch", module.n), out=("batch", module.n)), 18)
    assert {node.op_type for node in model.graph} <= {"MatMul", "Gemm", "Add", "Transpose", "Identity"}
    ir.save(model, tmp_path / "g.onnx")
    expected = module.double()(torch.from_numpy(x).double()).numpy()
    given = Session(tmp_path / "g.onnx").run({"x": x})["y"]
    np.testing.assert_allclose(given, expected, atol=1e-4 * np.abs(expected).max())
    module.float()
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.sample("False-True-False")
@pytest.mark.filterwarnings("ignore:torch.triangular_solve")
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unitriangular", [False, True])
def test_what_torch_calls_outdated_is_a_product_with_the_inverse_too(graph, tmp_path, upper, transpose, unitriangular):
    """``triangular_solve`` of weights, by which nflows inverts its linear layers."""
    matrix = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)) / 4 + 2 * torch.eye(4)

    def function(x):
        options = {"upper": upper, "transpose": transpose, "unitriangular": unitriangular}
        return torch.triangular_solve(x.T, matrix.to(x), **options)[0].T

    x = np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)
    model = trace(graph(function), 18)
    assert {node.op_type for node in model.graph} <= {"MatMul", "Gemm", "Transpose", "Identity"}
    ir.save(model, tmp_path / "g.onnx")
    given = Session(tmp_path / "g.onnx").run({"x": x})["y"]
    np.testing.assert_allclose(given, function(torch.from_numpy(x).double()).numpy(), atol=1e-6)
