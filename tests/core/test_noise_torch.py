"""The specified noise in torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import noise, noise_torch  # noqa: E402 - after the check for torch
from zoo.noise import Stream  # noqa: E402

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
#: Random123's known answers: counter, key, words
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter, key, words, device):
    given = noise_torch.philox4x32(torch.tensor(counter, device=device), torch.tensor(key, device=device))
    assert given.tolist() == words


def test_words_are_those_of_numpy():
    rng = np.random.default_rng(0)
    counter = rng.integers(2**32, size=(1000, 4), dtype=np.uint32)
    key = rng.integers(2**32, size=(1000, 2), dtype=np.uint32)
    words = noise_torch.philox4x32(torch.from_numpy(counter.astype(np.int64)), torch.from_numpy(key.astype(np.int64)))
    np.testing.assert_array_equal(words.numpy(), noise.philox4x32(counter, key))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", [0, 7, 2**63 + 12345, 2**64 - 1])
@pytest.mark.parametrize("shape", [(), (3,), (1, 28, 28)])
def test_normals_are_those_of_numpy(seed, shape, device):
    at = {"first": 2**32 - 2 if shape == (3,) else 5, "step": 9, "stream": Stream.STEP}
    if at["first"] > 5:  # NumPy's counter takes indices of 32 bits only
        at["first"] = 2**31
    ours = noise_torch.normal(seed, 4, shape, device=device, **at)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.cpu().numpy(), noise.normal(seed, 4, shape, **at), rtol=0, atol=1e-6)


def test_batches_go_on():
    whole = noise_torch.normal(3, 6, (5,))
    torch.testing.assert_close(noise_torch.normal(3, 2, (5,), first=4), whole[4:], rtol=0, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_noises_of_every_distribution_are_those_of_numpy(device):
    noises = (noise.Noise("z", (3,)), noise.Noise("u", (5,), "uniform"), noise.Noise("g", (2, 7), "gumbel"))
    ours, theirs = noise_torch.drawn(noises, 2**63 + 1, 50, device=device), noise.drawn(noises, 2**63 + 1, 50)
    assert list(ours) == list(theirs)
    torch.testing.assert_close(ours["u"].cpu(), torch.from_numpy(theirs["u"]), rtol=0, atol=0)
    for name in ("z", "g"):
        np.testing.assert_allclose(ours[name].cpu().numpy(), theirs[name], rtol=0, atol=2e-6)
