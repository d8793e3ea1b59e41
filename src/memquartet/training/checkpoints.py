"""Models in and out of training: a GGUF file as a folder to train, a run's checkpoint as a folder to use.

As a program: `python -m memquartet.training.checkpoints gguf FILE FOLDER` or `… merge CHECKPOINT FOLDER`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from tokenizers import decoders, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from memquartet.errors import ConfigError, InputError

END_OF_TURN, PADDING = "<|im_end|>", "<|endoftext|>"
_MODEL = "huggingface"
"""In a checkpoint, the folder of the model's config and tokenizer."""


def from_gguf(file: Path, folder: Path) -> None:
    """Write a GGUF model as a Hugging Face folder in bfloat16.

    A chat model of the SmolLM2 kind ends its turns with `<|im_end|>`, which its GGUF's tokenizer does not say.

    Raises:
        InputError: there is no such file.
    """
    if not file.is_file():
        raise InputError(f"{str(file)!r}: no such GGUF file")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    words = tokenizer.backend_tokenizer
    if isinstance(words.pre_tokenizer, pre_tokenizers.ByteLevel):
        # transformers writes a byte-fallback decoder before the byte-level one. The text is the same, but vLLM's grammars go
        # by it, and then refuse every token with a space where a JSON schema allows one.
        words.decoder = decoders.ByteLevel()
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    if END_OF_TURN in tokenizer.get_vocab():
        tokenizer.eos_token, tokenizer.pad_token = END_OF_TURN, PADDING
        for config in (model.config, model.generation_config):
            config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def merge(checkpoint: Path, folder: Path) -> None:
    """Write a run's checkpoint (`…/global_step_N`) as a Hugging Face folder, by verl's own merger.

    Raises:
        InputError: the folder holds no actor.
        ConfigError: verl could not merge it; the message ends with its last words.
    """
    actor = checkpoint / "actor"
    if not actor.is_dir():
        raise InputError(f"{str(checkpoint)!r} holds no folder 'actor': expected a run's global_step_N")
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    with _without_attention(actor) as readable:
        ended = subprocess.run(
            [*command, "--local_dir", str(readable), "--target_dir", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
    if ended.returncode:
        raise ConfigError(f"verl could not merge {str(checkpoint)!r}: {ended.stderr[-600:]}")


@contextmanager
def _without_attention(actor: Path) -> Iterator[Path]:
    """The actor's folder, its model's config without the attention it was trained with.

    verl writes that down. Where it was packed (`packed_attention`), neither the merger nor anybody who loads the merged
    model knows it by name.
    """
    with TemporaryDirectory(prefix="memquartet-") as place:
        copy = Path(place)
        (copy / _MODEL).mkdir()
        for one in (*actor.iterdir(), *(actor / _MODEL).glob("*")):
            if one.name == "config.json":
                config = json.loads(one.read_text(encoding="utf-8"))
                config.pop("attn_implementation", None)
                (copy / _MODEL / one.name).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            elif one.name != _MODEL:
                (copy / one.relative_to(actor)).symlink_to(one.resolve())
        yield copy


def merge_adapter(adapter: Path, base: Path, folder: Path) -> None:
    """Write an adapter (PEFT's form) and the model that it was made for as one Hugging Face folder in bfloat16.

    Raises:
        InputError: one of the folders does not hold what it should, or `folder` holds a model already.
    """
    from peft import PeftModel  # the other doors of this module do without

    if (folder / "config.json").exists():
        raise InputError(f"{str(folder)!r} holds a model already: choose another folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        whole = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{str(adapter)!r} is no adapter of {str(base)!r}: {error}") from error
    whole.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """A folder with the adapter or the model of a run's checkpoint, gone afterwards; other folders as they are.

    Raises:
        ConfigError: verl could not merge the checkpoint.
    """
    if not (source / "actor").is_dir():
        yield source
        return
    with TemporaryDirectory(prefix="memquartet-") as place:
        folder = Path(place)
        merge(source, folder)
        adapter = folder / "lora_adapter"
        yield adapter if adapter.is_dir() else folder


def main(arguments: list[str]) -> None:
    """Run one of the two from a command line.

    Raises:
        ConfigError: neither `gguf` nor `merge` with two paths was asked for.
    """
    actions = {"gguf": from_gguf, "merge": merge}
    if len(arguments) != 3 or arguments[0] not in actions:
        raise ConfigError(f"expected 'gguf FILE FOLDER' or 'merge CHECKPOINT FOLDER', got {arguments}")
    actions[arguments[0]](Path(arguments[1]), Path(arguments[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
