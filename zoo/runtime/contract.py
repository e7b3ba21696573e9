"""Whether a manifest's programs can be run: checked once by the runner of each, before anything runs."""

from __future__ import annotations

from zoo.bundle import Bundle
from zoo.errors import BundleError, MissingDependencyError, PluginError, UnknownNameError, ZooError
from zoo.runtime.runners import runner_of


def check(bundle: Bundle) -> None:
    """Refuse a manifest whose programs and graphs do not fit together.

    Raises:
        BundleError: with what does not fit.
    """
    manifest = bundle.manifest
    try:
        if manifest.sample is not None:
            runner_of(manifest.sample).check_sample(manifest, manifest.sample)
        if manifest.log_prob is not None:
            runner_of(manifest.log_prob).check_log_prob(manifest, manifest.log_prob)
        # a fused graph encodes the condition itself
        programs = [program for program in (manifest.sample, manifest.log_prob) if program is not None]
        if len({program.condition_encoder for program in programs}) > 1:
            raise BundleError("its programs encode the condition by different graphs")
        if manifest.fused is not None:
            runner_of(manifest.fused).check_sample(manifest, manifest.fused)
    except BundleError as error:
        raise BundleError(f"{bundle.folder} cannot be run: {error}", hint=error.hint) from error
    except (UnknownNameError, PluginError, MissingDependencyError) as error:
        # a plugin is missing or fails, and the manifest may well be right
        raise BundleError(f"{bundle.folder} cannot be run here: {error}", hint=error.hint) from error
    except (ZooError, TypeError, ValueError) as error:
        raise BundleError(f"{bundle.folder} cannot be run: its manifest is wrong: {error}") from error
