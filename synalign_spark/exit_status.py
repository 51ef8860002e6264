"""How a run ends, by kind: the exit status that says why to whoever started it."""

from enum import IntEnum

from synalign_spark import errors
from synalign_spark.errors import SynalignError
from synalign_spark.extras import missing_extra
from synalign_spark.spark_errors import told_error


class Exit(IntEnum):
    """The exit statuses, by kind; docs/reference/command-line.md says what to do about each."""

    DONE = 0
    FAULT = 1  # of this project's code: the trace is printed
    CONFIGURATION = 2  # argparse and typer end so too, for a wrong option
    DATA = 3
    LOCKED = 4
    UNAVAILABLE = 5  # endpoint or cluster
    BUDGET = 6
    INTERRUPTED = 130
    UNREAD = 141  # as a program ends that SIGPIPE ended: what reads the output left before its end, and work may be left too
    TERMINATED = 143


STOPPED = (Exit.INTERRUPTED, Exit.TERMINATED)


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as schedulers do: all is left as after Ctrl-C."""


KINDS: dict[type[BaseException], Exit] = {
    errors.ConfigError: Exit.CONFIGURATION,
    errors.InstallationError: Exit.CONFIGURATION,
    errors.ForeignLakeError: Exit.CONFIGURATION,
    errors.DataError: Exit.DATA,
    errors.ContractError: Exit.DATA,
    errors.LakeError: Exit.DATA,
    errors.RunLockedError: Exit.LOCKED,
    errors.EndpointError: Exit.UNAVAILABLE,
    errors.DistributedError: Exit.UNAVAILABLE,
    errors.BudgetError: Exit.BUDGET,
    KeyboardInterrupt: Exit.INTERRUPTED,
    Terminated: Exit.TERMINATED,
}


def status_of(err: BaseException) -> Exit:
    """The kind of an error: that of its nearest class that has one.

    >>> status_of(errors.RunLockedError("run.id 'a' is being executed")), status_of(errors.EndpointDownError("no answer")), status_of(KeyError("x"))
    (<Exit.LOCKED: 4>, <Exit.UNAVAILABLE: 5>, <Exit.FAULT: 1>)
    """
    return next((KINDS[kind] for kind in type(err).__mro__ if kind in KINDS), Exit.FAULT)


def fault_of(err: BaseException) -> BaseException:
    """What an exception that ended a run is told as: a fault of Spark's, Arrow's or the system's, and a package that lacks, in words."""
    if isinstance(err, SynalignError | KeyboardInterrupt):
        return err
    return missing_extra(err) or told_error(err, "synalign", {}) or err


def asked_before(err: BaseException) -> Terminated | None:
    """The Terminated that a fault is, or came after, with what was noted on it: what of the work is stored. What is cleared away after SIGTERM
    may fail on its own, since a JVM that got the signal too is gone."""
    earlier: BaseException | None = err
    while earlier is not None and not isinstance(earlier, Terminated):
        earlier = earlier.__context__
    return earlier
