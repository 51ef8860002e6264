"""The words of spark-submit: the user's options stay, whatever way they were given, and ours are joined to them."""

import pytest

from synalign_spark.cli.spark_options import default_properties, parsed, plan
from synalign_spark.errors import ConfigError

OURS = {"spark.jars.packages": "io.delta:delta-spark_4.2_2.13:4.4.0", "spark.jars.excludes": "x:*"}
S3 = {"spark.jars.packages": "io.delta:delta-spark_4.2_2.13:4.4.0,org.apache.hadoop:hadoop-aws:3.5.0,software.amazon.awssdk:sts:2.35.4", "spark.jars.excludes": "x:*"}  # fmt: skip


def words_of(*words, ours=OURS, defaults=None, java=""):
    return plan("align", "/code", "/made", parsed(words), ours, defaults or {}, java).words


def value(words, option):
    assert words.count(option) == 1, words
    return words[words.index(option) + 1]


@pytest.mark.parametrize(
    ("words", "defaults"),
    [
        (["--packages", "a:b:1"], {}),
        (["--packages=a:b:1"], {"spark.jars.packages": "not:this:1"}),
        (["--conf", "spark.jars.packages=a:b:1"], {}),
        (["--conf=spark.jars.packages=a:b:1"], {"spark.jars.packages": "not:this:1"}),
        (["--packages", "a:b:1", "--conf", "spark.jars.packages=not:this:1"], {}),
        ([], {"spark.jars.packages": "a:b:1"}),
    ],
)
def test_packages_of_the_user_join_ours_wherever_they_stand(words, defaults):
    assert value(words_of(*words, defaults=defaults), "--packages") == f"{OURS['spark.jars.packages']},a:b:1"


@pytest.mark.parametrize(
    ("words", "packages"),
    [
        (["--packages", "io.delta:delta-spark_2.13:4.0.0"], "org.apache.hadoop:hadoop-aws:3.5.0,software.amazon.awssdk:sts:2.35.4,io.delta:delta-spark_2.13:4.0.0"),
        (["--jars", "/j/io.delta_delta-spark_2.13-4.0.0.jar"], "org.apache.hadoop:hadoop-aws:3.5.0,software.amazon.awssdk:sts:2.35.4"),
        (["--jars", "/j/delta-spark_2.13-4.0.0.jar,s3://j/hadoop-aws-3.4.1.jar"], None),
        (["--jars", "/j/mine.jar"], S3["spark.jars.packages"]),
    ],
)  # fmt: skip
def test_what_the_user_brings_takes_the_place_of_ours(words, packages):
    found = words_of(*words, ours=S3)
    if packages is None:
        assert "--packages" not in found
        assert "--exclude-packages" not in found
    else:
        assert value(found, "--packages") == packages
    assert ("--jars" in found) == ("--jars" in words)


def test_what_the_user_asks_for_is_not_excluded():
    ours = {"spark.jars.packages": "io.delta:d:1", "spark.jars.excludes": "org.a:*,org.b:c,org.e:*"}
    found = words_of("--packages", "org.a:x:1,org.b:c:2", "--exclude-packages", "mine:*", ours=ours)
    assert value(found, "--exclude-packages") == "org.e:*,mine:*"


@pytest.mark.parametrize(
    "words", [["--driver-java-options", "-Da=1"], ["--conf", "spark.driver.extraJavaOptions=-Da=1"], ["--conf=spark.driver.extraJavaOptions=-Da=1"]]
)  # fmt: skip
def test_java_options_are_joined_and_the_users_come_last(words):
    found = words_of(*words, java="-Db=2")
    ours = "spark.driver.extraJavaOptions=-Dlog4j2.configurationFile=file:/code/conf/log4j2.properties -Db=2 -Da=1"
    assert [word for word in found if "extraJavaOptions" in word or "java-options" in word] == [ours]


def test_code_and_files_of_the_user_come_after_ours():
    found = words_of("--py-files", "mine.zip", "--files", "x.txt", "--conf", "spark.a=b=c d", "-v", "--executor-memory=2g", "--supervise")
    assert value(found, "--py-files") == "/made/synalign.zip,mine.zip"
    assert value(found, "--files") == "x.txt"
    assert "spark.a=b=c d" in found
    assert found.index("-v") < found.index("--executor-memory") < found.index("/code/jobs/align.py")


