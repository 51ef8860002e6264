"""What the executors have: told in words, and an error where packages lack."""

import socket
from dataclasses import replace

import pytest

from synalign_spark.errors import DistributedError
from synalign_spark.spark import executors
from synalign_spark.spark.executors import Found, examine_executors, in_words

HERE = Found("driver", "3.11.7", {"numpy": "2.1.0", "torch": "2.6.0"}, 15.6, 4, 1_000.0)
ASKED = (999.0, 1_001.0)


def words(*found, needed=("numpy", "torch")):
    return in_words(found, HERE, needed, ASKED)


def test_every_machine_is_named_once_and_what_differs_there():
    a, b = replace(HERE, host="a"), replace(HERE, host="b", python="3.11.9", packages={"numpy": "2.3.1", "torch": "2.6.0"})
    assert words(a, a) == "Python on 1 machine (a 3.11.7, 4 cores, 16 GB) with the driver's packages"
    assert words(b, a, a) == (
        "Python on 2 machines (a 3.11.7, 4 cores, 16 GB, b 3.11.9, 4 cores, 16 GB); b has Python 3.11.9, the driver 3.11.7; "
        "b has numpy 2.3.1, the driver 2.1.0"
    )


@pytest.mark.parametrize(("clock", "said"), [(1_030.0, ""), (970.0, ""), (1_061.0, "a is 60 s off"), (900.0, "a is 99 s off")])
def test_a_clock_that_is_off_is_told(clock, said):
    found = words(replace(HERE, host="a", clock=clock))
    assert (f"the clock of {said} the driver's" in found) if said else ("clock" not in found)


def test_packages_that_lack_on_some_machine_are_an_error_with_its_name():
    bare = replace(HERE, host="b", packages={"numpy": "2.1.0"})
    with pytest.raises(DistributedError, match=r"lacks packages: b has no torch; install them there"):
        words(replace(HERE, host="a"), bare)
    assert "with the driver's packages" in words(bare, needed=["numpy"])


def test_the_function_runs_on_the_executors(spark, monkeypatch):
    assert f"Python on 1 machine ({socket.gethostname()} " in examine_executors(spark, local_model=False)
    monkeypatch.setattr(executors, "PACKAGES", ("numpy", "a-package-that-nobody-has"))
    with pytest.raises(DistributedError, match="has no a-package-that-nobody-has"):
        examine_executors(spark, local_model=False)
