import pytest
from faults import Commands


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    made = Commands(tmp_path_factory.mktemp("said"))
    yield made
    made.close()
