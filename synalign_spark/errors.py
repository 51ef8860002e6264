"""What can go wrong, by kind. Every message names the field, its value and the way to mend it."""

from synalign_spark.scrubbing import scrub


class SynalignError(Exception):
    """A fault that the user can mend; the command line prints its message without a traceback. What may be a secret in it is hidden.

    >>> DataError("source.path: 'https://host/x.csv?sig=SECRET' cannot be read")
    DataError("source.path: 'https://host/x.csv?[hidden]' cannot be read")
    """

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


class RunLockedError(LakeError):
    """The run is being executed by another process."""


class EndpointError(SynalignError):
    """The language-model endpoint cannot be used at all (down, wrong key, wrong model)."""


class InstallationError(SynalignError):
    """Something that the job needs is not installed (Java, a package, a jar)."""


class DistributedError(SynalignError):
    """Tasks that work together on one problem cannot be started, or one of them failed."""


class PeerLostError(DistributedError):
    """Another task of the group died, hangs or left; the group cannot go on, but may be started again."""
