"""What runs, what is skipped, and when a lake of another configuration is refused. No Spark, no files."""

import pytest

from synalign_spark.config.files import validate
from synalign_spark.config.secrets import address_hash
from synalign_spark.errors import ConfigError, DataError, LakeError
from synalign_spark.pipeline import steps
from synalign_spark.pipeline.settings import limits_of, settings_of
from synalign_spark.pipeline.steps import STEPS, refuse_foreign_lake, require_done, step_states
from synalign_spark.storage.tables import TABLES


def config(**sections):
    return validate({"source": {"path": "corpus.jsonl", "label_column": "label"}, **sections})


def finished(cfg, source=None, evaluated=False):
    """The manifest of an undisturbed run; evaluated: with the step that runs on request alone."""
    manifest = {}
    for step in (step for step in STEPS if evaluated or not step.on_request):
        manifest[step.name] = {
            "release": "0.1.0",
            "algorithm": step.algorithm,
            "settings": settings_of(step, cfg),
            "source": (source or {}).get(step.name, ""),
            "inputs": {name: manifest[name]["produced"] for name in step.after},
            "produced": f"id-{step.name}",
            "summary": {},
        }
    return manifest


def pending(cfg, manifest, source=None):
    return [state.step.name for state in step_states(cfg, manifest, source or {}) if not state.done]


def test_an_empty_lake_runs_every_step_in_order():
    assert pending(config(), {}) == [step.name for step in STEPS if not step.on_request]


def test_a_finished_run_has_nothing_to_do():
    assert pending(config(), finished(config())) == []


def test_a_run_that_died_goes_on_at_the_step_it_died_in():
    manifest = finished(config())
    del manifest["align"]
    assert pending(config(), manifest) == ["align", "resample", "report"]


def test_a_setting_that_no_longer_shapes_a_table_is_no_change_to_an_older_run():
    manifest = finished(config())
    manifest["embed"]["settings"]["embed.batch_size"] = 32
    assert pending(config(embed={"batch_size": 64}), manifest) == []


def test_evaluate_runs_where_it_is_asked_for_and_the_report_that_lacks_it_is_old():
    manifest = finished(config())
    evaluation = finished(config(), evaluated=True)["evaluate"]
    assert pending(config(), manifest) == []
    assert [state.step.name for state in step_states(config(), manifest, {}, asked="evaluate") if not state.done] == ["evaluate"]
    manifest["evaluate"] = evaluation
    assert pending(config(), manifest) == ["report"]
    assert steps.left_to_run(manifest) == ["report"]
    manifest["report"]["inputs"]["evaluate"] = evaluation["produced"]
    assert pending(config(), manifest) == steps.left_to_run(manifest) == []
    assert pending(config(align={"n_features": 512}), manifest) == ["align", "resample", "evaluate", "report"]


def test_dedup_runs_where_evaluation_sets_are_named_and_never_makes_paid_rows_old():
    sets = {"evaluation_sets": [{"path": "test.jsonl", "text_column": "question"}]}
    order = pending(config(dedup=sets), {})
    assert order.index("cluster") < order.index("dedup") < order.index("select") < order.index("dedup-synthetic") < order.index("resample")
    manifest = finished(config())
    asked = [state.step.name for state in step_states(config(), manifest, {}, asked="dedup") if not state.done]
    assert asked == ["dedup", "dedup-synthetic"]
    assert pending(config(dedup=sets), manifest) == ["dedup", "dedup-synthetic", "resample", "report"]

    marked = finished(config(dedup=sets), evaluated=True)
    for name in ("dedup", "dedup-synthetic"):
        manifest[name] = marked[name]
    assert pending(config(dedup=sets), manifest) == steps.left_to_run(manifest) == ["resample", "report"], "select ran before it"
    marked["select"]["inputs"]["dedup"] = marked["dedup"]["produced"]
    changed = config(dedup={**sets, "drop": "all"})
    state = next(state for state in step_states(changed, marked, {}) if state.step.name == "dedup")
    assert state.changed == (("dedup.drop", "contaminated", "all"),)
    assert pending(changed, marked)[:3] == ["dedup", "select", "generate"], "select read what dedup marked"
    assert settings_of(steps.BY_NAME["dedup"], config(dedup=sets))["dedup.evaluation_sets"] == sets["evaluation_sets"]


