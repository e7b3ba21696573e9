#!/usr/bin/env python3
"""Run the genzoo bundle beside this file. It needs only numpy and onnxruntime: `pip install numpy onnxruntime`.

    python sample.py -n 4 --seed 0 --class 3 -o samples.npy       the same samples as genzoo gives for this seed
    python sample.py --score data.npy --class 3                   log-densities, for models that score in one call

    from sample import Model
    x = Model("bundle").sample(4, seed=0, condition=3)            float32 [4, *event], in data units

It follows docs/bundle-format.md of genzoo, version 1. Copy it, read it, change it: Apache-2.0.
"""

import argparse
import hashlib
import json
import pathlib
import sys

import numpy as np
import onnxruntime

ROUNDS, KEYS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)


def require(holds, otherwise):
    if not holds:
        raise ValueError(otherwise)


def noise(kind, seed, samples, shape, step=0, stream=0):
    """Philox4x32-10: element e of a sample from word e mod 4 of block e // 4. Float32 [len(samples), *shape]."""
    require(kind in ("normal", "uniform", "gumbel"), f"noise of the distribution {kind} cannot be drawn here")
    size, low, high = int(np.prod(shape)), seed & 0xFFFFFFFF, seed >> 32
    blocks = -(-size // 4)
    c = [np.tile(np.arange(blocks, dtype=np.uint64), len(samples)), np.repeat(samples.astype(np.uint64), blocks)]
    c += [np.full_like(c[0], step), np.full_like(c[0], stream)]
    for _ in range(10):
        a, b = c[0] * np.uint64(ROUNDS[0]), c[2] * np.uint64(ROUNDS[1])
        mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
        c = [(b >> shift) ^ c[1] ^ np.uint64(low), b & mask, (a >> shift) ^ c[3] ^ np.uint64(high), a & mask]
        low, high = (low + KEYS[0]) & 0xFFFFFFFF, (high + KEYS[1]) & 0xFFFFFFFF
    x = ((np.stack(c, 1).reshape(len(samples), -1) >> np.uint64(9)) + 0.5) * 2.0**-23  # uniforms in (0, 1)
    if kind == "normal":  # by Box and Muller
        radius, angle = np.sqrt(-2 * np.log(x[:, ::2])), 2 * np.pi * x[:, 1::2]
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(len(samples), -1)
    x = -np.log(-np.log(x)) if kind == "gumbel" else x
    return x[:, :size].reshape(len(samples), *shape).astype(np.float32)


def tensors(path):
    """The float64 tensors of a safetensors file by name."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = {name: t for name, t in json.loads(data[8:start]).items() if name != "__metadata__"}
    parts = {name: data[start:][slice(*t["data_offsets"])] for name, t in header.items()}
    return {name: np.frombuffer(parts[name], "<f8").reshape(t["shape"]) for name, t in header.items()}


class Model:
    """A bundle whose files have been checked against its manifest. Errors are raised as ValueError."""

    def __init__(self, folder, providers=("CPUExecutionProvider",)):
        self.folder, self.providers, self.sessions = pathlib.Path(folder), list(providers), {}
        require((self.folder / "manifest.json").is_file(), f"{folder} is not a bundle: it has no manifest.json")
        self.manifest = m = json.loads((self.folder / "manifest.json").read_text("utf-8"))
        require(m["format"] == {"name": "genzoo-bundle", "version": 1}, f"{folder} is of another format: {m['format']}")
        fields = [*(m["condition"] or ()), *(field for p in m["programs"].values() for field in p or ())]
        require(not {"parts", "condition_encoder"} & {*fields}, "it is conditioned on named parts: use zoo.runtime")
        for name, info in m["files"].items():
            file = self.folder / name
            require(not ({"/", "\\"} & set(name) or file.is_symlink()), f"{name} is not a plain file of the bundle")
            same = file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == info["sha256"]
            require(same, f"{name} has been altered, damaged or lost: copy the bundle again")
        self.event, self.name = tuple(m["event_shape"]), m["model"].get("name", "the model")

    def graph(self, name):
        """A session, loaded on first use, and the shapes of its inputs by name."""
        if name not in self.sessions:
            file = str(self.folder / self.manifest["graphs"][name]["file"])
            self.sessions[name] = onnxruntime.InferenceSession(file, providers=self.providers)
        return self.sessions[name], {p["name"]: p["shape"] for p in self.manifest["graphs"][name]["inputs"]}

    def conditions(self, value, n, needed=False):
        """int32 [n] or float32 [n, d], or None; by default every class in turn, unless one is needed."""
        c = self.manifest["condition"]
        if c is None or (value is None and c["kind"] == "classes" and not needed):
            require(value is None, "the model takes no class")
            return None if c is None else (np.arange(n) % c["size"]).astype(np.int32)
        size, labels = c["size"], {label: i for i, label in enumerate(c.get("labels", ()))}
        require(value is not None, f"this needs a condition: {c['kind']} of {size}")
        value = np.array(value.split(",") if isinstance(value, str) and value not in labels else value)
        if c["kind"] == "vector":
            fits = value.shape in ((size,), (n, size)) and np.isfinite(value.astype(np.float32)).all()
            require(fits, f"a condition is {size} numbers, for all samples or for each")
            return np.broadcast_to(value.astype(np.float32), (n, size))
        known = {str(i): i for i in range(size)} | labels
        unknown = [one for one in map(str, value.ravel().tolist()) if one not in known]
        require(not unknown, f"there is no class {', '.join(unknown)}; classes are 0 to {size - 1}, or their labels")
        require(value.size in (1, n), f"{n} samples need one class or as many, not {value.size}")
        return np.broadcast_to(np.array([known[str(one)] for one in value.ravel().tolist()], np.int32), n)

    def table(self, program, name=None):
        """The columns of a step table."""
        arrays = tensors(self.folder / "tables.safetensors")
        name = name or f"{program.get('sampler', 'ddim')}-{program.get('steps', 50)}"
        table = {key.split("/")[1]: value for key, value in arrays.items() if key.split("/")[0] == name}
        require(table, f"there is no table {name}; there are {', '.join(sorted({k.split('/')[0] for k in arrays}))}")
        missing = {"noise_scale": 0, "noise_range": 0, "rescale": 0, "guidance": 1, "clip": np.finfo(np.float32).max}
        return {**{k: np.full(len(table["time"]), value) for k, value in missing.items()}, **table}

    def batches(self, n, batch, c):
        """Indices, how many of them count (batches of a fixed size are padded with the last sample), and conditions."""
        fixed = self.manifest.get("batch")
        for first in range(0, n, fixed or batch):
            count = min(fixed or batch, n - first)
            i = np.minimum(np.arange(first, first + (fixed or count)), n - 1)
            yield i, count, {} if c is None else {"condition": np.ascontiguousarray(c[i])}

    def sample(self, n, seed=0, condition=None, table=None, guidance=None, fused=False, batch=64):
        """Draw n samples: float32 [n, *event] in data units. Sample i is the same alone or among a thousand."""
        require(0 < n <= 2**32 and 0 <= seed < 2**64, "samples are 1 to 2**32, and a seed is 0 to 2**64 - 1")
        program, parts = self.manifest["programs"].get("fused" if fused else "sample"), []
        require(program, "there is no fused graph" if fused else f"{self.name} only scores data: it cannot sample")
        steps, c = program["kind"] == "iterate", self.conditions(condition, n)
        require(steps or (not table and guidance is None), "sampling in one call takes no table or guidance")
        (session, takes), noises = self.graph(program["graph"]), program.get("noise") or []
        noises = [(noises, "normal")] if isinstance(noises, str) else [(z["name"], z["distribution"]) for z in noises]
        for i, count, inputs in self.batches(n, batch, c):
            if fused:
                key = {"seed": np.array(seed, np.uint64).view(np.int64), "first": np.array(i[0]), "n": np.array(count)}
                x = session.run(None, key | inputs)[0]
            elif steps:
                x = self.iterate(program, self.table(program, table), i, seed, inputs.get("condition"), guidance)
            else:
                z = {a: noise(d, seed, i, takes[a][1:], k) for k, (a, d) in enumerate(noises)}
                x = session.run(None, z | inputs)[0]
            parts.append(x[:count])
        require(all(np.isfinite(x).all() for x in parts), "some samples are not finite")
        return np.concatenate(parts)

    def iterate(self, program, table, i, seed, classes, guidance):
        """Runs a step table over a graph: one evaluation of the network per row."""
        (session, takes), matrix = self.graph(program["graph"]), table["matrix"]
        event, decoder = takes["state"][2:], program.get("decoder")  # turns states into samples
        state = np.zeros((matrix.shape[1], len(i), *event), np.float32)
        state[0] = np.float32(table["initial_scale"]) * noise("normal", seed, i, event)
        zeros, ones, null = np.zeros_like(state[0]), np.ones_like(state[0]), program.get("null_class")
        for row in range(len(matrix)):
            w = float(table["guidance"][row] if guidance is None else guidance)
            weights, c = np.ones(1, np.float32), None if classes is None else classes[None]
            if w != 1:
                require(null is not None, "guidance needs a model with a null class, which this one does not have")
                weights, c = np.array([w, 1 - w], np.float32), np.stack([classes, np.full_like(classes, null)])
            fresh = noise("normal", seed, i, event, row, 1) if table["noise_scale"][row] else zeros
            feeds = {k: np.array(table[k][row], np.float32) for k in table.keys() & takes}
            feeds |= {"state": state, "weights": weights, "noise": fresh, "known": zeros, "mask": ones, "condition": c}
            state = session.run(["next_state"], {k: v for k, v in feeds.items() if k in takes})[0]
        x = np.float32(program.get("shift", 0)) + np.float32(program.get("scale", 1)) * state[0]
        low, high = program.get("data_min"), program.get("data_max")
        x = x if low is None or high is None else x.clip(np.float32(low), np.float32(high))
        return self.graph(decoder)[0].run(["x"], {"latent": x})[0] if decoder else x

    def log_prob(self, x, condition=None, seed=0, batch=64):
        """Log-densities in nats, [n]; whole numbers of a model of discrete data get the specified uniform noise."""
        program, levels, x = self.manifest["programs"]["log_prob"], self.manifest["levels"], np.asarray(x)
        require(program and program["kind"] == "direct", "the model does not score in one call, as it must here")
        fits = x.shape[1:] == self.event and x.size and np.isfinite(x).all()
        require(fits, f"data must be finite, of shape [n, {', '.join(map(str, self.event))}], not {list(x.shape)}")
        if levels and x.dtype.kind in "iu":
            require(x.min() >= 0 and x.max() < levels, f"the data has numbers outside 0 to {levels - 1}")
            u = noise("uniform", seed, np.arange(len(x)), self.event, 0, 3)
            x = np.minimum(x.astype(np.float32) + u, np.nextafter(x.astype(np.float32) + 1, np.float32(0)))
        (session, takes), c = self.graph(program["graph"]), self.conditions(condition, len(x), True)
        name, x = next(name for name in takes if name != "condition"), x.astype(np.float32)
        parts = [session.run(None, {name: x[i], **given})[0][:m] for i, m, given in self.batches(len(x), batch, c)]
        return np.concatenate(parts).astype(np.float64)


def main(cli, model):
    """The command line, for a model constructed from the arguments."""
    options = ("-n", "n", int, 1), ("--seed", "seed", int, 0), ("--guidance", "guidance", float, None)
    files = ("--class", "label", str, None), ("--table", "table", str, None), ("--score", "score", str, None)
    for flag, name, kind, value in (*options, *files, ("-o", "o", str, "samples.npy")):
        cli.add_argument(flag, dest=name, type=kind, default=value)
    cli.add_argument("--fused", action="store_true")
    args = cli.parse_args()
    try:
        if args.score:
            return print(*model(args).log_prob(np.load(args.score), args.label, args.seed), sep="\n")
        x = model(args).sample(args.n, args.seed, args.label, args.table, args.guidance, args.fused)
        np.save(args.o, x)
        print(f"{args.o}: float32 {list(x.shape)}, {x.min():.3g} to {x.max():.3g}, seed {args.seed}")
    except Exception as error:  # of any kind, including those of ONNX Runtime
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--bundle", default=pathlib.Path(__file__).parent / "bundle")
    main(cli, lambda args: Model(args.bundle))
