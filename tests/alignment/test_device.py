"""Where the passes run. No GPU is needed: torch's CPU stands for one, on the path of a GPU."""

import pickle
from functools import partial
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from synalign_spark.alignment.align import align
from synalign_spark.alignment.runtimes import device as align_device
from synalign_spark.alignment.runtimes.barrier import load_shards, solve_shards
from synalign_spark.alignment.runtimes.choose import choose_runtime
from synalign_spark.alignment.runtimes.device import Place, check_device, task_device
from synalign_spark.alignment.runtimes.local import release
from synalign_spark.config.alignment import AlignConfig
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.core.features import draw_feature_map
from synalign_spark.core.solver.device_shard import BLOCK_NUMBERS, FREE_SHARE, DeviceShard
from synalign_spark.core.solver.path import Sample, Settings
from synalign_spark.core.solver.shard import Shard
from synalign_spark.core.solver.solve import Problem
from synalign_spark.distributed import devices
from synalign_spark.distributed.devices import Gpu, gpu_count, gpu_index, may_have_gpu
from synalign_spark.distributed.spmd import run_spmd
from synalign_spark.errors import ConfigError
from synalign_spark.udfs.arrow import from_matrix
from tests.alignment.test_align import FAKE, REAL, SMALL, column, tables

FEATURES = draw_feature_map(12, 64, [1.0], 0)


@pytest.fixture
def device_of(monkeypatch):
    """torch's CPU as a GPU with so many bytes free."""

    def one_gpu(free_bytes, model="stand-in"):
        monkeypatch.setattr(align_device, "gpu_count", lambda: 1)
        monkeypatch.setattr(align_device, "gpu", lambda index=0, sharing=1: Gpu("cpu", model, free_bytes / sharing))

    return one_gpu


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(align_device, "gpu_count", lambda: 0)


class Session:
    """A session of which only the settings are asked."""

    def __init__(self, **values):
        self.conf, self.values = self, {f"spark.{name.replace('_', '.')}": value for name, value in values.items()}

    def get(self, key, default=None):
        return self.values.get(key, default)


def test_the_driver_without_a_gpu_goes_by_its_memory(no_gpu):
    found = choose_runtime(Session(master="local[2]"), AlignConfig(), 10_000, 384)
    assert (found.name, found.device) == ("local", None)
    assert "device cpu" in found.reason


def test_the_driver_with_a_gpu_uses_it_as_its_memory_allows(device_of):
    def chosen(rows, free_gb, **cfg):
        device_of(free_gb * 2**30)
        found = choose_runtime(Session(master="local[2]"), AlignConfig(**cfg), rows, 384)
        return found.name, found.storage, found.device, found.reason

    assert chosen(2_000_000, 40)[:3] == ("local", "float32", "cpu")  # 15 GB of features, where align.memory_gb is 4
    assert "device cpu (stand-in)" in chosen(2_000_000, 40)[3]
    assert chosen(2_000_000, 16)[:3] == ("local", "int16", "cpu")
    assert chosen(2_000_000, 8)[:3] == ("local", "recompute", "cpu")
    assert chosen(2_000_000, 2, runtime="local")[:3] == ("local", "recompute", None)  # too small: the cores
    assert chosen(2_000_000, 40, device="cpu")[0] == "barrier"
    assert [chosen(10_000, 40, **asked)[2] for asked in ({}, {"device": "cuda"})] == [None, "cpu"]  # auto: not worth the start
    assert chosen(9_000_000, 40)[0] == "barrier"  # 13 GB of embeddings are too much for the driver's 4
    with pytest.raises(ConfigError, match=r"not even the embeddings fit on cpu \(stand-in\).*set align.runtime to barrier"):
        chosen(2_000_000, 2, runtime="local", device="cuda")


@pytest.mark.parametrize(
    ("cfg", "master", "message"),
    [
        ({}, "local[2]", r"align.device is cuda, but torch sees no CUDA device on this machine; set align.device to auto or cpu"),
        ({}, "local-cluster[2,1,1024]", "sees no CUDA device"),
        ({"runtime": "local"}, "yarn", "sees no CUDA device"),
        ({"runtime": "driver_loop"}, "yarn", "align.runtime is driver_loop, which uses cores alone"),
    ],
)
def test_a_gpu_that_is_not_there_is_named_before_any_work(no_gpu, cfg, master, message):
    with pytest.raises(ConfigError, match=message):
        check_device(Session(master=master), AlignConfig(device="cuda", **cfg))
    check_device(Session(master=master), AlignConfig(**cfg))


