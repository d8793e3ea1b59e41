"""Build the package's static embedding table and tokenizer from wordllama's wheel.

    pip download --no-deps wordllama==0.4.0.post1 -d WHEEL_DIR
    python scripts/build_static_embedder.py WHEEL_DIR/wordllama-0.4.0.post1-*.whl

The same wheel gives the same bytes. Steps on the table: subtract the mean of all learned rows, take the square
root of each row's length (lengths from 1 to 19 let one rare word drown a sentence), round to int8 with one
scale for the whole table. The scale is not stored: pooled vectors are normalised, so it cancels.
From the tokenizer the special tokens are removed, because stored text is data: "</s>" must be plain text.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parent.parent / "src" / "memquartet" / "text" / "data"
WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"
LICENSE = "wordllama-0.4.0.post1.dist-info/licenses/LICENSE"
BYTE_ROWS = 259  # special tokens and raw bytes: no meaning of their own
SHA256 = {
    WEIGHTS: "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    TOKENIZER: "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
}


def read_table(data: bytes) -> NDArray[np.float32]:
    """The one float16 tensor of a safetensors file, as float32 (tokens, dim)."""
    (header_size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_size])["embedding.weight"]
    table = np.frombuffer(data, np.float16, offset=8 + header_size).reshape(header["shape"])
    return table.astype(np.float32)


def compact(table: NDArray[np.float32]) -> NDArray[np.int8]:
    """Centre, damp the row lengths and round to int8."""
    centred = table - table[BYTE_ROWS:].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    damped = centred / np.sqrt(np.maximum(lengths, 1e-9))
    rounded: NDArray[np.int8] = np.round(damped * (127 / np.abs(damped).max())).astype(np.int8)
    return rounded


def strip_special_tokens(tokenizer: bytes) -> bytes:
    """The tokenizer's JSON without special tokens and without the template that adds them."""
    config = json.loads(tokenizer)
    config["added_tokens"] = []
    config["post_processor"] = None
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="wordllama-0.4.0.post1-*.whl, any platform")
    with zipfile.ZipFile(parser.parse_args().wheel) as wheel:
        sources = {name: wheel.read(name) for name in (WEIGHTS, TOKENIZER, LICENSE)}
    for name, expected in SHA256.items():
        actual = hashlib.sha256(sources[name]).hexdigest()
        if actual != expected:
            raise SystemExit(
                f"{name!r} has sha256 {actual}, expected {expected}: is it wordllama 0.4.0.post1?"
            )

    table = io.BytesIO()
    np.save(table, compact(read_table(sources[WEIGHTS])), allow_pickle=False)
    outputs = {
        "l2-supercat-256.npy": table.getvalue(),
        "l2-supercat-tokenizer.json.gz": gzip.compress(strip_special_tokens(sources[TOKENIZER]), 9, mtime=0),
        "LICENSE.wordllama": sources[LICENSE],
    }
    DATA.mkdir(exist_ok=True)
    for name, data in outputs.items():
        (DATA / name).write_bytes(data)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in outputs.items())
    (DATA / "SHA256SUMS").write_text(sums, encoding="utf-8")
    print(sums, end="")


if __name__ == "__main__":
    main()
