"""verl's rollout `in_process`: one Ray actor a replica that draws tokens with PyTorch, and its weight updates."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import ray
import torch
from ray.actor import ActorHandle
from transformers import AutoModelForCausalLM
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.tokenizer import normalize_token_ids
from verl.workers.config import HFModelConfig
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from memquartet.training.sampler import Request, Running, Sampler

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.01
"""How long an idle server waits for the rest of a burst, so that it becomes one padded prefill."""

RESTARTS = 3
"""How often a server that died is started anew."""


def _server_name(replica_rank: int) -> str:
    return f"memquartet_sampler_{ray.get_runtime_context().get_job_id()}_{replica_rank}"


class SamplerServer:
    """A model behind verl's server interface. Generation runs in a thread, one step at a time."""

    def __init__(self, config: Any, model_config: Any, replica_rank: int) -> None:  # OmegaConf from verl
        """Load the model from its folder (verl sends the first weights before anything is asked)."""
        self._config = omega_conf_to_dataclass(config)
        model = omega_conf_to_dataclass(model_config, dataclass_type=HFModelConfig)
        dtype = getattr(torch, self._config.dtype)
        network = AutoModelForCausalLM.from_pretrained(
            model.local_path, dtype=dtype, attn_implementation="sdpa"
        )
        listed = network.generation_config.eos_token_id
        eos = {model.tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])} - {None}
        self._sampler = Sampler(
            network, eos, seed=self._config.seed + replica_rank, max_running=self._config.max_num_seqs
        )
        self._waiters: dict[Running, asyncio.Future[None]] = {}
        self._lock = asyncio.Lock()
        self._open = asyncio.Event()
        self._open.set()
        self._work: asyncio.Task[None] | None = None
        self._version: int | None = None

    async def ready(self) -> None:
        """Return once the model is loaded."""

    # What was asked of a server that died is lost: its rows are masked. Everything else waits for the new one.
    @ray.method(max_task_retries=0)
    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling_params: Mapping[str, Any],
        request_id: str,
        **_: object,  # images, video and priority of other servers
    ) -> TokenOutput:
        """Draw one output.

        Raises:
            ValueError: the prompt leaves no room for an output.
            RuntimeError: the server was restarted and has no weights of this run yet.
        """
        if self._version is None:
            raise RuntimeError("the server was restarted: it answers again after the next weights")
        prompt = tuple(normalize_token_ids(prompt_ids))
        limit = self._config.max_model_len or self._config.prompt_length + self._config.response_length
        room = min(limit - len(prompt), sampling_params.get("max_tokens") or self._config.response_length)
        if room < 1:
            raise ValueError(f"a prompt of {len(prompt)} tokens leaves no room in {limit}")
        await self._open.wait()
        running = self._sampler.submit(
            Request(
                prompt=prompt,
                max_tokens=room,
                temperature=sampling_params.get("temperature", 1.0),
                top_p=sampling_params.get("top_p", 1.0),
                top_k=sampling_params.get("top_k", -1),
                ignore_eos=self._config.ignore_eos,
                seed=sampling_params.get("seed"),
            )
        )
        self._waiters[running] = asyncio.get_running_loop().create_future()
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._serve())
        await self._waiters[running]
        return TokenOutput(
            token_ids=running.tokens,
            log_probs=running.logprobs if sampling_params.get("logprobs") else None,
            stop_reason=running.stop_reason,
            num_preempted=0,
            extra_fields={"global_steps": self._version},
        )

    async def _serve(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        while not self._sampler.idle:
            async with self._lock:
                try:
                    ended = await asyncio.to_thread(self._sampler.step)
                except RuntimeError as error:
                    logger.exception("a decoding step failed; its requests fail with it")
                    for running in self._sampler.abort():
                        self._waiters.pop(running).set_exception(RuntimeError(str(error)))
                    continue
            self._finish(ended)

    def _finish(self, ended: Iterable[Running]) -> None:
        for running in ended:
            self._waiters.pop(running).set_result(None)

    async def load_weights(self, weights: Sequence[tuple[str, torch.Tensor]]) -> None:
        """Copy one bucket of weights in, between two steps."""
        async with self._lock:
            unknown = await asyncio.to_thread(self._sampler.load, weights)
        if unknown:
            logger.warning("the sampler has no weights named %s", unknown[:5])

    async def set_version(self, version: int) -> None:
        """Which training step the weights are from; it travels with every output."""
        self._version = version

    async def abort_all_requests(self, reject_request: bool = False) -> None:  # noqa: FBT001, FBT002 - verl's signature
        """End what runs and hold back what comes until `resume_generation`."""
        self._open.clear()
        async with self._lock:
            self._finish(self._sampler.abort())

    async def resume_generation(self) -> None:
        """Serve again."""
        self._open.set()

    async def nothing_to_do(self, *_: object, **__: object) -> None:
        """Caches and sleep modes belong to accelerators."""

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = nothing_to_do
    start_profile = stop_profile = nothing_to_do


class SamplerReplica(RolloutReplica):
    """Starts the server of one replica."""

    server_class: ClassVar[type[SamplerServer]] = SamplerServer

    async def launch_servers(self) -> None:
        """Start the Ray actor and wait until it is ready."""
        self._server_handle = (
            ray.remote(self.server_class)
            .options(
                name=_server_name(self.replica_rank),
                num_cpus=1,
                max_concurrency=self.max_concurrency,
                max_restarts=RESTARTS,
                max_task_retries=RESTARTS,
            )
            .remote(self.config, self.model_config, self.replica_rank)
        )
        await self._server_handle.ready.remote()
        self.servers = [self._server_handle]
        self._server_address = f"sampler-{self.replica_rank}"


class SamplerAdapter(BaseRollout):
    """Lives in the training worker and sends its weights to the replica's server through Ray's object store."""

    def __init__(
        self,
        config: Any,  # verl's RolloutConfig
        model_config: Any,  # verl's HFModelConfig
        device_mesh: object,
        replica_rank: int = -1,
        **_: object,
    ) -> None:
        """Find out which replica this worker feeds; a replica's first worker sends for the others."""
        super().__init__(config, model_config, device_mesh)
        rank = int(os.environ["RANK"])
        size = (
            config.tensor_model_parallel_size
            * config.data_parallel_size
            * config.pipeline_model_parallel_size
        )
        self._replica_rank = rank // size if replica_rank == -1 else replica_rank
        self._leads = rank % size == 0

    @property
    def _server(self) -> ActorHandle:
        return ray.get_actor(_server_name(self._replica_rank))

    async def resume(self, tags: Sequence[str]) -> None:
        """Nothing was released."""

    async def release(self) -> None:
        """Host memory stays."""

    @torch.no_grad()
    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        global_steps: int | None = None,
        wire_format: str = "named_tensors",
        **_: object,
    ) -> None:
        """Send all weights in buckets.

        Raises:
            ValueError: verl was set to another wire format than whole tensors.
        """
        if wire_format != "named_tensors":
            raise ValueError(f"the in-process rollout takes 'named_tensors', got {wire_format!r}")
        limit = self.config.checkpoint_engine.update_weights_bucket_megabytes << 20
        dtype = getattr(torch, self.config.dtype)
        bucket: list[tuple[str, torch.Tensor]] = []
        size = 0
        for name, tensor in weights:  # every worker drains the iterator: gathering a tensor is collective
            if not self._leads:
                continue
            bucket.append((name, tensor.detach().to(dtype).contiguous()))
            size += bucket[-1][1].nbytes
            if size >= limit:
                await self._server.load_weights.remote(bucket)
                bucket, size = [], 0
        if self._leads:
            await self._server.load_weights.remote(bucket)
            if global_steps is not None:
                await self._server.set_version.remote(global_steps)