def test_a_changed_setting_concerns_its_step_and_those_after_it():
    changed = config(align={"n_features": 512})
    assert pending(changed, finished(config())) == ["align", "resample", "report"]


def test_automatic_demonstration_sets_follow_the_rows_to_generate():
    after_select = ["generate", "embed-synthetic", "align", "resample", "report"]
    for more in ({"target_rows": 2000}, {"max_rows_per_set": 5}, {"label_shares": {"a": 1.0}}):
        assert pending(config(generate=more), finished(config())) == ["select", *after_select]
        fixed = {"demonstration_sets": 50}
        assert pending(config(generate=more, select=fixed), finished(config(select=fixed))) == after_select
    assert settings_of(steps.BY_NAME["select"], config())["select.demonstration_sets"] == 200  # 1,000 rows, ten a set, twice over
    assert config(generate={"target_rows": 10**6}).demonstration_sets == 10_000


def test_a_step_that_ran_anew_makes_the_later_ones_stale():
    manifest = finished(config())
    manifest["embed"]["produced"] = "another"
    manifest["embed"]["inputs"] = {"ingest": "id-ingest"}
    assert pending(config(), manifest) == ["cluster", "select", "generate", "embed-synthetic", "align", "resample", "report"]


def test_changed_files_run_everything_again():
    assert pending(config(), finished(config(), {"ingest": "old"}), {"ingest": "new"})[0] == "ingest"


@pytest.mark.parametrize(("stopped_by", "again"), [("limits.max_requests", True), ("target", False), ("max_candidates", False)])
def test_a_stop_by_budget_goes_on_when_the_budget_changes(stopped_by, again):
    small, large = (config(generate={"limits": {"max_requests": n}}) for n in (5, 50))
    manifest = finished(small)
    manifest["generate"] |= {"summary": {"stopped_by": stopped_by}, "limits": limits_of(small)}
    assert pending(small, manifest) == []
    assert (pending(large, manifest)[:1] == ["generate"]) == again


@pytest.mark.parametrize(("stopped_by", "first"), [("labels_failing", ["generate"]), ("labels_given_up", [])])
def test_labels_that_the_endpoint_failed_are_asked_for_at_the_next_start(stopped_by, first):
    manifest = finished(config())
    manifest["generate"] |= {"summary": {"stopped_by": stopped_by}}
    assert pending(config(), manifest)[:1] == first


@pytest.mark.parametrize(
    "sections",
    [
        {"generate": {"llm": {"concurrency": 3}}},
        {"generate": {"limits": {"max_requests": 9}}},
        {"embed": {"device": "cpu"}},
        {"align": {"device": "cpu"}},
    ],
)
def test_operational_settings_change_nothing(sections):
    assert pending(config(**sections), finished(config())) == []


def test_a_lake_of_another_configuration_is_refused_with_keys_values_and_fix():
    changed = config(align={"n_features": 512}, run={"seed": 0})
    with pytest.raises(LakeError, match=r"align.n_features was 2048, is now 512(.|\n)*--redo"):
        refuse_foreign_lake(step_states(changed, finished(config()), {}), changed)
    refuse_foreign_lake(step_states(config(), finished(config()), {}), config())  # its own lake is fine


def test_another_seed_is_another_configuration():
    changed = config(run={"seed": 7})
    with pytest.raises(LakeError, match=r"run.seed was 0, is now 7"):
        refuse_foreign_lake(step_states(changed, finished(config()), {}), changed)


def test_a_newer_release_alone_changes_nothing():
    manifest = finished(config())
    for entry in manifest.values():
        entry["release"] = "0.0.9"
        entry["settings"]["synalign.version"] = "0.0.9"  # where the first release had it
    assert pending(config(), manifest) == []


