"""How fast plain vLLM draws what a run's rollout drew: the same prompts, outputs as long, all requests at once.

    python benchmarks/plain_vllm.py MODEL RUN [--gpu-memory-utilization 0.2] [--json PATH]

MODEL is the Hugging Face folder that RUN (of `memquartet train`, with vLLM) began from. The prompts are those of RUN's
first validation, which samples one output for each; vLLM gets the run's settings, the prompts in one call, and draws for
each exactly as many tokens as the run did. What it reaches is an upper bound: an episode's next prompt needs the last output.
The run's own rate is that of its training steps after the first: tokens that were drawn by `timing/rollout`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import vllm
from transformers import AutoTokenizer
from vllm import LLM, SamplingParams

from memquartet.core.trajectory import Role
from memquartet.training.records import read_run

PASSES = 3


def drawn_a_second(data: Mapping[str, float]) -> float:
    """Tokens that a step of the run drew, by the seconds of its rollout."""
    return sum(data.get(f"role/{role}/tokens", 0.0) for role in Role) / data["timing/rollout"]


def main() -> None:
    """Measure, print, and write JSON where it is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    run = read_run(given.run)
    steps = [data for _, data in sorted(run.metrics.items()) if "timing/rollout" in data][1:]
    if not steps or not run.transcripts:
        parser.error(f"{given.run} holds no second step or no validation")
    episodes = run.transcripts[min(run.transcripts)]
    calls = [call for episode in episodes for call in episode.calls if call.output]
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    prompts = tokenizer([call.input for call in calls])["input_ids"]
    lengths = [len(ids) for ids in tokenizer([call.output for call in calls])["input_ids"]]

    model = LLM(
        model=str(given.model),
        max_model_len=2048,
        max_num_seqs=1024,
        max_num_batched_tokens=32768,
        gpu_memory_utilization=given.gpu_memory_utilization,
        enable_prefix_caching=True,
        seed=0,
    )
    params = [
        SamplingParams(temperature=1.0, max_tokens=count, ignore_eos=True, logprobs=0) for count in lengths
    ]
    seconds = []
    for _ in range(PASSES + 1):  # the first warms up
        model.reset_prefix_cache()
        begun = time.perf_counter()
        model.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        seconds.append(time.perf_counter() - begun)
    plain = sum(lengths) / statistics.median(seconds[1:])
    ours = statistics.median(drawn_a_second(data) for data in steps)
    found = {
        "calls": len(calls),
        "prompt_tokens": sum(map(len, prompts)),
        "output_tokens": sum(lengths),
        "plain_seconds": seconds[1:],
        "plain_tokens_a_second": plain,
        "rollout_steps": len(steps),
        "rollout_tokens_a_second": ours,
        "ratio": ours / plain,
        "vllm": vllm.__version__,
    }
    print(f"plain vLLM   {plain:10,.0f} tokens a second ({len(calls)} calls, median of {PASSES} passes)")
    print(f"the rollout  {ours:10,.0f} tokens a second (median of {len(steps)} steps), {ours / plain:.0%}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
