"""Several processes train what one trains: the same losses, whatever a model draws; and a failure ends all of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402 - after the check for torch

from zoo import weights  # noqa: E402
from zoo.errors import UsageError  # noqa: E402
from zoo.models.sharing import Share, gathered, of_batch, var_mean  # noqa: E402
from zoo.training import kept  # noqa: E402
from zoo.training.log import read  # noqa: E402
from zoo.training.processes import Processes  # noqa: E402

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import together  # noqa: E402

if not torch.distributed.is_available():
    pytest.skip("this torch cannot train with several processes", allow_module_level=True)

#: with autoencoders, whose deviation is a number of no dimension
WHOLE = ("kl-autoencoder", "latent")
#: with what needs whole parameters, or whole models
ALONE_IN_WHOLE = ("mlp-lion", "mlp-muon", "mlp-schedule-free", "mlp-snapshots")
QUICK = ("mlp", "mlp-parts", "maf-batchnorm", "masked", "mlp-in-parts")


class Rows(Processes):
    """One of several processes, which the others are told of rather than asked."""

    def __init__(self, rank, size, whole=None):
        super().__init__(rank, size)
        self.all_rows = whole

    def whole(self, values, rows, count):
        torch.testing.assert_close(values, self.all_rows[rows])
        return self.all_rows


def draw_all(n):
    """Everything that models draw, for a batch of ``n``."""
    x = torch.linspace(-1, 1, 7)[:n, None].expand(n, 3).contiguous()
    probabilities = torch.linspace(0.1, 0.9, 7)[:n, None].expand(n, 3).contiguous()
    return x, probabilities


DRAWS = {
    "rand": lambda x, p: torch.rand(len(x), 2),
    "rand-size": lambda x, p: torch.rand((len(x), 2)),
    "rand-one": lambda x, p: torch.rand(len(x)),
    "randn": lambda x, p: torch.randn(len(x), 2, dtype=torch.float64),
    "randn-like": lambda x, p: torch.randn_like(x),
    "rand-like": lambda x, p: torch.rand_like(x),
    "randint": lambda x, p: torch.randint(0, 9, (len(x), 4)),
    "randint-size": lambda x, p: torch.randint(9, size=(len(x),)),
    "normal": lambda x, p: torch.normal(0.0, 1.0, (len(x), 2)),
    "normal-of": lambda x, p: torch.normal(x, p),
    "bernoulli": lambda x, p: torch.bernoulli(p),
    "multinomial": lambda x, p: torch.multinomial(p, 2),
    "dropout": lambda x, p: F.dropout(x, 0.5),
    "module": lambda x, p: torch.nn.Dropout(0.3)(x),
    "gumbel": lambda x, p: F.gumbel_softmax(x),
    "filled": lambda x, p: torch.empty_like(x).normal_(),
    "uniform": lambda x, p: torch.empty(len(x), 2).uniform_(2, 3),
    "permuted": lambda x, p: of_batch(len(x), torch.randperm),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("size", [2, 3])
def test_a_process_draws_its_rows_of_what_one_would_draw(name, size):
    x, p = draw_all(7)
    torch.manual_seed(0)
    expected = torch.rand(()), DRAWS[name](x, p), torch.rand(5)
    parts = []
    for rank in range(size):
        rows = Processes(rank, size).rows(7)
        torch.manual_seed(0)
        with Share(rows, 7, Rows(rank, size)):
            before, drawn, after = torch.rand(()), DRAWS[name](x[rows], p[rows]), torch.rand(5)
        # what is no batch's is the same for all, and the generator goes on alike
        assert torch.equal(before, expected[0])
        assert torch.equal(after, expected[2])
        parts.append(drawn)
    assert torch.equal(torch.cat(parts), expected[1])


def test_rows_and_weights_cover_a_batch_of_any_size():
    for size in (1, 2, 3, 5):
        for count in range(1, 12):
            everyone = [Processes(rank, size) for rank in range(size)]
            assert sum(each.weight(count) for each in everyone) == pytest.approx(1.0)
            rows = [range(count)[each.rows(count)] for each in everyone]
            if count >= size:
                assert [i for part in rows for i in part] == list(range(count))
                assert [each.weight(count) for each in everyone] == [len(part) / count for part in rows]
            else:
                assert all(list(part) == list(range(count)) for part in rows)


def test_what_depends_on_a_whole_batch_is_computed_of_all_of_it():
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    for rank in range(2):
        rows = Processes(rank, 2).rows(7)
        with Share(rows, 7, Rows(rank, 2, x)):
            whole, own = gathered(x[rows])
            assert torch.equal(whole, x)
            assert own == rows


def test_attention_that_drops_out_by_itself_is_refused():
    q = torch.randn(2, 1, 4, 8)
    with Share(slice(0, 2), 4, Rows(0, 2)), pytest.raises(UsageError, match="drops out"):
        F.scaled_dot_product_attention(q, q, q, dropout_p=0.1)
    with Share(slice(0, 2), 4, Rows(0, 2)):
        assert F.scaled_dot_product_attention(q, q, q).shape == q.shape


def test_alone_nothing_changes():
    assert var_mean(torch.ones(4, 2, 3))[1].tolist() == [1.0, 1.0]
    assert of_batch(3, torch.arange).tolist() == [0, 1, 2]
    assert Processes().any(True)
    assert not Processes().any(False)


# -- real processes ----------------------------------------------------------------------------------------------------


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(*arguments, size=2, cwd=None):
    """Processes of one run, each with its environment as torchrun makes it."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port()), "WORLD_SIZE": str(size), "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(HERE), *sys.path])
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, **where, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        for rank in range(size)
    ]


