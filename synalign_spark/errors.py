"""What can go wrong, by kind. Every message names the field, its value and the way to mend it."""

from synalign_spark.scrubbing import scrub


class SynalignError(Exception):
    """A fault that the user can mend; the command line prints its message without a traceback. What may be a secret in it is hidden.

    >>> DataError("source.path: 'https://host/x.csv?sig=SECRET' cannot be read")
    DataError("source.path: 'https://host/x.csv?[hidden]' cannot be read")
    """

    retryable = False  # whether the same command may succeed later, with nothing changed

    def __init__(self, *args: object) -> None:
        super().__init__(*map(scrub, args))


class ConfigError(SynalignError):
    """One or more configuration values are wrong; nothing has been read or written yet."""


class DataError(SynalignError):
    """The data cannot be used as configured (missing path, empty corpus, one label only, ...)."""


class ContractError(SynalignError):
    """A table does not have the columns, types or keys that its contract declares."""


class LakeError(SynalignError):
    """The lake cannot be read or written, or belongs to another configuration."""


class ForeignLakeError(LakeError):
    """The run in the lake was made from another configuration, or by other algorithms."""


class RunLockedError(LakeError):
    """The run is being executed by another process."""

    retryable = True


class EndpointError(SynalignError):
    """The language-model endpoint cannot be used at all (wrong key, wrong model)."""


class EndpointDownError(EndpointError):
    """The endpoint does not answer, or fails call after call, in ways that another time may not have."""

    retryable = True


class BudgetError(SynalignError):
    """A budget is spent and work is left. Of time the next start has as much again, and goes on from there."""

    retryable = True


class InstallationError(SynalignError):
    """Something that the job needs is not installed (Java, a package, a jar)."""


class DistributedError(SynalignError):
    """Tasks that work together on one problem cannot be started, or one of them failed."""

    retryable = True


class PeerLostError(DistributedError):
    """Another task of the group died, hangs or left; the group cannot go on, but may be started again."""
