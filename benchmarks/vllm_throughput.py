"""Rollout of a training run against plain vLLM: output tokens a second.

    memquartet data demonstrations 'world:conflict?n=60' 'world:friends?n=60' --prompts short --out prompts.parquet
    python benchmarks/vllm_throughput.py plain --model warm --prompts prompts.parquet --json plain.json
    python benchmarks/vllm_throughput.py compare --plain plain.json --run runs/first [--json PATH]

Plain vLLM gets the prompts of all four roles at once, in one process, with the run's sampling; nothing waits for
anything. In a run the calls of an episode wait for each other (the manager reads what the extractor said), which no
engine can help. `plain` needs a GPU and vLLM, `compare` neither.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from memquartet.training.demonstration_sets import read_demonstrations

MAX_TOKENS = {"answerer": 48, "summarizer": 96}
DEFAULT_MAX_TOKENS = 320
WARM_STEPS = 2
"""Steps of the run that are not counted: kernels are compiled in them."""
ROLES = ("extractor", "manager", "summarizer", "answerer")


def prompts_of(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Role and messages of each demonstration, without what should be said."""
    return [
        (
            shown.role.value,
            [{"role": message.speaker.value, "content": message.content} for message in shown.messages],
        )
        for shown in read_demonstrations(path)
    ]


def rollout_of(run: Path) -> dict[str, float]:
    """Medians over the steps after the first ones: output tokens, seconds of the rollout, tokens a second."""
    steps = []
    for path in sorted(run.glob("metrics-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)["data"]
            if "timing/rollout" in data and data["training/global_step"] > WARM_STEPS:
                tokens = sum(data.get(f"role/{role}/tokens", 0) for role in ROLES)
                steps.append((tokens, data["timing/rollout"]))
    return {
        "steps": len(steps),
        "output_tokens": statistics.median(tokens for tokens, _ in steps),
        "seconds": statistics.median(seconds for _, seconds in steps),
        "tokens_a_second": statistics.median(tokens / seconds for tokens, seconds in steps),
    }


def plain(model: Path, prompts: list[tuple[str, list[dict[str, str]]]], repeats: int) -> dict[str, float]:
    """Every prompt at once."""
    from vllm import LLM, SamplingParams

    engine = LLM(
        str(model),
        dtype="bfloat16",
        gpu_memory_utilization=0.4,
        max_num_seqs=1024,
        max_num_batched_tokens=32768,
        max_model_len=1024 + DEFAULT_MAX_TOKENS,
    )
    sampling = [
        SamplingParams(temperature=1.0, max_tokens=MAX_TOKENS.get(role, DEFAULT_MAX_TOKENS), logprobs=0)
        for role, _ in prompts
    ]
    rates = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        outputs = engine.chat([messages for _, messages in prompts], sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        rates.append((sum(len(output.outputs[0].token_ids) for output in outputs), seconds))
    tokens, seconds = rates[-1]
    return {
        "prompts": len(prompts),
        "output_tokens": tokens,
        "seconds": seconds,
        "tokens_a_second": statistics.median(t / s for t, s in rates[1:]),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["plain", "compare"])
    parser.add_argument("--model", type=Path, help="plain: the model that the run began from")
    parser.add_argument("--prompts", type=Path, help="plain: demonstrations, of which the prompts are taken")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plain", type=Path, help="compare: what `plain --json` wrote")
    parser.add_argument("--run", type=Path, help="compare: the folder of a training run")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.what == "plain":
        result = {"plain": plain(options.model, prompts_of(options.prompts), options.repeats)}
    else:
        result = json.loads(options.plain.read_text(encoding="utf-8"))
        result["rollout"] = rollout_of(options.run)
        result["ratio"] = {
            "rollout_to_plain": result["rollout"]["tokens_a_second"] / result["plain"]["tokens_a_second"]
        }
    for name, values in result.items():
        print(name, {key: round(value, 3) for key, value in values.items()})
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
