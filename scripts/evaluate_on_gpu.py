"""All systems on all development sets on one GPU machine, within a time limit.

    python evaluate_on_gpu.py --model MODEL_DIR --sets SETS_DIR --out OUT_DIR [--seconds 300]

Starts vLLM's OpenAI server on MODEL_DIR (a Hugging Face folder), then runs `memquartet eval run` for every set of
SETS_DIR (written by benchmarks/evaluation_sets.py) and every system, each pair in a process of its own, those that
take longest first. When the seconds are over nothing new is begun, and what was finished is kept.

The server first starts with CUDA graphs for decoding and without compiling, because the systems that read chunk by chunk
wait for one short call after the other; where that fails, with `--enforce-eager`. `--server URL` takes a server that
runs already.

OUT_DIR gets table.md, table.json, report.html, runs.tar.gz (results and a line for each question), logs.tar.gz and,
where --transcripts names sets, transcripts-SET.tar.gz.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEMS = (
    "quartet", "memory_r1", "mem0", "mem_alpha", "memagent", "mmoa_rag",
    "full_context", "rag_hybrid", "rag_embedding", "rag_bm25", "camelot", "no_memory",
)  # fmt: skip
"""Those that wait for the most calls one after the other come first."""
SETS = ("locomo", "longmemeval", "factconsolidation", "mab_like", "lexeval", "icl_trec")
SETTINGS: Mapping[tuple[str, str], Sequence[str]] = {
    # A pass over 122,000 tokens for each of 100 questions is more than all the rest together.
    ("icl_trec", "memagent"): ("memagent.per_question=false",)
}
DECODE_GRAPHS = json.dumps(
    {
        "mode": 0,
        "cudagraph_mode": "FULL_DECODE_ONLY",
        "cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    }
)
STRICT_JSON = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
"""A small model that may write white space between any two JSON tokens may write nothing else. Not for a taught model: it
writes none, and vLLM then forces a space behind every comma and colon, which is not what it was taught."""
STARTS = (("--compilation-config", DECODE_GRAPHS), ("--enforce-eager",))
# FlashInfer's sampler compiles itself at the first call; nothing can be fetched or reported.
ENVIRONMENT = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A system on a set; its run folder is OUT/runs/SET/SYSTEM."""

    set_name: str
    system: str
    folder: Path


