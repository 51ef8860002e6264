"""Fixtures that many tests share: one Spark session, and where the real data sets are."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from jobs.session import start_spark
from synalign_spark.config import Config

# A shared machine has no steady clock: a slow first example is not a fault of the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

DATA = Path(os.environ.get("SYNALIGN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """One Spark session with Delta, two task threads."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    cfg = Config.model_validate(
        {
            "source": {"path": "unused"},
            "spark": {"master": "local[2]", "driver_memory": "2g", "conf": {"spark.sql.warehouse.dir": str(warehouse)}},
        }
    )
    session = start_spark(cfg)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real corpora; skips where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data sets at {DATA}; set SYNALIGN_DATA to their folder")
    return DATA
