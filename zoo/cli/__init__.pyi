"""The command, and what commands share."""

from zoo.cli._app import App as App
from zoo.cli._app import json_option as json_option
from zoo.cli._app import pass_app as pass_app
from zoo.cli._commands import COMMANDS as COMMANDS
from zoo.cli._group import cli as cli
from zoo.cli._group import main as main
