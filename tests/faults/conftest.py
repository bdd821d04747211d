import signal

import pytest
from faults import Commands

# Where the tests run in a shell's background, Ctrl-C would be ignored by all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    made = Commands(tmp_path_factory.mktemp("said"))
    yield made
    made.close()
