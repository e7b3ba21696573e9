"""What the hooks of this plugin promise: `pytest`, or `zoo check-plugin plugin_name` for the same in a table."""

from zoo.testing import parametrize_with_checks


@parametrize_with_checks("plugin_name")
def test_plugin(check):
    check()