def test_a_cluster_is_asked_through_its_tasks(no_gpu):
    yarn = Session(master="yarn", task_resource_gpu_amount="1", executor_resource_gpu_amount="1", executor_instances="4")
    yarn.getAll = yarn.values
    cfg = AlignConfig(device="cuda")
    check_device(yarn, cfg)
    found = choose_runtime(yarn, cfg, 10_000, 384)
    assert (found.name, found.tasks, found.place) == ("barrier", 4, Place("cuda", 2_500, 384, 2_048, 1.0))
    assert "device cuda" in found.reason
    elastic = Session(master="yarn", dynamicAllocation_enabled="true")
    elastic.getAll = elastic.values
    with pytest.raises(
        ConfigError, match=r"align.device is cuda, but a barrier stage cannot run: spark.dynamicAllocation.*set align.device to auto"
    ):
        choose_runtime(elastic, cfg, 10_000, 384)


@pytest.fixture(scope="module")
def weights_of_the_cores(spark):
    """Weight by id, without a device."""
    done = align(*tables(spark, REAL, FAKE), AlignConfig(**SMALL, device="cpu", warm_start_rows=40), 0)
    return column({row["doc_id"]: row for row in done.weights.toArrow().to_pylist()})


@pytest.mark.parametrize(
    ("left", "words", "rtol"), [(110_000, "kept as float32", 2e-6), (60_000, "kept as int16", 1e-4), (20_000, "made again", 2e-6)]
)
def test_weights_on_a_device_are_those_of_the_cores(spark, device_of, weights_of_the_cores, left, words, rtol):
    """400 rows of 64 features, 102,400 bytes, with a sample. left: bytes of the device beside the working space of a pass."""
    device_of((16 * BLOCK_NUMBERS + 24 * 64**2 + 16 * 400 + left) / FREE_SHARE)
    lines = []
    got = align(*tables(spark, REAL, FAKE, partitions=3), AlignConfig(**SMALL, device="cuda", warm_start_rows=40), 0, lines.append)
    assert any("runtime local" in line and words in line and "device cpu (stand-in)" in line for line in lines)
    found = {row["doc_id"]: row for row in got.weights.toArrow().to_pylist()}
    np.testing.assert_allclose(column(found), weights_of_the_cores, rtol=rtol)


def batches(n):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 12)).astype(np.float32)
    columns = [pa.array(["a"] * n), pa.array(np.ones(n)), pa.array(np.ones(n)), pa.array(rng.random(n)), from_matrix(x)]
    yield pa.RecordBatch.from_arrays(columns, names=["grp", "prior", "base", "u_warm", "embedding"])


class Context:
    """What a barrier task knows of itself."""

    def __init__(self, hosts, rank, given=()):
        self._hosts, self._rank, self._given = hosts, rank, list(given)

    @classmethod
    def of(cls, monkeypatch, *args):
        monkeypatch.setattr("pyspark.BarrierTaskContext", SimpleNamespace(get=lambda: cls(*args)))

    def partitionId(self):  # noqa: N802 - Spark's name
        return self._rank

    def getTaskInfos(self):  # noqa: N802
        return [SimpleNamespace(address=f"{host}:{4000 + place}") for place, host in enumerate(self._hosts)]

    def resources(self):
        return {"gpu": SimpleNamespace(addresses=self._given)} if self._given else {}


@pytest.mark.parametrize(
    ("hosts", "rank", "given", "gpus", "count", "visible", "index", "sharing"),
    [
        ("aabb", 0, [], None, 2, None, 0, 1),
        ("aabb", 3, [], None, 2, None, 1, 1),
        ("abab", 3, [], None, 2, None, 1, 1),
        ("aaaaa", 4, [], None, 2, None, 0, 3),
        ("aaaa", 2, ["3"], 1.0, 4, None, 3, 1),  # Spark gave it number 3
        ("aaaa", 2, ["3"], 1.0, 2, "1,3", 1, 1),  # which is the second of two that are visible
        ("aaaa", 2, ["3"], 1.0, 1, "GPU-8a2f", 0, 1),  # and where names do not say, the only one
        ("aaaa", 1, ["0"], 0.25, 1, None, 0, 4),
    ],
)
def test_tasks_share_the_devices_of_their_machine(monkeypatch, hosts, rank, given, gpus, count, visible, index, sharing):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    Context.of(monkeypatch, hosts, rank, given)
    assert align_device._mine(Place("auto", 1, 1, 4, gpus), count) == (index, sharing)


