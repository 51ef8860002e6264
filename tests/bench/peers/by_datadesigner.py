"""Calls by NVIDIA NeMo Data Designer, in its own environment: python by_datadesigner.py ADDRESS CALLS"""

import os
import sys
import tempfile

os.environ |= {"NEMO_TELEMETRY_ENABLED": "false", "DATA_DESIGNER_HOME": tempfile.mkdtemp(), "BENCH_KEY": "none"}

import data_designer.config as dd
from data_designer.interface import DataDesigner
from spent import report

CONCURRENCY = 256
WORDS = "a word " * 150


def main() -> None:
    address, calls = sys.argv[1], int(sys.argv[2])
    provider = dd.ModelProvider(name="bench", endpoint=address, api_key="BENCH_KEY")
    asked = dd.ChatCompletionInferenceParams(max_parallel_requests=CONCURRENCY, max_tokens=512)
    model = dd.ModelConfig(alias="bench", model="bench", provider="bench", inference_parameters=asked, skip_health_check=True)
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.add_column(dd.SamplerColumnConfig(name="number", sampler_type=dd.SamplerType.UUID, params=dd.UUIDSamplerParams()))
    builder.add_column(dd.LLMTextColumnConfig(name="text", model_alias="bench", prompt=f"{{{{ number }}}} {WORDS}"))
    with tempfile.TemporaryDirectory() as folder:
        designer = DataDesigner(artifact_path=folder, model_providers=[provider])
        with report():
            designer.create(builder, num_records=calls).load_dataset()


if __name__ == "__main__":
    main()
