#!/usr/bin/env python3
"""Run the genzoo bundle beside this file. It needs only numpy and onnxruntime: `pip install numpy onnxruntime`.

    python sample.py -n 4 --seed 0 --class 3 -o samples.npy       the same samples as genzoo gives for this seed
    python sample.py --score data.npy --class 3                   log-densities, for models that score in one call
    python sample.py --condition image=cam.npy --condition state=0.3,1      named parts, as files or values

    from sample import Model
    x = Model("bundle").sample(4, seed=0, condition=3)            float32 [4, *event], in data units

It follows docs/bundle-format.md of genzoo, versions 1 and 2. Copy it, read it, change it: Apache-2.0.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import sys

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported: it tells its makers nothing
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


def axes_of(value, text=1):
    """The number of axes, in which rows may be of different lengths, and a text counts as one, unless it is a label."""
    if isinstance(value, (list, tuple)):
        require(value, "a part of the condition is an empty list")
        return 1 + axes_of(value[0], text)
    return text if isinstance(value, str) else np.ndim(value)


def null_of(part):
    """What stands for no value of a part."""
    null, fixed = part["null"], [size for size in part["shape"] if isinstance(size, int)]
    if part["modality"] in ("classes", "tokens"):
        one = part["modality"] == "classes" or isinstance(null, list)
        return np.array(null if one else [null] * (*fixed, 1)[0], np.int32)
    length = [1] if len(fixed) < len(part["shape"]) else []
    return np.broadcast_to(np.array(null, np.float32), (*length, *fixed))


def words_of(labels, text, who):
    """The ids of a text: A to Z as small letters, and at each place but white space the longest label that fits."""
    places, longest = {label: i for i, label in enumerate(labels)}, max(map(len, labels))
    ids, rest = [], "".join(chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in text).lstrip(" \t\r\n")
    while rest:
        size = next((size for size in range(longest, 0, -1) if rest[:size] in places), 0)
        require(size, f"{who} has no symbol {rest[0]}")
        ids.append(places[rest[:size]])
        rest = rest[size:].lstrip(" \t\r\n")
    return ids


def row_of(part, value):
    """One value of a part as an array, checked; tokens without the padding at their end."""
    kind, shape, size, alphabet = part["modality"], part["shape"], part.get("size"), part.get("alphabet")
    who, whole = f"part {part['name']} of the condition", kind == "tokens"
    if kind == "classes":
        known = {str(i): i for i in range(size)} | {label: i for i, label in enumerate(part.get("labels", ()))}
        require(
            str(value) in known, f"there is no class {value} for {who}: classes are 0 to {size - 1}, or their labels"
        )
        return np.array(known[str(value)], np.int32)
    if isinstance(value, str) and part.get("labels"):
        value = words_of(part["labels"], value, who)
    elif isinstance(value, str):
        require(alphabet, f"{who} has no alphabet for texts: give it the ids of its tokens")
        strange = sorted(set(value) - set(alphabet))
        require(not strange, f"{who} has no symbol {', '.join(strange)}")
        value = [alphabet.index(symbol) for symbol in value]
    try:
        array = np.array(value)
    except ValueError:
        raise ValueError(f"{who} is not an array: its rows differ in length") from None
    require(array.dtype.kind in ("iu" if whole else "iuf"), f"{who} is {'whole ' * whole}numbers, not {array.dtype}")
    pairs = [*zip(array.shape, shape, strict=True)][kind in ("tokens", "sequence") :]
    require(all(have == want for have, want in pairs), f"{who} has shape {shape}, not {list(array.shape)}")
    with np.errstate(over="ignore"):
        array = array if whole else array.astype(np.float32)
    require(np.isfinite(array).all(), f"{who} has values that are not finite in float32")
    low, high = (0, size - 1) if whole else (part.get("minimum"), part.get("maximum"))
    inside = low is None or (array >= np.float32(low)).all(), high is None or (array <= np.float32(high)).all()
    require(all(inside), f"{who} runs from {low} to {high}, which the given one does not")
    if whole and part.get("padding") is not None:
        array = array[: 1 + max(np.flatnonzero(array != part["padding"]), default=-1)]
    require(array.size, f"{who} is empty")
    return array.astype(np.int32) if whole else array


def read_part(part, value, n):
    """What a part was given: a list of one array for all of n samples, or of one for each."""
    who, axes = f"part {part['name']} of the condition", len(part["shape"])
    if value is None:
        require(not part.get("required", True), f"{who} is missing: the model needs it for each sample")
        return [null_of(part)]
    have = axes_of(value, int(part["modality"] == "tokens"))
    fits = have == axes or (have == axes + 1 and len(value) == n)
    require(fits, f"{n} samples need one value of shape {part['shape']} for {who}, or {n} of them")
    return [row_of(part, row) for row in ([value] if have == axes else value)]


def filled(parts, *conditions):
    """Conditions, a list of arrays for each part, as arrays by port; tokens and sequences as long as the longest."""
    ports, lengths = [{} for _ in conditions], {}
    for part, *each in zip(parts, *conditions, strict=True):
        if part["modality"] in ("tokens", "sequence"):
            own, least = part["shape"][0], lengths.get(part["shape"][0], 0)
            lengths[own] = own if isinstance(own, int) else max(least, *(len(row) for rows in each for row in rows))
    for arrays, condition in zip(ports, conditions, strict=True):
        for part, rows in zip(parts, condition, strict=True):
            if part["modality"] in ("tokens", "sequence"):
                length, pad = lengths[part["shape"][0]], part.get("padding") or 0
                longest = max(len(row) for row in rows)
                require(longest <= length, f"part {part['name']} has at most {length} entries, not {longest}")
                mask = [np.arange(length) < len(row) for row in rows]
                arrays[part["name"] + "_mask"] = np.array(mask, np.float32)
                gaps = [np.full((length - len(row), *row.shape[1:]), pad, row.dtype) for row in rows]
                rows = [np.concatenate(pair) for pair in zip(rows, gaps, strict=True)]
            arrays[part["name"]] = np.stack(rows)
    return ports


class Model:
    """A bundle whose files have been checked against its manifest. Errors are raised as ValueError."""

    def __init__(self, folder, providers=("CPUExecutionProvider",)):
        self.folder, self.providers, self.sessions = pathlib.Path(folder), list(providers), {}
        self.temperature = None  # instead of the bundle's: what the normals of a model of one call are multiplied by
        require((self.folder / "manifest.json").is_file(), f"{folder} is not a bundle: it has no manifest.json")
        self.manifest = m = json.loads((self.folder / "manifest.json").read_text("utf-8"))
        readable = m["format"] in ({"name": "genzoo-bundle", "version": version} for version in (1, 2))
        require(readable, f"{folder} is of another format: {m['format']}")
        programs = [p for p in m["programs"].values() if p]
        later = "length" in m or "parts" in (m["condition"] or {}) or not m["programs"].get("sample")
        fields = {"condition_encoder", "temperature", "unclipped_column"}
        later = later or any(fields & {*p} or isinstance(p.get("noise"), list) for p in programs)
        require(m["format"]["version"] > 1 or not later, f"{folder} states what its format, version 1, does not have")
        encodes = any(p.get("condition_encoder") for p in programs)
        require(m["condition"] or not encodes, "it encodes a condition that the model does not have")
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

    def conditions(self, program, n, value, negative=None, needed=False, guided=False, further=()):
        """A condition, that to guide away from, others composed: rows by port, and the row of each of n samples."""
        parts = (self.manifest["condition"] or {}).get("parts")
        if not parts:
            c, null = self.plain(value, n, needed), program.get("null_class")
            other = self.plain(negative, n) if negative is not None else None
            other = np.full_like(c, null) if guided and other is None and not (c is None or null is None) else other
            every = [None if each is None else {"condition": each} for each in (c, other)]
            every += [{"condition": self.plain(each, n)} for each in further]
        else:
            names = [part["name"] for part in parts]
            both = [{} if value is None else value, negative]
            for each in (*both, *further):
                named = isinstance(each, dict) or each is None
                unknown = sorted({*(each or ())} - {*names}) if named else "a value alone"
                require(not unknown, f"a condition has the parts {', '.join(names)} by their names, not {unknown}")
            read = [[read_part(p, each.get(p["name"]), n) for p in parts] for each in both if each is not None]
            if guided and negative is None and all(part.get("null") is not None for part in parts):
                read.append([[null_of(part)] for part in parts])
            more = [[read_part(p, each.get(p["name"]), n) for p in parts] for each in further]
            ports = filled(parts, *read, *more)
            every = [*(*ports[: len(read)], None)[:2], *ports[len(read) :]]
        return [None if each is None else self.encoded(program.get("condition_encoder"), each, n) for each in every]

    def encoded(self, encoder, ports, n):
        """Each different condition once, through the encoder if there is one, and the row of each of n samples."""
        several, rows = [np.ascontiguousarray(array) for array in ports.values() if len(array) == n], {}
        if encoder is None and len(several) == len(ports):
            return ports, np.arange(n)
        index = np.array([rows.setdefault(b"".join(a[i].tobytes() for a in several), len(rows)) for i in range(n)])
        chosen = np.unique(index, return_index=True)[1]
        ports = {name: array[chosen if len(array) == n else 0 * chosen] for name, array in ports.items()}
        if encoder is None:
            return ports, index
        session, takes = self.graph(encoder)
        names = [port["name"] for port in self.manifest["graphs"][encoder]["outputs"]]
        size = next(iter(takes.values()))[0]
        starts = range(0, len(chosen), size if isinstance(size, int) else 64)
        results = [session.run(names, {k: a[i : i + starts.step] for k, a in ports.items()}) for i in starts]
        finite = all(np.isfinite(a).all() for each in results for a in each)
        require(finite, "the encoded condition is not finite")
        return {name: np.concatenate(each) for name, *each in zip(names, *results, strict=True)}, index

    def plain(self, value, n, needed=False):
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
        more, (_, k, n) = program.get("unclipped_column", False), table["matrix"].shape
        require(k < n <= k + 1 + more, f"graph {program['graph']} takes no matrix of {n} columns for {k} slots")
        missing = {"noise_scale": 0, "noise_range": 0, "rescale": 0, "guidance": 1, "clip": np.finfo(np.float32).max}
        return {**{k: np.full(len(table["time"]), value) for k, value in missing.items()}, **table}

    def batches(self, n, batch, *cs):
        """Indices, how many of them count (batches of a fixed size are padded with the last sample), and conditions."""
        fixed = self.manifest.get("batch")
        for first in range(0, n, fixed or batch):
            count = min(fixed or batch, n - first)
            i = np.minimum(np.arange(first, first + (fixed or count)), n - 1)
            feeds = [{} if c is None else {k: np.ascontiguousarray(a[c[1][i]]) for k, a in c[0].items()} for c in cs]
            yield i, count, *feeds

    def sample(
        self, n, seed=0, condition=None, table=None, guidance=None, fused=False, batch=64, negative=None, compose=None
    ):
        """Draw n samples: float32 [n, *event] in data units. Sample i is the same alone or among a thousand.

        The condition is one class or vector, or n of them; or such values of named parts, in a dict. `compose` is a
        list of (condition, weight) instead of `condition` and `guidance`: F_other + sum of w·(F_condition - F_other).
        """
        require(0 < n <= 2**32 and 0 <= seed < 2**64, "samples are 1 to 2**32, and a seed is 0 to 2**64 - 1")
        program, parts = self.manifest["programs"].get("fused" if fused else "sample"), []
        missing = "the bundle has no fused graph" if fused else f"{self.name} only scores data: it cannot sample"
        require(program, missing)
        steps, asked = program["kind"] == "iterate", (table, guidance, negative, compose)
        require(steps or asked == (None,) * 4, "sampling in one call takes no table, guidance or compose")
        require(compose is None or (condition is None and guidance is None), "compose has its conditions and weights")
        require(compose is None or len(compose), "compose is one pair or more of a condition and its weight")
        (condition, guidance), *more = compose or [(condition, guidance)]
        weights = [float(w) for _, w in more]
        require(compose is None or np.isfinite([guidance, *weights]).all(), "the weights of compose are finite numbers")
        columns = self.table(program, table) if steps else {"guidance": np.ones(1)}
        guided = bool((columns["guidance"] != 1).any()) if guidance is None else math.fsum([guidance, *weights]) != 1
        every = self.conditions(program, n, condition, negative, guided=guided, further=[each for each, _ in more])
        c = every[0]
        (session, takes), noises = self.graph(program["graph"]), program.get("noise") or []
        noises = [(noises, "normal")] if isinstance(noises, str) else [(z["name"], z["distribution"]) for z in noises]
        own, tempers = self.temperature, program["kind"] == "direct" and {d for _, d in noises} == {"normal"}
        fits = own is None or (tempers and 0 <= own < np.inf)
        require(fits, "a temperature is a number, 0 or more, of a model that samples normals in one call")
        scale = np.float32(program.get("temperature", 1) if own is None else own)
        for i, count, inputs, against, *others in self.batches(n, batch, *every):
            if fused:
                key = {"seed": np.array(seed, np.uint64).view(np.int64), "first": np.array(i[0]), "n": np.array(count)}
                one = {k: a[:1] if takes[k][0] == "rows" and len(c[0][k]) == 1 else a for k, a in inputs.items()}
                x = session.run(None, key | one)[0]
            elif steps:
                further = [*zip(others, weights, strict=True)]
                x = self.iterate(program, columns, i, seed, inputs, against, guidance, further)
            else:
                z = {a: scale * noise(d, seed, i, takes[a][1:], k) for k, (a, d) in enumerate(noises)}
                x = session.run(None, z | inputs)[0]
            parts.append(x[:count])
        require(all(np.isfinite(x).all() for x in parts), "some samples are not finite")
        return np.concatenate(parts)

    def iterate(self, program, table, i, seed, condition, against, guidance, further=()):
        """Runs a step table over a graph: one evaluation of the network per row, of each condition with a weight."""
        (session, takes), matrix = self.graph(program["graph"]), table["matrix"]
        event, decoder = takes["state"][2:], program.get("decoder")  # turns states into samples
        state = np.zeros((matrix.shape[1], len(i), *event), np.float32)
        state[0] = np.float32(table["initial_scale"]) * noise("normal", seed, i, event)
        zeros, ones = np.zeros_like(state[0]), np.ones_like(state[0])
        for row in range(len(matrix)):
            w = float(table["guidance"][row] if guidance is None else guidance)
            left = 1 - math.fsum([w, *(weight for _, weight in further)])
            missing = "guidance needs a null class, or nulls of all parts, which the model does not have"
            require(left == 0 or against, missing)
            every = [(condition, w), *further, *([(against, left)] if left else [])]
            weights = np.array([weight for _, weight in every], np.float32)
            c = {k: np.stack([each[k] for each, _ in every]) for k in condition}
            fresh = noise("normal", seed, i, event, row, 1) if table["noise_scale"][row] else zeros
            feeds = {k: np.array(table[k][row], np.float32) for k in table.keys() & takes}
            feeds |= {"state": state, "weights": weights, "noise": fresh, "known": zeros, "mask": ones, **c}
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
        session, takes = self.graph(program["graph"])
        c, _ = self.conditions(program, len(x), condition, needed=True)
        name, x = next(name for name in takes if c is None or name not in c[0]), x.astype(np.float32)
        parts = [session.run(None, {name: x[i], **feeds})[0][:m] for i, m, feeds in self.batches(len(x), batch, c)]
        return np.concatenate(parts).astype(np.float64)


def parts_from(described, texts):
    """What --condition stands for: named parts as NAME=VALUE or NAME=FILE (.npy, .json), or one .json file of them."""
    parts, values = {part["name"]: part for part in (described or {}).get("parts", ())}, {}
    require(parts, "the model has no named parts: give its class or vector by --class")
    if len(texts) == 1 and "=" not in texts[0]:
        named = json.loads(pathlib.Path(texts[0]).read_text("utf-8"))
        return {name: named[name] for name in parts if name in named}
    for name, _, value in (text.partition("=") for text in texts):
        require(name in parts, f"--condition {name} is not a part of the condition; there are {', '.join(parts)}")
        require(name not in values, f"--condition {name} is given twice")
        kind, path = parts[name]["modality"], pathlib.Path(value)
        spelt = parts[name].get("alphabet") or parts[name].get("labels")
        if path.suffix in (".npy", ".json"):
            values[name] = np.load(path) if path.suffix == ".npy" else json.loads(path.read_text("utf-8"))
        elif kind == "classes" or (kind == "tokens" and spelt):
            values[name] = value
        else:
            values[name] = [(int if kind == "tokens" else float)(number) for number in value.split(",")]
    return values


def main(cli, model):
    """The command line, for a model constructed from the arguments."""
    options = ("-n", "n", int, 1), ("--seed", "seed", int, 0), ("--guidance", "guidance", float, None)
    files = ("--class", "label", str, None), ("--table", "table", str, None), ("--score", "score", str, None)
    for flag, name, kind, value in (*options, *files, ("-o", "o", str, "samples.npy")):
        cli.add_argument(flag, dest=name, type=kind, default=value)
    cli.add_argument("--temperature", type=float)
    cli.add_argument("--fused", action="store_true")
    for flag in ("--condition", "--negative"):
        cli.add_argument(
            flag, action="append", metavar="PART=VALUE", help=parts_from.__doc__ if flag == "--condition" else None
        )
    cli.add_argument("--compose", action="append", metavar="CONDITION:WEIGHT", help="parts are separated by semicolons")
    args = cli.parse_args()
    try:
        require(not (args.compose and (args.condition or args.label)), "--compose excludes --condition and --class")
        require(not (args.condition and args.label), "--condition and --class exclude each other")
        opened = model(args)
        opened.temperature = args.temperature
        described = opened.manifest["condition"]
        condition = parts_from(described, args.condition) if args.condition else args.label
        many = "parts" in (described or ())
        negative = args.negative and (parts_from(described, args.negative) if many else args.negative[0])
        pairs = [text.rpartition(":")[::2] for text in args.compose or ()]
        require(all(map(all, pairs)), "--compose takes a condition and its weight, CONDITION:WEIGHT")
        compose = [(parts_from(described, c.split(";")) if many else c, float(w)) for c, w in pairs] or None
        if args.score:
            return print(*opened.log_prob(np.load(args.score), condition, args.seed), sep="\n")
        x = opened.sample(args.n, args.seed, condition, args.table, args.guidance, args.fused, 64, negative, compose)
        np.save(args.o, x)
        print(f"{args.o}: float32 {list(x.shape)}, {x.min():.3g} to {x.max():.3g}, seed {args.seed}")
    except Exception as error:  # of any kind, including those of ONNX Runtime
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--bundle", default=pathlib.Path(__file__).parent / "bundle")
    main(cli, lambda args: Model(args.bundle))