def test_a_barrier_task_goes_to_its_gpu(monkeypatch, device_of):
    Context.of(monkeypatch, "aa", 1)
    device_of(2 * 4 * 2**30)
    everything, sample = load_shards(batches(100), FEATURES, "int16", {"a": 0.5}, Place("auto", 100, 12, 64))
    assert isinstance(everything, DeviceShard)
    assert everything.groups["a"][0].values.dtype.itemsize == 4  # its own memory decides, not the cores' storage
    assert 0 < sample.rows("a") < everything.rows("a") == 100
    release(everything, sample)
    assert everything.rows("a") == 0
    device_of(2**20)
    with pytest.raises(ConfigError, match="not even the embeddings fit.*raise align.tasks"):
        task_device(Place("cuda", 10**6, 384, 64), "int16")
    assert task_device(Place("auto", 10**6, 384, 64), "int16") == (None, "int16")
    on_cores, _ = load_shards(batches(100), FEATURES, "int16", {"a": 0.5}, Place("cpu", 100, 12, 64))
    assert isinstance(on_cores, Shard)


def load_on_stand_in(batches, **arguments):
    """In a task: its own torch's CPU is its GPU; what Spark tells the task of itself is real."""
    with mock.patch.multiple(align_device, gpu_count=lambda: 1, gpu=lambda index, sharing: Gpu("cpu", f"of {sharing}", 2**33 / sharing)):
        return load_shards(batches, **arguments)


def solve_on_stand_in(shards, comm, checkpoint, problems):
    kinds = {type(shard).__name__ for shard in shards}
    return pickle.dumps((kinds, pickle.loads(solve_shards(shards, comm, checkpoint, problems))))


def test_tasks_on_devices_solve_as_the_cores_do(spark):
    table = pa.Table.from_batches(batches(600))
    frame = spark.createDataFrame(table.append_column("doc_id", pa.array([f"{i:04}" for i in range(600)])))
    mean = FEATURES(np.random.default_rng(1).normal(0.3, 1, (500, 12))).astype(np.float64).mean(axis=0)
    nobody = Sample(0, np.zeros(64))
    problems = {"a": Problem(Sample(500, mean), nobody, nobody, Settings("fixed", 0.01, 0.0, 1e-10, 300), 0.2)}
    load = partial(load_on_stand_in, features=FEATURES, storage="int16", shares={"a": 0.2}, place=Place("auto", 300, 12, 64))
    kinds, got = pickle.loads(run_spmd(frame, "doc_id", 2, load, partial(solve_on_stand_in, problems=problems), timeout_s=60))
    assert kinds == {"DeviceShard"}
    on_cores = load_shards(batches(600), FEATURES, "float32", {"a": 0.2})
    want = pickle.loads(solve_shards(on_cores, LocalCommunicator(), None, problems))
    theta, expected = (answer["a"].finished.solution.point.theta for answer in (got, want))
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a CUDA device")
def test_a_task_without_the_gpu_that_was_asked_for_fails_with_the_reason(spark):
    rows = spark.range(10).selectExpr("cast(id as string) as doc_id")
    load = partial(load_shards, features=FEATURES, storage="float32", shares={}, place=Place("cuda", 10, 12, 64))
    with pytest.raises(ConfigError, match="sees no CUDA device in a barrier task; give the executors GPUs"):
        run_spmd(rows, "doc_id", 2, load, lambda *_: b"", timeout_s=60)


def test_torch_is_asked_only_where_a_driver_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert not may_have_gpu(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert not may_have_gpu(tmp_path)
    (tmp_path / "nvidia3").touch()
    assert may_have_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not may_have_gpu(tmp_path)


def test_a_number_that_torch_does_not_see_is_not_used(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_index(["7"], 5, 2) == 1
