"""The same calls by other tools, each in an environment of its own, beside the engine: calls a second and CPU seconds for a thousand.

    python tests/bench/peers/run.py [--quick] [--only curator,datadesigner] [--environments FOLDER]

All ask one loopback server in a process of its own, whose CPU time is not counted: free calls of 50 ms, 256 at once. Figures are marginal,
of a long run less those of a short one, so that starting up counts nowhere. Environments are made by uv at the first start (600 MB each) in
FOLDER, by default in the benchmarks' cache (SYNALIGN_BENCH_CACHE). The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # a script's own folder is on the path, the project's is not

from tests.bench.generate import by_engine
from tests.bench.support.arguments import names
from tests.bench.support.endpoint import Endpoint, Options, endpoint
from tests.bench.support.engine_runs import cost

HERE = Path(__file__).resolve().parent
PEERS = {"curator": ("bespokelabs-curator", "0.1.31"), "datadesigner": ("data-designer", "0.9.7")}
Work = Callable[[Endpoint, int], tuple[float, float]]  # a number of calls -> seconds and CPU seconds


def environment(name: str, folder: Path) -> Path:
    """The Python of a peer's environment, which is made where it is not there."""
    package, version = PEERS[name]
    place = folder / f"{name}-{version}"
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", f"{sys.version_info.major}.{sys.version_info.minor}", str(place)], check=True
        )
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), f"{package}=={version}"], check=True)
        (place / "complete").touch()
    return python


def by_peer(name: str, python: Path) -> Work:
    def work(server: Endpoint, n: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(python), str(HERE / f"by_{name}.py"), server.base_url, str(n)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"TMPDIR": folder})
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-2_000:]}")
        spent = json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith('{"seconds"')))
        return spent["seconds"], spent["cpu_s"]

    return work


def by_synalign(backend: str) -> Work:
    def work(server: Endpoint, n: int) -> tuple[float, float]:
        with cost(server.process.pid) as spent:
            started = time.monotonic()
            by_engine(backend)(server, n)
            seconds = time.monotonic() - started
        return seconds, spent.cpu_s

    return work


def measured(server: Endpoint, work: Work, few: int, many: int) -> dict[str, float]:
    """answered_share: of the calls of both runs, which must be all of them."""
    parts, answered = [], 0
    for n in (few, many):
        server.change(Options())
        parts.append(work(server, n))
        answered += len(server.seen().ids)
    seconds, cpu_s = (after - before for before, after in zip(*parts, strict=True))
    return {
        "calls_per_s": round((many - few) / seconds, 1),
        "cpu_s_per_1000": round(1_000 * cpu_s / (many - few), 2),
        "answered_share": round(answered / (few + many), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 calls instead of 10,000")
    parser.add_argument("--only", type=names(list(PEERS)), default=list(PEERS), help=f"of {', '.join(PEERS)}")
    cache = Path(os.environ.get("SYNALIGN_BENCH_CACHE", Path(tempfile.gettempdir()) / "synalign-bench"))
    parser.add_argument("--environments", type=Path, default=cache / "peers", metavar="FOLDER")
    given = parser.parse_args()
    few, many = (300, 1_300) if given.quick else (1_000, 11_000)
    works: dict[str, Work] = {name: by_peer(name, environment(name, given.environments)) for name in given.only}
    works |= {"synalign_in_process": by_synalign("in_process"), "synalign_ray": by_synalign("ray")}
    found: dict[str, Any] = {}
    with endpoint() as server:
        for name, work in works.items():
            found[name] = measured(server, work, few, many)
            print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "peers", "quick": given.quick, **found}))


if __name__ == "__main__":
    main()