def test_manifests_of_earlier_releases_are_read():
    """They call it the format; those of the first release have none, which is 1."""
    manifest = finished(config())
    for entry in manifest.values():
        entry["format"] = entry.pop("algorithm")
    assert pending(config(), manifest) == []
    for entry in manifest.values():
        del entry["format"]
    assert pending(config(), manifest)[0] == "cluster"  # the first step whose columns were renamed since


def test_a_key_that_an_earlier_release_did_not_have_changes_nothing_while_it_stands_for_what_that_did():
    base = {"rows_per_request": 2, "max_rows_per_set": 2}
    manifest = finished(config(generate=base))
    for entry in manifest.values():
        entry["settings"].pop("generate.llm.rows_as_choices", None)
    assert pending(config(generate=base), manifest) == []
    apart = config(generate=base | {"llm": {"rows_as_choices": True}})
    with pytest.raises(LakeError, match=r"generate: generate.llm.rows_as_choices was None, is now True"):
        refuse_foreign_lake(step_states(apart, manifest, {}), apart)


def test_every_step_has_an_algorithm():
    assert list(steps.ALGORITHMS) == [step.name for step in STEPS]
    assert all(number >= 1 for number in steps.ALGORITHMS.values())


def test_what_another_algorithm_wrote_is_done_again_when_asked(monkeypatch):
    manifest, before = finished(config()), steps.ALGORITHMS["select"]
    monkeypatch.setitem(steps.ALGORITHMS, "select", before + 1)
    assert pending(config(), manifest) == ["select", "generate", "embed-synthetic", "align", "resample", "report"]
    with pytest.raises(LakeError, match=rf"select: the algorithm was {before}, is now {before + 1}(.|\n)*--redo"):
        refuse_foreign_lake(step_states(config(), manifest, {}), config())


def test_a_switch_is_no_secret_and_a_password_in_a_path_is():
    source = {"path": "s3a://me:hunter2@bucket/x.csv", "header": False}
    found = settings_of(steps.BY_NAME["ingest"], validate({"source": source}))
    assert found["source.header"] is False
    assert found["source.path"].startswith("s3a://bucket/x.csv (sha256 ")


def test_one_stage_alone_names_the_stages_it_needs():
    with pytest.raises(DataError, match="'cluster' needs ingest, embed first"):
        require_done(steps.BY_NAME["cluster"], step_states(config(), {}, {}))


def test_every_table_has_one_producer_and_every_input_comes_before():
    written = [table.name for step in STEPS for table in step.writes]
    assert {table.name for table in TABLES} == set(written)
    seen = set()
    for step in STEPS:
        assert set(step.after) <= seen
        seen.add(step.name)


def test_every_section_shapes_some_step():
    from synalign_spark.config import Config

    assert set(Config.model_fields) - {"run", "lake", "spark", "profile"} == {section for step in STEPS for section in step.sections}


def at(address):
    return config(generate={"llm": {"provider": "openai", "model": "m", "base_url": address}})


def test_secrets_of_an_address_reach_neither_manifest_nor_message():
    one, other = at("http://u:pw7@h/v1?key=SECRETKEY123"), at("http://u:pw7@h/v1?key=SECRETKEY456")
    manifest = finished(one)
    assert manifest["generate"]["settings"]["generate.llm.base_url"].startswith("http://h/v1 (sha256 ")
    assert pending(one, manifest) == []
    with pytest.raises(LakeError, match="base_url was 'http://h/v1 .*', is now 'http://h/v1 ") as caught:
        refuse_foreign_lake(step_states(other, manifest, {}), other)
    for said in (str(manifest), str(caught.value)):
        assert "SECRET" not in said
        assert "pw7" not in said


def test_an_address_that_an_earlier_release_left_whole_is_the_same_and_is_not_repeated():
    cfg = at("http://h/v1?key=SECRETKEY123")
    manifest = finished(cfg)
    manifest["generate"]["settings"]["generate.llm.base_url"] = "http://h/v1?key=SECRETKEY123"
    assert pending(cfg, manifest) == []
    manifest["generate"]["settings"]["generate.llm.extra_body.api_key"] = "SECRETKEY123"
    assert "SECRET" not in str(step_states(at("http://h/v1"), manifest, {}))
    assert settings_of(steps.BY_NAME["generate"], at("http://h/v1"))["generate.llm.base_url"] == "http://h/v1"


