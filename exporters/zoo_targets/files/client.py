#!/usr/bin/env python3
"""Sample a genzoo model served by NVIDIA Triton Inference Server.

    pip install numpy onnxruntime 'tritonclient[http]'
    python client.py --url localhost:8000 -n 4 --seed 0 --class 3 -o samples.npy

The program runs here, with the noise and the step table of the bundle; the server computes the graphs. Apache-2.0.
"""

import argparse
import pathlib
import re

import numpy as np
from sample import Model, main

TYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64"}


class Remote:
    """A graph on the server, with the interface of an ONNX Runtime session."""

    def __init__(self, client, module, name, info):
        self.client, self.module, self.name, self.info = client, module, name, info
        # the server's batching does not support scalars: they get an axis of size one
        self.batched = all(port["shape"][:1] == ["batch"] for port in (*info["inputs"], *info["outputs"]))

    def run(self, outputs, feeds):
        inputs = []
        for port in self.info["inputs"]:
            array = np.asarray(feeds[port["name"]], port["dtype"])
            if len(port["shape"]) == self.batched:
                array = array.reshape(*array.shape, 1)
            tensor = self.module.InferInput(port["name"], list(array.shape), TYPES[port["dtype"]])
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        names = outputs or [port["name"] for port in self.info["outputs"]]
        wanted = [self.module.InferRequestedOutput(name) for name in names]
        result = self.client.infer(self.name, inputs, outputs=wanted)
        ranks = {port["name"]: len(port["shape"]) for port in self.info["outputs"]}
        arrays = {name: result.as_numpy(name) for name in names}
        return [a.reshape(a.shape[: ranks[name]]) if a.ndim > ranks[name] else a for name, a in arrays.items()]


class ServedModel(Model):
    """A bundle whose graphs a server computes."""

    def __init__(self, folder, url, module=None):
        super().__init__(folder)
        if module is None:
            import tritonclient.http as module
        self.module, self.client = module, module.InferenceServerClient(url)

    def graph(self, name):
        """A session, created on first use, and the shapes of its inputs by name."""
        info = self.manifest["graphs"][name]
        if name not in self.sessions:
            model = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.manifest["model"].get("name") or "model")
            self.sessions[name] = Remote(self.client, self.module, f"{model}-{name}", info)
        return self.sessions[name], {port["name"]: port["shape"] for port in info["inputs"]}


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--url", default="localhost:8000")
    main(cli, lambda args: ServedModel(pathlib.Path(__file__).parent / "bundle", args.url))
