"""What adapters mend foreign code with: each does what the code does, and is undone at the end of its block."""

import types

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ExportError  # noqa: E402 - after the check
from zoo.models.loops import loop  # noqa: E402
from zoo.models.mending import plain, put, replaced, symbolic_len  # noqa: E402


def checked(x, low=0.0, *, high=1.0):
    if torch.min(x) < low:
        raise ValueError("outside")
    assert (x <= high).all()
    y = x + 0.0
    y[..., 0] = low
    y[..., -1] = x.sum(-1)
    y[..., -1] += 1e-3
    y /= 2
    if high > 5:
        raise ValueError("kept, since it does more than raise")
    else:
        y = y + 1
    return y


def test_a_plain_function_computes_the_same_without_checks_and_without_writing():
    x = torch.rand(3, 4)
    kept = x.clone()
    torch.testing.assert_close(plain(checked)(x), checked(x))
    torch.testing.assert_close(x, kept)
    with pytest.raises(ValueError, match="outside"):
        checked(x - 1)
    assert plain(checked)(x - 1).shape == (3, 4)
    with pytest.raises(ValueError, match="kept"):
        plain(checked)(x, high=6)


def test_a_plain_function_tells_the_lines_of_its_source():
    code, original = plain(checked).__code__, checked.__code__
    assert (code.co_filename, code.co_firstlineno) == (original.co_filename, original.co_firstlineno)


@pytest.mark.parametrize("index", [0, -1])
def test_put_writes_an_end(index):
    x = torch.rand(2, 3, 4)
    for value in (2.0, torch.tensor(3.0), torch.rand(2, 3)):
        expected = x.clone()
        expected[..., index] = value
        torch.testing.assert_close(put(x, index, value), expected)


def test_changes_end_with_their_block_even_after_an_error():
    module = types.ModuleType("foreign")
    module.size = 1

    def fails():
        with replaced((module, "size", 2), *symbolic_len(module)):
            assert module.size == 2
            assert module.len(torch.zeros(5, 2)) == 5
            assert module.len([1, 2]) == 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert module.size == 1
    assert not hasattr(module, "len")


def test_a_library_without_what_is_mended_is_of_another_version():
    with pytest.raises(ExportError, match="foreign has no sizes"), replaced((types.ModuleType("foreign"), "sizes", 1)):
        pass


def test_a_loop_is_a_loop_of_python_unless_it_is_traced():
    (x, n) = loop(3, (torch.tensor(1.0), torch.tensor(0.0)), lambda x, n: (2 * x, n + 1))
    assert (float(x), float(n)) == (8.0, 3.0)


def test_the_sigmoid_of_couplings_has_all_digits_at_both_ends():
    from zoo_nflows.shared import sigmoid

    x = torch.linspace(-80, 80, 321)
    torch.testing.assert_close(sigmoid(x).double(), torch.sigmoid(x.double()), rtol=1e-6, atol=0.0)