def main() -> None:
    """Evaluate, and write what is found."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "logs").mkdir()
        begun = time.monotonic()
        with _server(options, work / "logs") as url:
            ready = time.monotonic() - begun
            print(f"server ready after {ready:.0f} s", flush=True)
            jobs = [
                Job(set_name=name, system=system, folder=work / "runs" / name / system)
                for name in options.set or SETS
                for system in options.system or SYSTEMS
                if (options.sets / f"{name}.jsonl").exists()
            ]
            started = time.monotonic()
            _run_all(jobs, url, options, work / "logs")
            took = time.monotonic() - started
        _write(jobs, options, work, {"server_seconds": round(ready), "seconds": round(took)})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="Hugging Face folder")
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=300, help="for the runs, after the server is up")
    parser.add_argument("--grace", type=float, default=20, help="seconds for calls under way when it is over")
    parser.add_argument("--port", type=int, default=8177, help="of the server that is started")
    parser.add_argument("--server-seconds", type=float, default=280, help="until the server answers")
    parser.add_argument("--server", metavar="URL", help="use this server, as in http://localhost:8000/v1")
    parser.add_argument(
        "--server-arg", action="append", default=[], help="for vLLM's server: --server-arg=--key=value"
    )
    parser.add_argument("--name", default="smollm2-135m", help="the model's name in results")
    parser.add_argument(
        "--prompts", help="the prompts that the model was taught with (short, or a folder), if it was"
    )
    parser.add_argument("--set", action="append", help="only this set; may be given again")
    parser.add_argument("--system", action="append", help="only this system; may be given again")
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="SYSTEM.KEY=VALUE",
        help="as --set of memquartet eval run; may be given again",
    )
    parser.add_argument("--questions", type=int, help="at most so many questions of each sample")
    parser.add_argument("--context-tokens", type=int, help="as of memquartet eval run")
    parser.add_argument("--processes", type=int, default=36)
    parser.add_argument("--calls-at-once", type=int, default=64, help="of each process")
    parser.add_argument("--transcripts", action="append", default=[], metavar="SET")
    options = parser.parse_args()
    if not (options.model or options.server):
        parser.error("give --model DIR, or --server URL of one that runs")
    wanted = options.set or SETS
    here = [name for name in wanted if (options.sets / f"{name}.jsonl").exists()]
    if not here or (options.set and here != options.set):
        parser.error(
            f"{options.sets} lacks {', '.join(one for one in wanted if one not in here)}: write the sets with benchmarks/evaluation_sets.py"
        )
    return options


@contextmanager
def _server(options: argparse.Namespace, logs: Path) -> Iterator[str]:
    """The address of a server that answers; one that was started here is stopped at the end."""
    if options.server:
        if not _wait(options.server, options.name, options.server_seconds, None):
            raise SystemExit(
                f"no answer from {options.server} for the model {options.name}: see --server and --name"
            )
        yield options.server
        return
    url = f"http://127.0.0.1:{options.port}/v1"
    until = time.monotonic() + options.server_seconds
    for more in STARTS:
        with (logs / f"server{more[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [*_server_command(options), *more, *options.server_arg],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
            try:
                if _wait(url, options.name, until - time.monotonic(), process):
                    yield url
                    return
            finally:
                _end(process)
        print(f"the server did not start with {' '.join(more)}:", flush=True)
        print(Path(log.name).read_text(encoding="utf-8", errors="replace")[-2_000:], flush=True)
    raise SystemExit("no server: see above")


def _server_command(options: argparse.Namespace) -> list[str]:
    return [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(options.model), "--served-model-name", options.name,
        "--host", "127.0.0.1", "--port", str(options.port),
        "--max-model-len", "8192", "--gpu-memory-utilization", "0.6",
        "--max-num-seqs", "512", "--max-num-batched-tokens", "16384",
        "--enable-prefix-caching", "--generation-config", "vllm", "--seed", "0",
        "--uvicorn-log-level", "warning",
        *(() if options.prompts else ("--structured-outputs-config", STRICT_JSON)),
    ]  # fmt: skip


def _wait(url: str, name: str, seconds: float, process: subprocess.Popen[bytes] | None) -> bool:
    """Whether the server answers a call within the seconds; False as soon as its process is over."""
    body = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process is not None and process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return bool(json.load(reply)["choices"])
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


def _run_all(jobs: Sequence[Job], url: str, options: argparse.Namespace, logs: Path) -> None:
    """Run the jobs, so many at once, until all are over or the time is."""
    until = time.monotonic() + options.seconds
    waiting, running = deque(_longest_first(jobs)), dict[Job, subprocess.Popen[bytes]]()
    while (waiting or running) and time.monotonic() < until + options.grace:
        for job in [job for job, process in running.items() if process.poll() is not None]:
            code = running.pop(job).returncode
            left = until - time.monotonic()
            print(f"{left:5.0f} s left: {job.set_name} {job.system} ended with {code}", flush=True)
        while waiting and len(running) < options.processes and until - time.monotonic() > 1:
            job = waiting.popleft()
            running[job] = _start(job, url, options, logs, until - time.monotonic())
        if not running:
            break
        time.sleep(0.1)
    for process in running.values():
        _end(process)


def _longest_first(jobs: Sequence[Job]) -> list[Job]:
    """By system, in the order of SYSTEMS; those that are not there last."""
    order = {name: place for place, name in enumerate(SYSTEMS)}
    return sorted(jobs, key=lambda job: order.get(job.system, len(order)))


def _start(
    job: Job, url: str, options: argparse.Namespace, logs: Path, seconds: float
) -> subprocess.Popen[bytes]:
    settings = [
        *SETTINGS.get((job.set_name, job.system), ()),
        *(one for one in options.setting if one.startswith(f"{job.system}.")),
    ]
    taught_with = f"?prompts={options.prompts}" if options.prompts else ""
    command = [
        sys.executable, "-m", "memquartet", "eval", "run", "--quiet", "--json",
        "--benchmark", str(options.sets / f"{job.set_name}.jsonl"),
        "--system", job.system, "--out", str(job.folder),
        "--model", f"openai:{options.name}@{url}{taught_with}",
        "--max-seconds", f"{seconds:.0f}",
        "--samples-at-once", "64", "--questions-at-once", "256",
        "--calls-at-once", str(options.calls_at_once),
        *(part for one in settings for part in ("--set", one)),
        *(("--questions", str(options.questions)) if options.questions else ()),
        *(("--context-tokens", str(options.context_tokens)) if options.context_tokens else ()),
    ]  # fmt: skip
    # One thread each: the machine's cores are shared by many of these processes.
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with (logs / f"{job.set_name}.{job.system}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, **alone},
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _write(jobs: Sequence[Job], options: argparse.Namespace, work: Path, told: dict[str, object]) -> None:
    """The table, the report, and the folders packed."""
    rows = [_row(job) for job in jobs]
    table = {
        "model": options.name,
        "prompts": options.prompts,
        **told,
        "settings": options.setting,
        "rows": rows,
    }
    (options.out / "table.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    (options.out / "table.md").write_text(_markdown(rows), encoding="utf-8")
    print(_markdown(rows), flush=True)
    finished = [str(job.folder) for job in jobs if (job.folder / "results.json").exists()]
    if finished:
        report = [sys.executable, "-m", "memquartet", "eval", "report", *finished]
        subprocess.run([*report, "--out", str(options.out / "report.html")], check=False)
    _pack(options.out / "logs.tar.gz", work, work.glob("logs/*"))
    kept = ("run.json", "results.json", "*.questions.jsonl")
    _pack(options.out / "runs.tar.gz", work, (path for one in kept for path in work.glob(f"runs/*/*/{one}")))
    for name in options.transcripts:
        paths = (path for path in work.glob(f"runs/{name}/*/*.jsonl") if "questions" not in path.name)
        _pack(options.out / f"transcripts-{name}.tar.gz", work, paths)


def _pack(target: Path, root: Path, paths: Iterator[Path]) -> None:
    with tarfile.open(target, "w:gz", compresslevel=6) as packed:
        for path in sorted(paths):
            packed.add(path, arcname=str(path.relative_to(root)))


def _row(job: Job) -> dict[str, Any]:  # Any: the results' JSON
    """What the table says about a job; a run that left no results has counts of zero."""
    row: dict[str, Any] = {"set": job.set_name, "system": job.system, "n": 0, "mean": None}
    path = job.folder / "results.json"
    if not path.exists():
        return row
    (result,) = json.loads(path.read_text(encoding="utf-8"))["results"]
    scores = result["scores"]
    costs = {
        f"{part}_{key}": result[part][key]
        for part in ("reading", "answering")
        for key in ("calls", "prompt_tokens", "output_tokens")
    }
    for part in ("reading", "answering"):
        costs[f"{part}_seconds"] = result[part]["seconds"]["total"]
    categories = {name: one for name, one in scores.items() if name != "overall"}
    counts = result["counts"]
    return {**row, **scores["overall"], "categories": categories, "counts": counts, **costs}


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column a set; a cell is the mean in percent, its interval, and n where questions are missing."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    cells = {(row["set"], row["system"]): row for row in rows}
    lines = [f"| system | {' | '.join(sets)} |", f"|{' --- |' * (len(sets) + 1)}"]
    for system in dict.fromkeys(row["system"] for row in rows):
        shown = " | ".join(_cell(cells[name, system]) for name in sets)
        lines.append(f"| {system} | {shown} |")
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any]) -> str:
    if row["mean"] is None:
        return "–"
    text = f"{100 * row['mean']:.1f}"
    if row.get("low") is not None:
        text += f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    missing = row.get("unscored") or 0
    return f"{text} (n={row['n']}, {missing} missing)" if missing else f"{text} (n={row['n']})"


if __name__ == "__main__":
    main()
