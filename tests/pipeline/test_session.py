"""What the session decides before Spark starts: Java, jars, settings; and the shell that submits."""

import os
import re
import stat
import subprocess
import warnings
from pathlib import Path

import pytest

from synalign_spark.compat import release
from synalign_spark.config.files import validate
from synalign_spark.errors import InstallationError, LakeError
from synalign_spark.pipeline.jars import PACKAGES, s3_packages
from synalign_spark.pipeline.session import java_version, settings, spark_session

ROOT = Path(__file__).resolve().parents[2]


def config(**sections):
    return validate({"source": {"path": "x"}, **sections})


def fake_java(folder: Path, says: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.parametrize(("says", "major"), [('openjdk version "17.0.15" 2025', 17), ('openjdk version "21" 2023', 21)])
def test_a_fitting_java_is_recognised(tmp_path, monkeypatch, says, major):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, says)))
    assert java_version() == major


@pytest.mark.parametrize(("says", "words"), [('java version "1.8.0_401"', "Java 8 is too old"), ("Segmentation fault", "does not run")])
def test_an_unfit_java_is_named_with_the_fix(tmp_path, monkeypatch, says, words):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, says)))
    with pytest.raises(InstallationError, match=words) as caught:
        java_version()
    assert "openjdk-17" in str(caught.value)


def test_a_missing_java_is_named_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallationError, match=r"Java is missing(.|\n)*install a Java 17"):
        java_version()


@pytest.mark.parametrize("command", [["make", "-s", "java"], ["./spark-submit.sh", "embed", "--config", "conf/quickstart.yaml"]])
def test_the_commands_stop_at_once_without_java(command, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "make", "dirname", "python3", "sed", "mktemp", "rm", "env"):
        found = subprocess.run(["bash", "-c", f"command -v {name}"], capture_output=True, text=True, check=True).stdout.strip()
        (tools / name).symlink_to(found)
    env = {"PATH": str(tools), "HOME": os.environ["HOME"], "PYSPARK_PYTHON": str(Path(os.sys.executable))}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Java is missing: install a Java 17 or 21" in done.stderr


def test_local_masters_get_few_partitions_and_stay_on_loopback():
    conf = settings(config(), under_submit=False)
    assert conf["spark.master"] == "local[*]"
    assert (conf["spark.sql.shuffle.partitions"], conf["spark.driver.host"]) == ("4", "127.0.0.1")
    assert conf["spark.jars.packages"] == release().delta_package


def test_a_cluster_keeps_its_own_master_and_partitions():
    conf = settings(config(), under_submit=True)
    assert "spark.master" not in conf
    assert "spark.sql.shuffle.partitions" not in conf


def test_the_users_settings_win():
    assert settings(config(spark={"conf": {"spark.ui.enabled": "true"}}), under_submit=False)["spark.ui.enabled"] == "true"


def test_parquet_needs_no_jars():
    assert not [key for key in settings(config(lake={"format": "parquet"}), under_submit=False) if "jars" in key]


def test_a_folder_of_jars_replaces_the_packages(tmp_path):
    with pytest.raises(LakeError, match=r"lake.jars: no delta-spark jar"):
        settings(config(lake={"jars": str(tmp_path)}), under_submit=False)
    (tmp_path / "delta-spark_4.2_2.13-4.4.0.jar").touch()
    conf = settings(config(lake={"jars": str(tmp_path)}), under_submit=False)
    assert conf["spark.jars"].endswith("delta-spark_4.2_2.13-4.4.0.jar")
    assert "spark.jars.packages" not in conf


def test_packages_of_the_user_and_of_s3_stand_beside_deltas():
    azure = "org.apache.hadoop:hadoop-azure:3.5.0"
    conf = settings(config(lake={"path": "s3a://bucket/x"}, spark={"conf": {"spark.jars.packages": azure}}), under_submit=False)
    assert conf["spark.jars.packages"] == ",".join((azure, release().delta_package, s3_packages()[PACKAGES]))
    source = settings(validate({"source": {"path": "s3a://bucket/rows.csv"}, "lake": {"format": "parquet"}}), under_submit=False)
    assert source["spark.jars.packages"] == s3_packages()[PACKAGES]


def test_the_s3_packages_fit_the_hadoop_that_pyspark_carries():
    import pyspark

    version = re.search(r"hadoop-aws:([\d.]+)", s3_packages()[PACKAGES]).group(1)
    assert (Path(pyspark.__file__).parent / "jars" / f"hadoop-client-api-{version}.jar").exists()


def test_spark_gets_the_s3_service_that_the_environment_names(monkeypatch):
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    conf = settings(config(lake={"path": "s3a://bucket/x"}), under_submit=True)
    s3a = {key.removeprefix("spark.hadoop.fs.s3a."): value for key, value in conf.items() if "s3a" in key}
    assert s3a == {"endpoint": "http://127.0.0.1:9000", "path.style.access": "true", "endpoint.region": "eu-central-1"}
    assert not [key for key in settings(config(), under_submit=True) if "s3a" in key]


def test_the_script_hands_the_jars_of_the_configuration_to_spark_submit(tmp_path):
    (tmp_path / "my.yaml").write_text("source: {path: s3a://bucket/x.csv}\n")
    spark = tmp_path / "bin" / "spark-submit"
    spark.parent.mkdir()
    spark.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    spark.chmod(0o755)
    env = os.environ | {"SPARK_HOME": str(tmp_path), "PYSPARK_PYTHON": os.sys.executable}
    command = [str(ROOT / "spark-submit.sh"), "ingest", "--config", "my.yaml"]
    given = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert given[given.index("--packages") + 1] == f"{release().delta_package},{s3_packages()[PACKAGES]}"
    wrong = subprocess.run(
        [*command, "--set", "lake.fromat=delta"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert wrong.returncode == 2
    assert "did you mean `format`" in wrong.stderr


def test_an_unknown_stage_is_refused_by_the_script():
    done = subprocess.run(["./spark-submit.sh", "selct"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "is no stage" in done.stderr


def test_java_options_of_the_user_join_ours_and_come_last():
    conf = settings(config(spark={"conf": {"spark.driver.extraJavaOptions": "-XX:+UseSerialGC"}}), under_submit=False)
    options = conf["spark.driver.extraJavaOptions"].split()
    assert options[0].startswith("-Dlog4j2.configurationFile=file:")
    assert options[-1] == "-XX:+UseSerialGC"


def test_a_jvm_that_does_not_answer_at_the_end_leaves_no_warning(monkeypatch, recwarn):
    class Signalled:
        def stop(self):
            warnings.warn("Unable to cleanly shutdown Spark JVM process. It is possible that ...", RuntimeWarning, stacklevel=1)
            warnings.warn("another", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr("synalign_spark.pipeline.session.start_spark", lambda cfg, log: Signalled())
    with spark_session(config()):
        pass
    assert [str(found.message) for found in recwarn] == ["another"]