def test_words_of_the_job_follow_it_in_their_order():
    found = words_of(
        "--config=a.yaml", "--set", "x.y=1", "--config", "b.yaml", "--set=source.text_template={a}\n{b}", "--redo", "--events", "e"
    )
    job = found[found.index("/code/jobs/align.py") + 1 :]
    assert job == [
        "--config",
        "a.yaml",
        "--config",
        "b.yaml",
        "--set",
        "x.y=1",
        "--set",
        "source.text_template={a}\n{b}",
        "--redo",
        "--events",
        "e",
    ]
    assert parsed(["--set", "a=1", "--set=b=--set"]).settings == ["a=1", "b=--set"]


@pytest.mark.parametrize("mode", [["--deploy-mode", "cluster"], ["--deploy-mode=cluster"], ["--conf", "spark.submit.deployMode=cluster"]])
def test_cluster_mode_ships_the_configurations(tmp_path, mode):
    for folder in ("", "other"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "a.yaml").touch()
    (tmp_path / "b.yaml").touch()
    given = [f"--config={tmp_path}/a.yaml", "--config", f"{tmp_path}/other/a.yaml", "--config", f"{tmp_path}/b.yaml"]
    found = plan("align", "/code", "/made", parsed([*given, "--master", "yarn", "--files", "x.txt", *mode]), {}, {})
    assert value(found.words, "--files") == "/made/0-a.yaml,/made/1-a.yaml,/made/b.yaml,x.txt"
    assert found.words[-6:] == ["--config", "0-a.yaml", "--config", "1-a.yaml", "--config", "b.yaml"]
    assert found.ship == [
        (f"{tmp_path}/a.yaml", "/made/0-a.yaml"),
        (f"{tmp_path}/other/a.yaml", "/made/1-a.yaml"),
        (f"{tmp_path}/b.yaml", "/made/b.yaml"),
    ]
    assert not [word for word in found.words if "log4j" in word]  # which lies on this machine


@pytest.mark.parametrize(("words", "master"), [([], "local[*]"), (["--conf", "spark.master=yarn"], "yarn"), (["--master=k8s://x", "--conf", "spark.master=yarn"], "k8s://x")])  # fmt: skip
def test_the_master_is_sparks(words, master):
    assert value(words_of(*words), "--master") == master
    assert not [word for word in words_of(*words) if word.startswith("spark.master=")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--packages"], "--packages needs a value"),
        (["align.yaml"], "'align.yaml' is no option"),
        (["--conf", "spark.x"], "--conf 'spark.x' is no KEY=VALUE"),
        (["--config", "/nowhere/a.yaml", "--deploy-mode", "cluster"], "--config '/nowhere/a.yaml': no such file on this machine"),
        (["--remote", "sc://h:15002"], "synalign run --set spark.remote=sc://h:15002"),
    ],
)
def test_words_that_do_not_fit_are_refused(words, said):
    with pytest.raises(ConfigError) as caught:
        words_of(*words)
    assert said in str(caught.value)


def test_a_token_in_a_remote_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        parsed(["--remote", "sc://h:15002/;use_ssl=true;token=abcdef"])
    assert "sc://h:15002" in str(caught.value)
    assert "abcdef" not in str(caught.value)


def test_properties_are_read_as_spark_reads_them(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text("# a comment\nspark.master   yarn\n\nspark.jars.packages=a:b:1\nspark.driver.extraJavaOptions -Da=1 -Db=2\nodd\n")  # fmt: skip
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    wanted = {"spark.master": "yarn", "spark.jars.packages": "a:b:1", "spark.driver.extraJavaOptions": "-Da=1 -Db=2"}
    assert default_properties(parsed([]), str(tmp_path)) == wanted
    (tmp_path / "my.conf").write_text("spark.master k8s://x\n")
    assert default_properties(parsed(["--properties-file", str(tmp_path / "my.conf")]), str(tmp_path)) == {"spark.master": "k8s://x"}
    assert default_properties(parsed([]), "/nowhere") == {}


def test_properties_have_the_forms_of_java(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(
        "spark.jars.packages = a:b:1\nspark.master: yarn\nspark.jars a.jar,\\\n   b.jar\n  ! no\nspark.x\n"
    )
    monkeypatch.delenv("SPARK_CONF_DIR", raising=False)
    usual = {"spark.jars.packages": "a:b:1", "spark.master": "yarn", "spark.jars": "a.jar,b.jar"}
    assert default_properties(parsed([]), str(tmp_path)) == usual
    (tmp_path / "my.conf").write_text("spark.master k8s://https://x:443\n")
    words = ["--properties-file", str(tmp_path / "my.conf"), "--load-spark-defaults", "--redo"]
    given = parsed(words)
    assert given.job == ["--redo"], "the option has no value"
    assert default_properties(given, str(tmp_path)) == {**usual, "spark.master": "k8s://https://x:443"}
