"""Every benchmark can be started: what it imports is there, and it says what it takes."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.mark.parametrize("script", sorted(BENCH.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_takes(script):
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
