"""Each weight is stored once, under the name that it has in PyTorch."""

import numpy as np
import onnx
import pytest
import torch

from zoo import weights
from zoo.bundle import WEIGHTS
from zoo.weights import DERIVED
from zoo_onnx.weights import THRESHOLD, spans_of


def external(path):
    """Initializers of a graph that are not in the graph: name -> (location, offset, length, dims)."""
    graph = onnx.load(path, load_external_data=False).graph
    found = {}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entry = {e.key: e.value for e in tensor.external_data}
            found[tensor.name] = (entry["location"], int(entry["offset"]), int(entry["length"]), tuple(tensor.dims))
    return found


@pytest.mark.parametrize("name", ["gaussian", "diffusion"])
def test_the_file_loads_into_the_model(name, request, models):
    folder, model = request.getfixturevalue(f"{name}_bundle"), request.getfixturevalue(name)
    arrays = weights.read(folder / WEIGHTS)
    fresh = models["gaussian"]() if name == "gaussian" else models["unet"]()
    for parameter in fresh.parameters():
        parameter.data.zero_()
    weights.load_into(fresh, arrays, source=folder)
    for key, value in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value)
        assert arrays[key].shape == tuple(value.shape)  # scalars too


@pytest.mark.parametrize("name", ["gaussian_bundle", "diffusion_bundle"])
def test_graphs_point_at_whole_tensors_of_the_file(name, request):
    folder = request.getfixturevalue(name)
    spans = {span: tensor for tensor, span in spans_of(folder / WEIGHTS)}
    pointed = 0
    for path in folder.glob("*.onnx"):
        for location, offset, length, _ in external(path).values():
            assert location == WEIGHTS
            assert (offset, length) in spans
            pointed += 1
        small = onnx.load(path, load_external_data=False).graph.initializer
        assert all(len(t.raw_data) < THRESHOLD for t in small)
    assert pointed >= 2


@pytest.mark.parametrize("name", ["gaussian_bundle", "diffusion_bundle"])
def test_no_bytes_are_stored_twice(name, request):
    arrays = weights.read(request.getfixturevalue(name) / WEIGHTS)
    own = {a.tobytes() for n, a in arrays.items() if not n.startswith(DERIVED) and a.nbytes >= THRESHOLD}
    derived = [a.tobytes() for n, a in arrays.items() if n.startswith(DERIVED)]
    assert len(set(derived)) == len(derived)
    assert not own & set(derived)
    # nor as a transpose
    assert not own & {a.T.tobytes() for n, a in arrays.items() if n.startswith(DERIVED) and a.ndim == 2}


def test_both_graphs_of_a_diffusion_share_its_convolutions(diffusion_bundle):
    step, divergence = (
        {(offset, length) for _, offset, length, _ in external(diffusion_bundle / f"{g}.onnx").values()}
        for g in ("step", "divergence")
    )
    kernels = {s for n, s in spans_of(diffusion_bundle / WEIGHTS) if n.endswith("conv1.weight")}
    assert kernels
    assert kernels <= step & divergence


def test_swapping_the_weights_swaps_the_model(gaussian, gaussian_bundle, tmp_path):
    import shutil

    from zoo.runtime import Session

    folder = shutil.copytree(gaussian_bundle, tmp_path / "tuned")
    arrays = weights.read(folder / WEIGHTS)
    arrays["factor"] = 2 * arrays["factor"]
    weights.write(folder / WEIGHTS, arrays)
    z = np.ones((1, 16), np.float32)
    x = Session(folder / "inverse.onnx").run({"z": z})["x"]
    with torch.no_grad():
        expected = gaussian.mean + 2 * torch.ones(1, 16) @ gaussian.factor.T
    np.testing.assert_allclose(x, expected.numpy(), rtol=1e-5, atol=1e-5)