def test_an_address_is_the_same_however_much_of_it_a_manifest_has():
    azure = "http://h/openai/deployments/d?api-version=2024-06-01"
    llm = {"provider": "openai", "model": "m", "base_url": azure}
    manifest = finished(config(generate={"llm": llm}))
    assert manifest["generate"]["settings"]["generate.llm.base_url"] == azure
    manifest["generate"]["settings"]["generate.llm.base_url"] = (
        f"http://h/openai/deployments/d (sha256 {address_hash(azure)})"  # without its query
    )
    assert pending(config(generate={"llm": llm}), manifest) == []
    assert pending(config(generate={"llm": llm | {"base_url": azure.replace("06", "07")}}), manifest)[0] == "generate"


def test_of_several_endpoints_only_what_shapes_answers_counts_and_no_secret_is_kept():
    def several(**changes):
        other = {"base_url": "http://u:pw7@g/v1?key=SECRETKEY123", "weight": 2.0} | changes
        return config(generate={"llm": {"provider": "openai", "model": "m", "base_url": "http://h/v1"}, "llms": [{}, other]})

    manifest = finished(several())
    assert "generate.llms" in manifest["generate"]["settings"]
    assert pending(several(weight=1.0, concurrency=3, requests_per_minute=9, headers={"x": "KEY"}), manifest) == []
    assert pending(several(model="other"), manifest)[0] == "generate"
    assert pending(several(base_url="http://u:pw7@g/v1?key=SECRETKEY456"), manifest)[0] == "generate"
    for secret in ("SECRET", "pw7"):
        assert secret not in str(manifest)


def test_other_held_out_rows_cluster_and_select_anew():
    """With another share those that were shown, or that a gate has learned from, might be held out."""
    manifest = finished(config(align={"holdout": 0.2}))
    assert pending(config(align={"holdout": 0.2}), manifest) == []
    changed = config(align={"holdout": 0.4})
    assert pending(changed, manifest) == ["cluster", "select", "generate", "embed-synthetic", "align", "resample", "report"]
    with pytest.raises(LakeError, match=r"select: align.holdout was 0.2, is now 0.4"):
        refuse_foreign_lake(step_states(changed, manifest, {}), changed)


def in_loop(cfg, over, begun, stopped_by=""):
    """A finished manifest of a loop. over: rounds that are; begun: rounds over before the one that ``select`` has begun."""
    manifest = finished(cfg, evaluated=True)
    manifest = {
        name: entry for name, entry in manifest.items() if name in ("rounds", *(step.name for step in STEPS if not step.on_request))
    }
    manifest["report"]["inputs"]["rounds"] = manifest["rounds"]["produced"]
    manifest["rounds"]["summary"] = {"rounds_over": [{"round": i} for i in range(over)], "stopped_by": stopped_by}
    manifest["select"]["summary"] = {"earlier_rounds": [{"round": i} for i in range(begun)]}
    return manifest


LOOP = {"loop": {"rounds": 3}}
OF_A_ROUND = ["select", "generate", "embed-synthetic", "align", "rounds", "resample", "report"]


def test_a_run_has_rounds_where_there_is_a_loop():
    assert "rounds" not in pending(config(), {})
    assert pending(config(**LOOP), {}).index("rounds") == pending(config(**LOOP), {}).index("align") + 1


def test_the_next_round_begins_with_select_until_the_loop_is_over():
    cfg = config(**LOOP)
    assert pending(cfg, in_loop(cfg, over=1, begun=0)) == OF_A_ROUND
    assert pending(cfg, in_loop(cfg, over=1, begun=0, stopped_by="gain")) == []
    states = step_states(cfg, in_loop(cfg, over=1, begun=0), {})
    assert next(state.why for state in states if state.step.name == "select") == "round 2 of 3 is to come"
    assert not steps.begins_loop_anew(states, [state.step for state in states])