def finish(processes, timeout=500):
    """Exit codes, and what each said on stderr."""
    try:
        said = [each.communicate(timeout=timeout)[1] for each in processes]
    finally:
        for each in processes:
            each.kill()
            each.communicate()
    return [each.returncode for each in processes], said


def compare(found, expected, tolerance):
    assert len(found) == len(expected) > 0
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, rel=tolerance, abs=tolerance), (theirs["step"], name)


def check_cases(folder, names):
    """Two processes against one, in float64, where rounding is far below any other difference."""
    together.main(folder / "one", "{}", *dict.fromkeys(name.removesuffix("-in-parts") for name in names))
    codes, said = finish(start(HERE / "together.py", folder / "two", "{}", *names))
    assert codes == [0, 0], said
    for name in names:
        found, expected = folder / "two" / name, folder / "one" / name.removesuffix("-in-parts")
        # one casts to float32 for its loss
        compare(read(found / "log.jsonl"), read(expected / "log.jsonl"), 1e-6)


def test_two_processes_train_what_one_trains(tmp_path):
    check_cases(tmp_path, QUICK)


@pytest.mark.full
def test_every_architecture_is_trained_by_two_processes(tmp_path):
    names = {item for item, *_ in together.CASES.values()}
    from zoo.registry import installed

    assert names == {each.description.name for each in installed().items("architecture") if each.plugin.builtin}
    check_cases(tmp_path, [name for name in together.CASES if name not in QUICK])


@pytest.mark.full
def test_every_architecture_is_trained_in_parts(tmp_path):
    names = [name for name in together.CASES if name not in ("mlp", *WHOLE, *ALONE_IN_WHOLE)]
    check_cases(tmp_path, [f"{name}-in-parts" for name in names])


@pytest.mark.full
def test_two_processes_are_interrupted_with_any_optimizer_and_end_with_the_same_bytes(tmp_path):
    pytest.importorskip("pytorch_optimizer")
    names = ("mlp", *ALONE_IN_WHOLE)
    check_cases(tmp_path, names)
    for settings in ('{"stop": 2}', "{}"):
        codes, said = finish(start(HERE / "together.py", tmp_path / "parts", settings, *names))
        assert codes == [0, 0], said
    for name in names:
        whole, parts = tmp_path / "two" / name, tmp_path / "parts" / name
        for each in sorted(whole.rglob("*.*")):
            if each.is_file() and each.name != kept.CHECKPOINT_FILE:  # which has the time that it took
                assert each.read_bytes() == (parts / each.relative_to(whole)).read_bytes(), each


