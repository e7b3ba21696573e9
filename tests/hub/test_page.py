"""The commands of docs/hub.md, one after another and as they stand, but for the names that stand for the reader's."""

import re
import shlex
from hashlib import sha256
from pathlib import Path

import pytest

from zoo.registry import installed

PAGE = Path(__file__).parents[2] / "docs" / "hub.md"

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def commands():
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    return [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]


def test_every_command_of_the_page_runs(hub, zoo, pack, tmp_path, monkeypatch):
    folder = installed().model("moons-nsf").folder
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.add("ORG/NAME", files)
    hub.repositories["ORG/NAME"].refs["v1.0"] = hub.repositories["ORG/NAME"].refs["main"]
    hub.plain["digits.zip"] = archive = pack(files)
    (tmp_path / "digits.zip").write_bytes(archive)
    for name, content in files.items():
        (tmp_path / "runs" / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / "people" / name).write_bytes(content)
    monkeypatch.setenv("HF_TOKEN", "good")
    address = f"{hub.endpoint}/files/digits.zip#sha256={sha256(archive).hexdigest()}"
    stands_for = {"https://example.org/digits.zip#sha256=DIGEST": address}
    assert len(commands()) >= 11
    for number, command in enumerate(commands()):
        program, *arguments = shlex.split(command, comments=False)
        assert program == "zoo"
        arguments = [stands_for.get(each, each) for each in arguments]
        if arguments[0] == "run" and "-o" not in arguments:
            arguments += ["-n", "4", "-o", f"{number}.npy"]  # the file that it would be written to is there by then
        done = zoo(*arguments)
        assert done.exit_code == 0, f"{command}\n{done.output}"
    assert "ORG/people" in hub.repositories
    for written in ("samples.png", "folder/card.json", "look/README.md"):
        assert (tmp_path / written).exists()
