"""Samples of a model while it is trained, in files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from zoo.data import Dataset
from zoo.errors import OutputError
from zoo.files import reason_of
from zoo.models.interface import GenerativeModel

SAMPLES_FOLDER = "samples"
_COUNT, _SEED = 36, 0


class Sketches:
    """Writes samples every so many steps, always from the same noise, so that pictures show how they change.

    Args:
        folder: of the run; samples go into its folder ``samples``.
        data: the data, whose validation split has the conditions of the samples.
        every: steps between files.
        writes: whether this process writes; others only take part in drawing, as a model kept in parts needs.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, data: Dataset, every: int, writes: bool = True) -> None:
        self.folder, self.data, self.every, self.writes = folder / SAMPLES_FOLDER, data, every, writes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {self.folder}: {reason_of(error)}") from error

    @torch.no_grad()
    def draw(self, step: int, model: GenerativeModel) -> None:
        """Write samples after some of the steps: a picture where they can be drawn, else a table, a text or numbers.

        The model and torch's generator are left as they were.
        """
        from zoo.render.files import Extras, default_suffix, write

        if step % self.every or not model.samples:
            return
        described, validation = model.condition, self.data.validation
        n, condition = _COUNT, None
        if described is not None and described.kind != "classes":
            n = min(_COUNT, len(validation))
            condition = validation.condition_at(slice(n))
        was_training = model.training
        model.eval()
        try:
            with torch.random.fork_rng():
                drawn = model.sample(n, condition=condition, seed=_SEED)
        finally:
            model.train(was_training)
        if not self.writes:
            return
        modality = self.data.modality
        suffix = default_suffix(model.event_shape, modality)
        # parts may say where a path begins, and show the plane that it is in
        parts = condition if isinstance(condition, Mapping) else None
        extras = Extras(parts, levels=self.data.levels, modality=modality, length=model.length)
        write(
            np.asarray(drawn.cpu().numpy(), np.float32), self.folder / f"step-{step:07d}{suffix}", extras, replace=True
        )
