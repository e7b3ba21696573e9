"""Two tiers of tests: the quick one, which is what runs, and the whole of each table with ``--full``."""


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the whole of every table, not a fixed sample of it")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
