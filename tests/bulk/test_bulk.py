"""Samples and log-densities in bulk: the shards of one call, whoever makes them, and none of them twice."""

import contextlib
import doctest
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("onnxruntime")

sys.path.insert(0, str(Path(__file__).parent))

from workers import Dying, Hopeless

from zoo import runtime
from zoo.bulk import engines, running
from zoo.bulk.job import Sampling, Worker
from zoo.cli import _group
from zoo.errors import DataError, RuntimeFailure, UsageError
from zoo.files import sha256
from zoo.registry import installed
from zoo.render import shards as stored
from zoo.render.metadata import about
from zoo.render.read import read_samples
from zoo.render.shards import MANIFEST_FILE
from zoo.runtime import Device
from zoo.runtime.loading import bundle_folder


def zoo(*args, code=0):
    done = CliRunner().invoke(_group.cli, [str(a) for a in args])
    assert done.exit_code == code, done.stderr
    return done.stderr


def here(job, tasks, workers):
    """An engine of this process, whose shards are finished in another order than they were asked for in."""
    worker = Worker(job)
    yield from [worker.make(task) for task in tasks][::-1]


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """The command line's engine is this process, where a test does not want others."""
    if "processes" not in request.keywords:
        monkeypatch.setattr(engines, "local", here)


def shards(folder, event_shape, modality=None):
    """The samples and conditions of a folder, in the order of its manifest."""
    stated = json.loads((folder / MANIFEST_FILE).read_text())
    assert stated["complete"]
    assert [each["first"] for each in stated["shards"]] == [
        i * stated["shard_size"] for i in range(len(stated["shards"]))
    ]
    for each in stated["shards"]:
        assert sha256(folder / each["file"]) == each["sha256"]
    read = [read_samples(folder / each["file"], event_shape, modality) for each in stated["shards"]]
    return np.concatenate([x for x, _ in read]), [condition for _, condition in read]


def test_a_part_of_the_samples_is_that_of_all():
    model = runtime.load("moons-nsf", Device("cpu", 1))
    whole = model.sample(50, seed=3)
    for part in (slice(0, 7), slice(7, 50), slice(49, 50)):
        np.testing.assert_array_equal(model.sample(50, seed=3, part=part), whole[part])
    for part in (slice(50, 60), slice(3, 3), slice(0, 9, 2)):
        with pytest.raises(UsageError, match="a part of 50 samples"):
            model.sample(50, seed=3, part=part)


def test_a_part_of_a_diffusion_s_samples_has_its_conditions_and_noise():
    model = runtime.load("mnist-unet", Device("cpu", 1))
    asked = {"seed": 1, "steps": 2, "sampler": "ddpm", "guidance": 2.0}
    # every class in turn, and fresh noise at every step
    whole = model.sample(6, **asked)
    np.testing.assert_allclose(model.sample(6, part=slice(3, 6), **asked), whole[3:], atol=1e-3)


def test_data_scored_in_several_calls_have_the_noise_of_one():
    model = runtime.load("digits-nsf", Device("cpu", 1))
    x = np.random.default_rng(0).integers(0, 17, (12, *model.event_shape))
    condition = np.arange(12) % 10 if model.condition is not None else None

    def some(part):
        return model.log_prob(x[part], condition=None if condition is None else condition[part], first=part.start)

    whole = model.log_prob(x, condition=condition)
    np.testing.assert_allclose(np.concatenate([some(slice(0, 5)), some(slice(5, 12))]), whole, rtol=1e-6)
    assert not np.allclose(model.log_prob(x[5:], condition=None if condition is None else condition[5:]), whole[5:])