FROM_PYTHON = """
import sys
import numpy as np
import zoo

x = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
x[:, 1] += x[:, 0] ** 2
config = {"transforms": 1, "hidden": 4, "blocks": 1, "bins": 4}
model = zoo.train("nsf-coupling", x, config=config, steps=30, batch_size=50, log_every=1, output=sys.argv[1])
assert not model.training
"""


@pytest.mark.full
def test_zoo_train_under_two_processes_is_that_of_one(tmp_path):
    (tmp_path / "train.py").write_text(FROM_PYTHON)
    for name, size in (("one", 1), ("two", 2)):
        codes, said = finish(start(tmp_path / "train.py", name, size=size, cwd=tmp_path))
        assert set(codes) == {0}, said
    compare(read(tmp_path / "two" / "log.jsonl"), read(tmp_path / "one" / "log.jsonl"), 1e-5)
    same_weights(tmp_path / "two", tmp_path / "one")
    # without a folder that all can read, each says so
    (tmp_path / "train.py").write_text(FROM_PYTHON.replace("sys.argv[1]", "None"))
    codes, said = finish(start(tmp_path / "train.py", cwd=tmp_path))
    assert 0 not in codes
    assert any("name an output" in each for each in said)


@pytest.mark.full
def test_a_finished_run_in_parts_goes_on_with_two_processes(folder):
    settings = ["--set", "training.shard=true", "--set", "training.schedule=constant"]
    for name, steps in (("whole", "12"), ("parts", "9")):
        codes, said = finish(zoo("train", "tiny.toml", "-o", name, *settings, "--steps", steps, cwd=folder))
        assert codes == [0, 0], said
    codes, said = finish(zoo("train", "parts", "--extend", "3", cwd=folder))
    assert codes == [0, 0], said
    # but for the evaluation at the end of the shorter run
    found = [line for line in read(folder / "parts" / "log.jsonl") if line["step"] != 9]
    compare(found, [line for line in read(folder / "whole" / "log.jsonl") if line["step"] != 9], 1e-12)
    assert (folder / "parts" / "weights.safetensors").read_bytes() == (
        folder / "whole" / "weights.safetensors"
    ).read_bytes()


@pytest.mark.full
@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_kept_in_parts_is_refused_by_name(tmp_path, name):
    codes, said = finish(start(HERE / "together.py", tmp_path, "{}", f"{name}-in-parts"))
    assert codes == [1, 1]
    told = "parameters of no dimension cannot be kept in parts, such as"
    assert sum(told in each for each in said) == 1


