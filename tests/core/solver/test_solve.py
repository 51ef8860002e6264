"""The whole solve: labels together, and a retry that makes no pass twice."""

from dataclasses import replace

import numpy as np
import pytest

from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.solver.shard import Shard, ShardRows
from synalign_spark.core.solver.solve import Problem, solve

WIDTH = 24


class Memory:
    """A checkpoint in this process."""

    def __init__(self):
        self.state = None

    def save(self, state):
        self.state = state

    def load(self):
        return self.state


class Rows:
    """Counts the passes over all rows, and breaks after so many."""

    def __init__(self, seed=0, breaks_after=None):
        rng = np.random.default_rng(seed)
        phi = {name: rng.standard_normal((n, WIDTH)) for name, n in (("=a", 400), ("=b/c|d", 300))}
        groups = {name: ((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), np.zeros(len(x))) for name, x in phi.items()}
        small = {name: (x[:100], q[:100]) for name, (x, q) in groups.items()}
        self._rows = ShardRows(Shard.of(groups), Shard.of(small), LocalCommunicator())
        self.passes, self._breaks_after = 0, breaks_after

    def evaluate(self, wanted):
        if any(asked.everywhere for asked in wanted.values()):
            self.passes += 1
            if self._breaks_after is not None and self.passes > self._breaks_after:
                raise ConnectionError("a peer is gone")
        return self._rows.evaluate(wanted)


def problems(rule="fixed"):
    rng = np.random.default_rng(1)
    made = {}
    for name in ("=a", "=b/c|d"):
        halves = [Sample(50, 0.2 * rng.standard_normal(WIDTH) / np.sqrt(WIDTH) * 3) for _ in range(2)]
        made[name] = Problem(halves[0], halves[1], Sample(0, np.zeros(WIDTH)), Settings(rule, 0.01, 0.1, 1e-9, 300), 0.25)
    return made


@pytest.mark.parametrize("rule", ["fixed", "mmd_rule", "ess_rule"])
def test_a_retry_goes_on_where_the_first_attempt_broke(rule):
    undisturbed = Rows()
    want = solve(problems(rule), undisturbed.evaluate)
    kept, first = Memory(), Rows(breaks_after=4)
    with pytest.raises(ConnectionError):
        solve(problems(rule), first.evaluate, kept)
    second = Rows()
    got = solve(problems(rule), second.evaluate, kept)
    assert second.passes == undisturbed.passes - 4
    for name, answer in want.items():
        np.testing.assert_array_equal(got[name].finished.solution.point.theta, answer.finished.solution.point.theta)


def test_a_checkpoint_of_other_rows_is_not_trusted_for_long():
    kept = Memory()
    solve(problems(), Rows(seed=5).evaluate, kept)
    rows = Rows()
    got, want = solve(problems(), rows.evaluate, kept), solve(problems(), Rows().evaluate)
    assert rows.passes > 0
    for name in want:  # the first passes, at theta 0, were taken over: the same runs only ever meet their own checkpoint
        assert got[name].finished.solution.converged


def test_labels_end_where_they_should():
    found = solve(problems(), Rows().evaluate)
    assert set(found) == {"=a", "=b/c|d"}
    for answer in found.values():
        assert answer.finished.solution.point.lam == 0.01
        assert answer.finished.solution.converged
        assert answer.finished.sample_passes > answer.finished.passes
        assert not answer.finished.raised


def test_a_cap_on_the_largest_weight_raises_lambda_until_it_holds():
    free = solve(problems(), Rows().evaluate)["=a"].finished.solution.point
    cap = 0.5 * free.moments.max_weight * 400
    bound = {name: replace(p, settings=replace(p.settings, weight_cap=cap)) for name, p in problems().items()}
    end = solve(bound, Rows().evaluate)["=a"].finished
    assert end.solution.point.moments.max_weight * 400 <= cap * 1.000001
    assert end.solution.point.lam > 0.01
    assert end.raised
    assert end.solution.converged


def share_kept(answers):
    """Effective sample size over rows, of all labels together."""
    moments = [answer.finished.solution.point.moments for answer in answers.values()]
    return sum(m.ess for m in moments) / sum(m.rows for m in moments)


def test_with_few_real_rows_all_labels_take_the_smallest_lambda_at_which_they_keep_the_floor_together():
    asked = problems("ess_rule")
    far = asked["=a"].fit.mean * 2.0  # harder to match: its effective sample size falls sooner
    asked["=a"] = replace(asked["=a"], fit=Sample(50, far), validation=Sample(50, far))
    asked = {name: replace(problem, settings=replace(problem.settings, ess_floor=0.4)) for name, problem in asked.items()}
    alone = {name: solve({name: problem}, Rows().evaluate)[name].finished for name, problem in asked.items()}
    together = solve(asked, Rows().evaluate)
    (lam,) = {answer.finished.lam for answer in together.values()}
    assert alone["=a"].lam > lam > alone["=b/c|d"].lam
    assert share_kept(together) >= 0.4
    stronger = {
        name: replace(problem, settings=replace(problem.settings, rule="fixed", lam=lam / 2**0.5)) for name, problem in asked.items()
    }
    assert share_kept(solve(stronger, Rows().evaluate)) < 0.4
    assert all(answer.finished.solution.point.moments.ess >= 0.2 * answer.finished.before.rows for answer in together.values())


def test_a_label_with_too_few_rows_keeps_its_base_weights_and_the_others_go_on():
    nothing = Problem(*(Sample(0, np.zeros(WIDTH)),) * 3, Settings("uniform", 0.01, 0.1, 1e-9, 300), 0.25)
    kept = solve({**problems("ess_rule"), "=b/c|d": nothing}, Rows().evaluate)
    assert [np.isinf(kept[name].finished.lam) for name in sorted(kept)] == [False, True]