def test_a_loop_that_was_cut_off_goes_on_inside_its_round():
    cfg = config(**LOOP)
    manifest = in_loop(cfg, over=1, begun=1)
    del manifest["align"]
    assert pending(cfg, manifest) == ["align", "rounds", "resample", "report"]
    del manifest["select"]
    states = step_states(cfg, manifest, {})
    assert [state.step.name for state in states if not state.done] == OF_A_ROUND
    assert not steps.begins_loop_anew(states, [state.step for state in states])


@pytest.mark.parametrize("change", [{"cluster": {"k": 9}}, {"select": {"noise": 0.3}}, {"loop": {"rounds": 4}}])
def test_a_loop_begins_anew_where_what_its_rounds_rest_on_changes(change):
    manifest = in_loop(config(**LOOP), over=2, begun=1)
    states = step_states(config(**{**LOOP, **change}), manifest, {})
    assert steps.begins_loop_anew(states, [state.step for state in states])


def test_other_terms_of_the_loop_are_judged_without_doing_a_round_again():
    manifest = in_loop(config(**LOOP), over=2, begun=1, stopped_by="gain")
    assert pending(config(loop={"rounds": 3, "min_gain": 0.0}), manifest) == ["rounds", "report"]


def test_rounds_need_a_strategy_that_shows_rows_and_rows_to_share_out():
    with pytest.raises(ConfigError, match=r"loop\.rounds is 3, and generate\.strategy 'simprompt'"):
        config(**LOOP, generate={"strategy": "simprompt"})
    with pytest.raises(ConfigError, match=r"loop\.rounds is 3, more than generate\.target_rows=2"):
        config(**LOOP, generate={"target_rows": 2})


@pytest.mark.parametrize("change", [{"generate": {"task": "a review"}}, {"select": {"noise": 0.3}}, {"loop": {"rounds": 4}}])
@pytest.mark.parametrize("cut_off", ["select", "generate", None])
def test_a_loop_begins_anew_with_other_rows_whatever_was_cut_off(change, cut_off):
    """What the rounds rest on stands in their own entry, since the one of a step that is cut off is gone."""
    manifest = in_loop(config(**LOOP), over=1, begun=1)
    manifest.pop(cut_off, None)
    changed = config(**{**LOOP, **change})
    states = step_states(changed, manifest, {})
    assert [state.step.name for state in states if not state.done] == OF_A_ROUND
    assert steps.begins_loop_anew(states, [state.step for state in states if not state.done])
    with pytest.raises(LakeError, match="rounds: "):
        refuse_foreign_lake(states, changed)


def test_the_tables_of_a_loop_whose_next_round_is_due_are_not_the_last():
    manifest = in_loop(config(**LOOP), over=1, begun=0)
    assert steps.left_to_run(manifest) == pending(config(**LOOP), manifest) == OF_A_ROUND


def test_other_marks_of_copies_begin_the_loop_anew_though_select_was_cut_off():
    sets = {"evaluation_sets": [{"path": "test.jsonl"}]}
    cfg = config(dedup=sets, **LOOP)
    manifest = in_loop(cfg, over=1, begun=1)
    manifest |= {name: entry for name, entry in finished(cfg, evaluated=True).items() if name.startswith("dedup")}
    del manifest["select"]
    states = step_states(cfg, manifest, {})
    assert not steps.begins_loop_anew(states, [state.step for state in states if not state.done])
    states = step_states(config(dedup={**sets, "drop": "all"}, **LOOP), manifest, {})
    assert steps.begins_loop_anew(states, [state.step for state in states if not state.done])


def test_the_stage_of_the_loop_wants_a_loop():
    with pytest.raises(ConfigError, match=r"loop\.rounds is 1"):
        steps.require_known("rounds", config(generate={"strategy": "imported", "imported": {"path": "rows.jsonl"}}))
    steps.require_known("rounds", config(**LOOP))
