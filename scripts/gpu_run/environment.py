"""What the processes of a run need: genzoo's packages and plugins on their path, and what is known of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import tomllib
from importlib import metadata, util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("numpy", "torch", "triton", "onnx", "onnxruntime", "onnxruntime-gpu", "tensorrt")


def make_importable(scratch: Path) -> dict[str, str]:
    """Put genzoo on the path of this process, with the entry points of its plugins; returns the children's environment.

    A checkout that is not installed has no entry points, so a folder with those of ``pyproject.toml`` stands in.
    """
    folders = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "exporters")]
    try:
        installed = any(each.group == "zoo" for each in metadata.distribution("genzoo").entry_points)
    except metadata.PackageNotFoundError:
        installed = False
    if not installed or util.find_spec("zoo_flows") is None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        about = scratch / "entry" / f"genzoo-{project['version']}.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: genzoo\nVersion: {project['version']}\n")
        points = project["entry-points"]["zoo"].items()
        (about / "entry_points.txt").write_text("[zoo]\n" + "".join(f"{name} = {module}\n" for name, module in points))
        folders.append(str(about.parent))
    # behind what PYTHONPATH names, where onnxruntime-gpu may be
    inherited = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[1:1] = [each for each in folders if each not in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*inherited, *folders]), "PYTHONUNBUFFERED": "1"}


def machine() -> dict[str, Any]:
    """Date, commit, versions, processor and GPU, without importing torch."""
    facts = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"),
    }
    return {**facts, "versions": {name: version for name in PACKAGES if (version := _version(name))}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
