"""What stands in for the stages of a run, so that its shell is tested without Spark."""

import pyarrow as pa
import pyarrow.parquet as pq

from synalign_spark.pipeline.steps import STEPS

ALIGN = {"mmd2_before": 0.2, "mmd2_after": float("nan"), "n_real_holdout": 5, "ess": 2.0, "n_synthetic": 3, "verdict": "closer"}
GENERATE = {"accepted": 3, "stopped_by": "target", "calls": {"ok": 4}, "prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.5}
SUMMARIES = {
    "ingest": {"rows_accepted": 3, "rejected_by_reason": {}},
    "generate": GENERATE,
    "align": ALIGN,
    "report": {"report": "s3a://me:hunter2@bucket/report.html"},
}
NAMES = [step.name for step in STEPS if not step.on_request]
ROWS = 3


class Stages:
    """What stands in for the stages: each writes three rows a table; ``do`` has what else one does, before it writes."""

    def __init__(self, lake):
        self.lake, self.do, self.ran = lake, {}, []

    def load(self, step):
        def stage(ctx):
            with ctx.progress.task(step.name, total=ROWS) as task:
                task.update(1, "on its way")
            self.do.get(step.name, lambda ctx: None)(ctx)
            self.ran.append(step.name)
            for table in step.writes:
                folder = self.lake / table.name / "run_id=default"
                folder.mkdir(parents=True, exist_ok=True)
                schema = table.arrow
                pq.write_table(pa.table([pa.nulls(ROWS, field.type) for field in schema], schema.names), folder / "part.parquet")
            return SUMMARIES.get(step.name, {})

        return stage


def fails(err):
    def stage(ctx):
        raise err

    return stage
