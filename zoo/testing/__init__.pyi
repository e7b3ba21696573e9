"""The names of :mod:`zoo.testing`, each with the module that it is loaded from when it is first used."""

from zoo.testing.check import Outcome as Outcome
from zoo.testing.check import PluginCheck as PluginCheck
from zoo.testing.check import Report as Report
from zoo.testing.collecting import check_model as check_model
from zoo.testing.collecting import check_plugin as check_plugin
from zoo.testing.collecting import checks as checks
from zoo.testing.collecting import parametrize_with_checks as parametrize_with_checks
