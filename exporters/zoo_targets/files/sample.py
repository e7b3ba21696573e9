#!/usr/bin/env python3
"""Run the genzoo bundle beside this file. All that it needs is numpy and onnxruntime: `pip install numpy onnxruntime`.

    python sample.py -n 4 --seed 0 --class 3 -o samples.npy       the same samples as genzoo gives for this seed
    python sample.py --score data.npy                             log-densities, of models that score in one call

    from sample import Model
    x = Model("bundle").sample(4, seed=0, condition=3)            float32 [4, *event], in data units

It follows docs/bundle-format.md of genzoo, version 1: sampling in one call, by a step table, or fused; scoring in one
call. Copy it, read it, change it: Apache-2.0.
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import onnxruntime

ROUNDS, KEYS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
DTYPES = {"F64": "<f8", "F32": "<f4", "I32": "<i4", "I64": "<i8"}


def words(seed, samples, size, step, stream):
    """Philox4x32-10: uint32 [len(samples), size], element e of sample i being word e mod 4 of block e // 4."""
    blocks = -(-size // 4)
    c = [np.tile(np.arange(blocks, dtype=np.uint64), len(samples)), np.repeat(samples.astype(np.uint64), blocks)]
    c += [np.full_like(c[0], step), np.full_like(c[0], stream)]
    low, high = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = c[0] * np.uint64(ROUNDS[0]), c[2] * np.uint64(ROUNDS[1])
        mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
        c = [(b >> shift) ^ c[1] ^ np.uint64(low), b & mask, (a >> shift) ^ c[3] ^ np.uint64(high), a & mask]
        low, high = (low + KEYS[0]) & 0xFFFFFFFF, (high + KEYS[1]) & 0xFFFFFFFF
    return np.stack(c, 1).reshape(len(samples), -1)


def uniform(seed, samples, size, step=0, stream=0):
    """Uniforms strictly inside (0, 1)."""
    return ((words(seed, samples, size, step, stream) >> np.uint64(9)) + 0.5) * 2.0**-23


def normal(seed, samples, shape, step=0, stream=0):
    """Standard normals by Box and Muller: float32 [len(samples), *shape]."""
    size = int(np.prod(shape))
    u = uniform(seed, samples, size, step, stream).reshape(len(samples), -1, 2)
    radius, angle = np.sqrt(-2 * np.log(u[..., 0])), 2 * np.pi * u[..., 1]
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(len(samples), -1)
    return z[:, :size].reshape(len(samples), *shape).astype(np.float32)


def tensors(path):
    """The tensors of a safetensors file by name."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(data[start + t["data_offsets"][0] : start + t["data_offsets"][1]], DTYPES[t["dtype"]])
        .reshape(t["shape"]) for name, t in header.items()
    }  # fmt: skip


class Model:
    """A bundle, every file of which is what its manifest says."""

    def __init__(self, folder, providers=("CPUExecutionProvider",)):
        self.folder, self.providers = pathlib.Path(folder), list(providers)
        self.manifest = m = json.loads((self.folder / "manifest.json").read_text("utf-8"))
        if m["format"] != {"name": "genzoo-bundle", "version": 1}:
            raise SystemExit(f"{folder} is of format {m['format']}; this program reads genzoo-bundle 1")
        for name, known in m["files"].items():
            if "/" in name or "\\" in name or (self.folder / name).is_symlink():
                raise SystemExit(f"{name} is no plain file of the bundle")
            if hashlib.sha256((self.folder / name).read_bytes()).hexdigest() != known["sha256"]:
                raise SystemExit(f"{name} has been altered or damaged: copy the bundle again")
        self.event, self.sessions = tuple(m["event_shape"]), {}

    def graph(self, name):
        """A session, loaded when first asked for."""
        if name not in self.sessions:
            file = self.folder / self.manifest["graphs"][name]["file"]
            self.sessions[name] = onnxruntime.InferenceSession(str(file), providers=self.providers)
        return self.sessions[name]

    def conditions(self, given, n):
        """int32 [n] or float32 [n, d], or None; by default every class in turn."""
        c = self.manifest["condition"]
        if c is None:
            return None
        if c["kind"] == "vector":
            vector = np.zeros(c["size"]) if given is None else given
            return np.broadcast_to(np.asarray(vector, np.float32), (n, c["size"]))
        if given is None:
            return (np.arange(n) % c["size"]).astype(np.int32)
        labels = {label: i for i, label in enumerate(c["labels"])}
        classes = np.array([labels.get(g) if g in labels else int(g) for g in np.ravel(given).tolist()], np.int32)
        if ((classes < 0) | (classes >= c["size"])).any():
            raise SystemExit(f"classes are 0 to {c['size'] - 1}")
        return np.broadcast_to(classes, n)

    def table(self, name=None):
        """The columns of a step table."""
        program, found = self.manifest["programs"]["sample"], tensors(self.folder / "tables.safetensors")
        name = name or f"{program['sampler']}-{program['steps']}"
        table = {key.split("/")[1]: value for key, value in found.items() if key.split("/")[0] == name}
        if not table:
            raise SystemExit(f"no table {name}; there are {', '.join(sorted({k.split('/')[0] for k in found}))}")
        rows = len(table["time"])
        default = {"guidance": 1.0, "clip": np.finfo(np.float32).max}
        names = ("noise_scale", "noise_range", "rescale", "guidance", "clip")
        return {**{k: np.full(rows, default.get(k, 0.0)) for k in names}, **table}

    def sample(self, n, seed=0, condition=None, table=None, guidance=None, fused=False, batch=64):
        """Draw n samples: float32 [n, *event] in data units. Sample i is the same alone or among a thousand."""
        program, c = self.manifest["programs"]["fused" if fused else "sample"], self.conditions(condition, n)
        fixed, parts = self.manifest.get("batch"), []
        size = fixed or batch
        for first in range(0, n, size):
            count = min(size, n - first)
            # a graph of one size of batch is filled up with copies of the last sample
            i = np.minimum(np.arange(first, first + (fixed or count)), n - 1)
            given = {} if c is None else {"condition": np.ascontiguousarray(c[i])}
            if fused:
                word = np.array(seed, np.uint64).view(np.int64)
                feeds = {"seed": word, "first": np.array(first), "n": np.array(count), **given}
                x = self.graph(program["graph"]).run(None, feeds)[0]
            elif program["kind"] == "direct":
                port = next(
                    p for p in self.manifest["graphs"][program["graph"]]["inputs"] if p["name"] == program["noise"]
                )
                z = normal(seed, i, port["shape"][1:])
                x = self.graph(program["graph"]).run(None, {port["name"]: z, **given})[0]
            else:
                x = self.iterate(program, self.table(table), i, seed, given.get("condition"), guidance)
            parts.append(x[:count])
        return np.concatenate(parts)

    def iterate(self, program, table, i, seed, classes, guidance):
        """A step table over a graph: one row, one evaluation of the network."""
        session, matrix = self.graph(program["graph"]), table["matrix"].astype(np.float32)
        takes = {port.name for port in session.get_inputs()}
        state = np.zeros((matrix.shape[1], len(i), *self.event), np.float32)
        state[0] = np.float32(table["initial_scale"]) * normal(seed, i, self.event)
        silence = np.zeros_like(state[0])
        for row in range(len(matrix)):
            w = float(table["guidance"][row] if guidance is None else guidance)
            weights, condition = np.ones(1, np.float32), None if classes is None else classes[None]
            if w != 1:
                weights, null = np.array([w, 1 - w], np.float32), np.full_like(classes, program["null_class"])
                condition = np.stack([classes, null])
            feeds = {k: np.array(table[k][row], np.float32) for k in table if k not in ("matrix", "initial_scale")}
            noise = normal(seed, i, self.event, row, 1) if table["noise_scale"][row] else silence
            feeds |= {"state": state, "matrix": matrix[row], "weights": weights, "noise": noise, "condition": condition}
            feeds |= {"known": silence, "mask": np.ones_like(silence)}
            state = session.run(["next_state"], {k: v for k, v in feeds.items() if k in takes})[0]
        x = np.float32(program["shift"]) + np.float32(program["scale"]) * state[0]
        low, high = program["data_min"], program["data_max"]
        return x if low is None or high is None else x.clip(np.float32(low), np.float32(high))

    def log_prob(self, x, condition=None, seed=0, batch=64):
        """Log-densities in nats, [n]; whole numbers of a model of discrete data get the specified uniform noise."""
        program, x = self.manifest["programs"]["log_prob"], np.asarray(x)
        if program is None or program["kind"] != "direct":
            raise SystemExit("this model does not score in one call, which is all that this program does")
        if self.manifest["levels"] and x.dtype.kind in "iu":
            u = uniform(seed, np.arange(len(x)), int(np.prod(self.event)), 0, 3)[:, : int(np.prod(self.event))]
            noisy = x.astype(np.float32) + u.reshape(x.shape).astype(np.float32)
            x = np.minimum(noisy, np.nextafter(x.astype(np.float32) + 1, np.float32(0)))
        session, c, parts = self.graph(program["graph"]), self.conditions(condition, len(x)), []
        name = next(port.name for port in session.get_inputs() if port.name != "condition")
        fixed = self.manifest.get("batch")
        for first in range(0, len(x), fixed or batch):
            count = min(fixed or batch, len(x) - first)
            i = np.minimum(np.arange(first, first + (fixed or count)), len(x) - 1)
            given = {} if c is None else {"condition": np.ascontiguousarray(c[i])}
            parts.append(session.run(None, {name: x[i].astype(np.float32), **given})[0][:count])
        return np.concatenate(parts).astype(np.float64)


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent / "bundle"
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flags, options in {
        ("-n",): {"type": int, "default": 1}, ("--seed",): {"type": int, "default": 0}, ("--class",): {"dest": "label"},
        ("--table",): {}, ("--guidance",): {"type": float}, ("--fused",): {"action": "store_true"},
        ("--score",): {}, ("--bundle",): {"default": here}, ("-o",): {"default": "samples.npy"},
    }.items():  # fmt: skip
        cli.add_argument(*flags, **options)
    args = cli.parse_args()
    model, label = Model(args.bundle), args.label
    if args.score:
        print(*model.log_prob(np.load(args.score, allow_pickle=False), label, args.seed), sep="\n")
    else:
        x = model.sample(args.n, args.seed, label, args.table, args.guidance, args.fused)
        np.save(args.o, x)
        print(f"{args.o}: float32 {list(x.shape)}, {x.min():.3g} to {x.max():.3g}, seed {args.seed}")