@pytest.mark.parametrize("form", ["safetensors", "parquet", "npy"])
def test_shards_are_the_samples_of_one_call(tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    command = ("run", "moons-nsf", "-n", 25, "--seed", 5, "--engine", "local", "--shard-size", 10)
    zoo(*command, "-o", tmp_path / "out", "--format", form)
    x, _ = shards(tmp_path / "out", (2,))
    np.testing.assert_array_equal(x, runtime.load("moons-nsf", Device("cpu", 1)).sample(25, seed=5))
    assert about(tmp_path / "out" / f"shard-000001.{form}")["first"] == 10


def test_the_temperature_is_that_of_one_call(tmp_path):
    command = ("run", "moons-nsf", "-n", 3, "--seed", 5, "--engine", "local", "--shard-size", 1)
    said = zoo(*command, "--temperature", 0.3, "-o", tmp_path / "out", "--format", ".NPY")
    assert "temperature 0.3: tidier and less varied than the model's density" in said
    assert "3 rows in 3 shards" in said
    x, _ = shards(tmp_path / "out", (2,))
    np.testing.assert_array_equal(x, runtime.load("moons-nsf", Device("cpu", 1)).sample(3, seed=5, temperature=0.3))
    assert "shards of another run: asked" in zoo(*command, "-o", tmp_path / "out", "--format", "npy", code=1)
    zoo("run", "moons-rectified-flow", "-n", 3, "--engine", "local", "--temperature", 1, "-o", tmp_path / "no", code=2)
    assert not (tmp_path / "no").exists()
    assert "1 row in 1 shard in" in zoo("run", "moons-nsf", "-n", 1, "--engine", "local", "-o", tmp_path / "one")


def test_rows_of_a_table_and_conditions_are_those_of_one_file(tmp_path):
    pytest.importorskip("pyarrow")
    modality = runtime.load("wine-mlp").modality
    command = ("run", "wine-mlp", "-n", 9, "--seed", 5, "--steps", 2)
    zoo(*command, "-o", tmp_path / "one.csv")
    zoo(*command, "-o", tmp_path / "one.parquet")
    zoo(*command, "--engine", "local", "--shard-size", 4, "-o", tmp_path / "out")
    expected, _ = read_samples(tmp_path / "one.csv", (14,), modality)
    np.testing.assert_array_equal(read_samples(tmp_path / "one.parquet", (14,), modality)[0], expected)
    np.testing.assert_allclose(shards(tmp_path / "out", (14,), modality)[0], expected, rtol=1e-5)

    command = ("run", "mnist-unet", "-n", 4, "--seed", 5, "--steps", 1, "--class", "3,7")
    zoo(*command, "--engine", "local", "--shard-size", 3, "-o", tmp_path / "digits")
    _, conditions = shards(tmp_path / "digits", (1, 28, 28))
    assert np.concatenate(conditions).tolist() == [3, 7, 3, 7]


def test_scores_are_those_of_one_call(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    zoo("run", "wine-mlp", "-n", 9, "--seed", 5, "--steps", 2, "-o", tmp_path / "x.parquet")
    score = ("run", "wine-mlp", "--log-prob", tmp_path / "x.parquet", "--steps", 2, "-O", "probes=1")
    bulk = (*score, "--engine", "local", "--shard-size", 4, "--format", "parquet")
    zoo(*score, "-o", tmp_path / "one.npy")
    zoo(*bulk, "-o", tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.parquet"))
    values = np.concatenate([parquet.read_table(file)["log_prob"].to_numpy() for file in files])
    np.testing.assert_allclose(values, np.load(tmp_path / "one.npy"), rtol=1e-5)
    stated = json.loads((tmp_path / "out" / MANIFEST_FILE).read_text())
    assert stated["data"]["sha256"] == sha256(tmp_path / "x.parquet")
    given = [str(each) for each in ("run", "wine-mlp", "--log-prob", "-", *bulk[4:], "-o", tmp_path / "piped")]
    for kept in ("", "9 of which were there"):  # data from stdin are the same data each time
        done = CliRunner().invoke(_group.cli, given, input=(tmp_path / "x.parquet").read_bytes())
        assert (done.exit_code, kept in done.stderr) == (0, True), done.stderr
    zoo(*bulk, "-O", "errors=true", "-o", tmp_path / "errors")
    names = parquet.read_schema(tmp_path / "errors" / files[0].name).names
    assert set(names) == {"log_prob", "numerical_error", "standard_error", "error"}


def test_shards_that_are_there_are_kept_and_others_made(tmp_path):
    command = ("run", "moons-nsf", "-n", 50, "--engine", "local", "--shard-size", 10, "-o", tmp_path / "out")
    said = zoo(*command)
    assert "seed " in said
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("shard*")}
    (tmp_path / "out" / "shard-000001.safetensors").unlink()
    (tmp_path / "out" / "shard-000003.safetensors").write_bytes(b"damaged")
    untouched = (tmp_path / "out" / "shard-000002.safetensors").stat().st_mtime_ns
    said = zoo(*command)  # with the seed of the manifest
    assert "50 rows in 5 shards, 30 of which were there" in said
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("shard*")} == before
    assert (tmp_path / "out" / "shard-000002.safetensors").stat().st_mtime_ns == untouched
    assert "50 of which were there" in zoo(*command)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--seed", 2], "seed was 1 and is 2"),
        (["-n", 51], "n was 50 and is 51"),
        (["--shard-size", 9], "shard_size was 10 and is 9"),
        (["--format", "npy"], 'shard_format was "safetensors" and is "npy"'),
        (["--batch-size", 3], "batch_size was null and is 3"),
    ],
)
def test_shards_of_another_run_are_neither_mixed_nor_lost(tmp_path, changed, told):
    folder = tmp_path / "out"
    command = ["run", "moons-nsf", "-n", 50, "--seed", 1, "--engine", "local", "--shard-size", 10, "-o", folder]
    zoo(*command)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert told in zoo(*command, *changed, code=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    zoo(*command, *changed, "--force")
    assert json.loads((folder / MANIFEST_FILE).read_text())["complete"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-n", 5, "--engine", "local"], "--engine writes shards into a folder"),
        (["--engine", "local", "-o", "x"], "as many samples as -n says"),
        (["-n", 5, "--engine", "local", "-o", "x.csv"], "-o x --format csv writes shards of that format"),
        (["-n", 5, "--workers", 2], "--workers is for --engine"),
        (["-n", 5, "--engine", "local", "-o", "x", "--previews", "p.npy"], "takes no --previews"),
        (["-n", 5, "--engine", "abacus", "-o", "x"], "no engine named 'abacus'"),
        (["-n", 5, "--engine", "local", "-o", "x", "--format", "foo"], "is not a known format"),
        (["--log-prob", "x.npy", "--engine", "local", "-o", "x", "--format", "npy"], "parquet or safetensors"),
    ],
)
def test_what_does_not_go_with_an_engine_is_refused(tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    assert told in zoo("run", "moons-nsf", *options, code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_manifest_is_one_sentence(tmp_path):
    for text in ("{", "[]", '{"format": "other", "version": 1}'):
        (tmp_path / MANIFEST_FILE).write_text(text)
        with pytest.raises(DataError, match="not the manifest"):
            stored.read(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text(
        json.dumps(
            {
                "format": "genzoo-shards",
                "version": 1,
                "complete": True,
                "command": "",
                "shards": [{"file": "../x", "first": 0, "rows": 1, "sha256": ""}],
            }
        )
    )
    with pytest.raises(DataError, match="not the manifest"):
        stored.read(tmp_path)


def job_of(kind, folder, n=40):
    return kind(bundle_folder("moons-nsf").resolve(), folder, Device("cpu", 1), ".safetensors", n, {"seed": 0})


def run(kind, folder, engine, workers=2):
    job = job_of(kind, folder)
    made = {"n": job.n, "shard_size": 10, "seed": 0}
    return running.run(job, made, engine, size=10, workers=workers)[0]


def test_what_was_made_before_a_failure_is_kept(tmp_path):
    def failing(job, tasks, workers):
        worker = Worker(job)
        for task in tasks:
            if task.number == 2:
                raise RuntimeFailure("the power is gone")
            yield worker.make(task)

    with pytest.raises(RuntimeFailure):
        run(Sampling, tmp_path, failing)
    left = stored.read(tmp_path)
    assert [each.first for each in left.shards] == [0, 10]
    assert not left.complete
    asked = []

    def noting(job, tasks, workers):
        worker = Worker(job)
        for task in tasks:
            asked.append(task.number)
            yield worker.make(task)

    assert run(Sampling, tmp_path, noting).complete
    assert asked == [2, 3]


def test_an_interruption_while_workers_are_started_comes_when_they_are():
    """A worker that is not yet one of the pool's would be ended by nobody, and the process wait for it at its end."""
    began = []

    def handler(number, frame):
        began.append("handled")
        raise KeyboardInterrupt

    def start():
        with engines._undisturbed():
            # at this thread: one of another library would take it, which blocks nothing
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            blocked.update(signal.pthread_sigmask(signal.SIG_BLOCK, []))
            began.append("started")

    before, blocked = signal.signal(signal.SIGTERM, handler), set()
    try:
        with pytest.raises(KeyboardInterrupt):
            start()
        assert began == ["started", "handled"]
        assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= blocked
        assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.full
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -signal.SIGKILL)])
def test_workers_end_with_the_process_that_shares_the_work(tmp_path, name, code):
    """At any time from the start of the first worker on, and without a word of theirs."""
    command = [sys.executable, "-m", "zoo", "-q", "run", "mnist-unet", "-n", "100000", "--engine", "local"]
    for wait in (0.0, 0.5, 5.0):
        process = subprocess.Popen(
            [*command, "--workers", "2", "--seed", "0", "-o", "shards"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        while not _session(process.pid, "multiprocessing.spawn"):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(wait)
        process.send_signal(getattr(signal, name))
        _, said = process.communicate(timeout=120)
        assert process.returncode == code
        if name != "SIGKILL":
            assert said.split() == ["Error:", "interrupted" if name == "SIGINT" else "terminated"]
        deadline = time.monotonic() + 60
        while _session(process.pid, "multiprocessing.spawn"):
            assert time.monotonic() < deadline, "a worker goes on"
            time.sleep(0.1)


def _session(number, words):
    """Whether a process of a session has these words in its command."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            session = path.read_text().rpartition(")")[2].split()[3]
            if session == str(number) and words.encode() in (path.parent / "cmdline").read_bytes():
                return True
    return False


@pytest.mark.processes
def test_a_killed_worker_loses_nothing(tmp_path):
    """Two processes, one of which is killed in the middle of a shard, against one that is not."""
    expected = run(Sampling, tmp_path / "one", here)
    found = run(Dying, tmp_path / "two", engines.local)
    assert (tmp_path / "two" / "died").exists()
    assert found == expected


@pytest.mark.processes
@pytest.mark.full
def test_workers_that_always_die_end_the_run(tmp_path):
    with pytest.raises(RuntimeFailure, match="times in a row a worker has ended"):
        run(Hopeless, tmp_path, engines.local, workers=1)


@pytest.mark.processes
@pytest.mark.full
def test_the_number_of_processes_changes_no_byte(tmp_path):
    command = ("run", "moons-nsf", "-n", 100, "--seed", 0, "--engine", "local", "--shard-size", 7)
    for workers in (1, 3):
        zoo(*command, "--workers", workers, "-o", tmp_path / str(workers))
    for path in (tmp_path / "1").glob("shard*"):
        assert path.read_bytes() == (tmp_path / "3" / path.name).read_bytes()


@pytest.mark.processes
@pytest.mark.full
def test_the_commands_of_the_page_say_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")
    (console,) = re.findall(r"^```console\n(.*?)^```$", page, re.M | re.S)
    commands = re.findall(r"^\$ zoo (.*)\n((?:(?!\$ ).*\n)*)", console, re.M)
    assert len(commands) == 2
    for command, told in commands:
        # what comes before is progress, as far as that takes long enough to be told, and warnings
        _, wrote, rest = zoo(*command.split()).partition("wrote ")
        said = wrote + rest
        same = doctest.OutputChecker().check_output
        assert same(told, said, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), said


@pytest.mark.processes
@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_ray_makes_the_same_shards_and_a_killed_worker_loses_nothing(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed")
    from zoo.bulk.on_ray import run as ray

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    expected = run(Sampling, tmp_path / "one", here)
    found = run(Dying, tmp_path / "two", ray, workers=3)
    assert (tmp_path / "two" / "died").exists()
    assert found == expected
    command = ("run", "moons-nsf", "-n", 40, "--seed", 0, "--engine", "ray", "--shard-size", 10)
    zoo(*command, "--workers", 2, "-o", tmp_path / "r")
    for shard in expected.shards:
        x, _ = read_samples(tmp_path / "r" / shard.file, (2,))
        np.testing.assert_array_equal(x, read_samples(tmp_path / "one" / shard.file, (2,))[0])


def test_engines_are_described_by_a_hook():
    names = [item.description.name for item in installed().items("engine")]
    assert names == ["local", "ray"]
    assert installed().load_entry(installed().engine("local")) is engines.local
