"""What a generation tells while it goes on: a line beside its bar, and figures for a Prometheus server."""

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from synalign_spark.config import GenerateConfig
from synalign_spark.errors import ConfigError
from synalign_spark.generation.limits import Budget
from synalign_spark.generation.results import Rows
from synalign_spark.generation.window import Pressure

RECENT_S = 30.0  # of the calls whose rate is shown
FEWEST_ROWS = 20  # accepted, before a cost is projected from theirs
MOST_REASONS = 3  # of refusals that are named


class Status:
    """The state of a run in words and figures, from what it counts anyway."""

    def __init__(self, cfg: GenerateConfig, rows: Rows, budget: Budget) -> None:
        self._cfg, self._rows, self._budget = cfg, rows, budget
        self._seen: deque[tuple[float, int]] = deque()  # when there were how many calls

    def line(self, pressure: Pressure | None, ahead: int = 0) -> str:
        """Calls and their rate, tokens, refused rows, cost so far and projected, and what slows the pool down. ahead: calls that have ended,
        and whose rows wait for those of earlier ones.

        '120 calls (4.1/s of 20), 40,200 tokens, refused 14: duplicate 9, form 5, 0.0120 of about 0.0312 usd'"""
        rows, calls = self._rows, self._rows.statuses.total() + ahead
        limit = self._limit(pressure)
        waiting = f", {ahead:,} wait for an earlier one" if ahead else ""
        speed = f" ({self._rate(calls):.1f}/s{'' if limit is None else f' of {limit:.3g}'}{waiting})"
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in rows.refused.most_common(MOST_REASONS))
        refused = f", refused {rows.refused.total():,}: {reasons}" if reasons else ""
        slowed = f", {pressure}" if pressure is not None and str(pressure) else ""
        return f"{calls:,} calls{speed}, {self._budget.tokens:,} tokens{refused}{self._cost()}{slowed}"

    def missing_usd(self) -> float | None:
        """What the rows that lack would cost, as those so far did; None without prices, or where too few are there."""
        accepted = self._rows.accepted.total()
        if not self._budget.priced or accepted < FEWEST_ROWS:
            return None
        return (self._budget.cost_usd - self._budget.probe_usd) / accepted * max(0, self._cfg.target_rows - accepted)

    def _cost(self) -> str:
        if not self._budget.priced:
            return ""
        missing = self.missing_usd()
        of = "" if missing is None else f" of about {self._budget.cost_usd + missing:.4f}"
        return f", {self._budget.cost_usd:.4f}{of} usd"

    def _limit(self, pressure: Pressure | None) -> float | None:
        """Calls a second that may go, where there is a limit."""
        if pressure is not None and pressure.per_s is not None:
            return pressure.per_s
        told = self._cfg.limits.requests_per_minute
        return told / 60 if told else None

    def _rate(self, calls: int) -> float:
        now = time.monotonic()
        self._seen.append((now, calls))
        while now - self._seen[0][0] > RECENT_S and len(self._seen) > 2:
            self._seen.popleft()
        since, before = self._seen[0]
        return (calls - before) / (now - since) if now > since else 0.0

    def collect(self) -> Iterable[Any]:
        """The figures as Prometheus has them, at the moment when it asks."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        rows, budget = self._rows, self._budget
        yield GaugeMetricFamily("synalign_rows_target", "Rows to generate", self._cfg.target_rows)
        accepted = GaugeMetricFamily("synalign_rows_accepted", "Accepted rows by label", labels=["label"])
        for label, n in dict(rows.accepted).items():
            accepted.add_metric([str(label)], n)  # as in the manifest
        yield accepted
        for name, said, counter, key in (
            ("synalign_rows_refused", "Refused rows by reason", rows.refused, "reason"),
            ("synalign_calls", "Ended calls by status", rows.statuses, "status"),
        ):
            family = CounterMetricFamily(name, said, labels=[key])
            for value, n in dict(counter).items():
                family.add_metric([value], n)
            yield family
        yield CounterMetricFamily("synalign_tokens", "Tokens of prompts and answers", budget.tokens)
        yield CounterMetricFamily("synalign_cost_usd", "Cost by the configured prices", budget.cost_usd)
        yield CounterMetricFamily("synalign_requests", "HTTP requests", budget.requests)

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """Serves the figures at ``generate.metrics_port`` for the length of the block, where one is set. Raises ConfigError for a port that is taken."""
        port = self._cfg.metrics_port
        if port is None:
            yield
            return
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as err:
            raise ConfigError("generate.metrics_port needs the package prometheus-client; install it, or set the port to null") from err
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)  # a collector by its one method
        try:
            server, thread = start_http_server(port, registry=registry)
        except OSError as err:
            raise ConfigError(f"generate.metrics_port: {port} cannot be listened on ({err}); name another port, or null") from err
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