RECIPE = """
name = "tiny"
[model]
architecture = "nsf-coupling"
config = { event_shape = [2], transforms = 1, hidden = 4, blocks = 1, bins = 4 }
[data]
name = "checkerboard"
options = { train = 200, validation = 100, test = 100 }
[training]
steps = 60
batch_size = 50
evaluate_every = 20
checkpoint_every = 5
ema = 0.9
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path


def zoo(*arguments, size=2, cwd):
    return start("-m", "zoo", *arguments, size=size, cwd=cwd)


def alone(*arguments, cwd):
    codes, said = finish(zoo(*arguments, size=1, cwd=cwd))
    assert codes == [0], said
    return said[0]


def until(path, processes):
    """Wait for a checkpoint."""
    deadline = time.monotonic() + 300
    while not path.exists() and time.monotonic() < deadline and all(each.poll() is None for each in processes):
        time.sleep(0.02)
    assert path.exists(), [each.communicate()[1] for each in processes if each.poll() is not None]


def sentences(said):
    """The errors that were told, of all processes."""
    return [line for each in said for line in each.splitlines() if line.startswith("Error:")]


def same_weights(one, other):
    one, other = (weights.read(each / "weights.safetensors") for each in (one, other))
    for name, array in one.items():
        np.testing.assert_allclose(other[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_process_ends_all_with_a_sentence_and_the_run_goes_on(folder, which):
    command = ("train", "tiny.toml", "-o", "two", "--steps", "400")
    processes = zoo(*command, cwd=folder)
    until(folder / "two" / kept.CHECKPOINT_FILE, processes)
    processes[which].send_signal(signal.SIGKILL)
    codes, said = finish(processes)
    assert codes[which] == -signal.SIGKILL
    assert codes[1 - which] == 1
    assert sentences(said) == ["Error: another process of this run has ended without a word"]
    # the lock of a killed run locks nothing
    assert "resuming from" in alone(*command, cwd=folder)
    alone("train", "tiny.toml", "-o", "whole", "--steps", "400", cwd=folder)
    compare(read(folder / "two" / "log.jsonl"), read(folder / "whole" / "log.jsonl"), 1e-5)


@pytest.mark.full
@pytest.mark.parametrize("shard", ["false", "true"])
def test_two_are_interrupted_and_one_goes_on_and_the_other_way_round(folder, shard):
    settings = ["--set", f"training.shard={shard}"]
    checkpoint = kept.CHECKPOINT_IN_PARTS if shard == "true" else kept.CHECKPOINT_FILE
    alone("train", "tiny.toml", "-o", "whole", cwd=folder)
    for name, size in (("two-one", 2), ("one-two", 1)):
        processes = zoo("train", "tiny.toml", "-o", name, *settings, size=size, cwd=folder)
        until(folder / name / checkpoint, processes)
        for each in processes:
            each.send_signal(signal.SIGINT)
        codes, said = finish(processes)
        assert set(codes) == {130}, said
        assert sum("interrupted; the checkpoint is in" in each for each in said) == 1
        assert not list((folder / name).rglob("*.distcp"))
        codes, said = finish(zoo("train", "tiny.toml", "-o", name, *settings, size=3 - size, cwd=folder))
        assert set(codes) == {0}, said
        assert "resuming from" in said[0]
        assert said[1:] == [""] * (len(said) - 1)
        compare(read(folder / name / "log.jsonl"), read(folder / "whole" / "log.jsonl"), 1e-5)
        same_weights(folder / name, folder / "whole")
        parts = [each.name for each in (folder / name).iterdir() if each.is_dir()]
        assert parts == (["checkpoint-0000060"] if shard == "true" else [])
    # and both go on once they have finished
    alone("train", "one-two", "--extend", "3", cwd=folder)
    assert read(folder / "one-two" / "log.jsonl")[-1]["step"] == 63


@pytest.mark.full
def test_a_failure_in_one_process_ends_all_with_one_sentence(folder):
    (folder / "failing.py").write_text(
        "import os, time\nfrom zoo.errors import DataError\n"
        "def rows():\n"
        "    if os.environ['RANK'] == '1':\n"
        "        raise DataError('the disk of this machine is gone')\n"
        "    import numpy as np\n"
        "    return np.random.default_rng(0).normal(size=(200, 2)).astype('float32')\n"
    )
    codes, said = finish(zoo("train", "nsf-coupling", "--data", "failing:rows", "--steps", "5", cwd=folder))
    assert codes == [1, 1]
    assert sentences(said) == ["Error: the disk of this machine is gone"]


@pytest.mark.full
def test_torchrun_starts_them(folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = ["-m", "zoo", "train", "tiny.toml", "-o", "two", "--samples-every", "30", "--json"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "tiny"
    assert len(list((folder / "two" / "samples").iterdir())) == 2
    alone("train", "tiny.toml", "-o", "whole", cwd=folder)
    compare(read(folder / "two" / "log.jsonl"), read(folder / "whole" / "log.jsonl"), 1e-5)
    same_weights(folder / "two", folder / "whole")
