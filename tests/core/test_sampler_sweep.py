"""Every path, sampler, spacing and number of steps with an exact denoiser: none much worse than Euler's method."""

import importlib.util
from pathlib import Path

import pytest

from zoo.errors import UsageError
from zoo.paths import Masking, path_from
from zoo.programs import Iterate
from zoo.samplers import GAUSSIAN, table_for

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("sampler_sweep", ROOT / "scripts" / "sampler_sweep.py")
sampler_sweep = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sampler_sweep)


def failures(path, **options):
    return [
        f"{name} {spacing} {steps}: {found}"
        for name, spacing, steps, found in sampler_sweep.sweep(path, **options)
        if sampler_sweep.fails(name, found)
    ]


@pytest.mark.parametrize("name", ["cosine-log-snr", "ddpm-sigmoid", "vp-linear"])
def test_no_sampler_is_much_worse_than_euler_in_five_steps(name):
    assert failures(path_from(name), steps=[5]) == []


@pytest.mark.full
@pytest.mark.parametrize("path", sampler_sweep.paths(), ids=lambda p: str(p.describe()))
def test_no_sampler_is_much_worse_than_euler(path):
    assert failures(path) == []


@pytest.mark.parametrize("name", ["heun", "edm", "plms", "pndm"])
def test_without_a_limit_they_are(name):
    """What the papers and the public implementations do, which can be had by max_gain."""
    found = failures(path_from("cosine-log-snr"), samplers=[name], steps=[5, 10], max_gain=float("inf"))
    assert [case for case in found if "trailing" in case] != []


@pytest.mark.parametrize("name", sorted(GAUSSIAN))
def test_samplers_of_noise_are_refused_for_what_hides_symbols(name):
    program = Iterate("step", path=Masking().describe(), sampler="unmasking", steps=4)
    with pytest.raises(UsageError, match="path masking has no noise levels") as caught:
        table_for(program, name, 4)
    assert "unmasking" in str(caught.value.hint)


def test_unmasking_is_refused_for_noise():
    with pytest.raises(UsageError, match="path edm masks nothing"):
        table_for(Iterate("step", path=path_from("edm").describe()), "unmasking", 4)
