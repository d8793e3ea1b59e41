"""Long chunks read in windows: what a benchmark hands over in one piece may be more than a small model can work on.

A benchmark's chunk stays the unit of its protocol: all windows of a chunk carry its number, date, sources and query,
and the next chunk follows when they are read.
"""

from __future__ import annotations

from dataclasses import replace

from memquartet.agents.base import shipped_prompt
from memquartet.agents.extractor import FactExtractor
from memquartet.agents.prompt_sets import TAUGHT_CHUNK_TOKENS
from memquartet.core.messages import Message, Speaker
from memquartet.core.samples import Chunk
from memquartet.text.chunking import pack, split_text
from memquartet.text.remarks import remarks, speaker_of
from memquartet.text.tokens import default_counter

SIZES = (4096, 2048, 1024, 512, 256, 128)
"""The window sizes that are tried, largest first."""


def windows(chunk: Chunk, tokens: int | None) -> list[Chunk]:
    """The chunk in consecutive parts of at most `tokens` tokens; itself where None or short.

    Talk is cut between remarks and other text after lines. What is longer is cut after sentences, and every
    further part of a remark begins with its speaker's name again.
    """
    if tokens is None:
        return [chunk]
    count = default_counter().count
    if len(split_text(chunk.text, budget=tokens, count=count)) == 1:
        return [chunk]
    packs = pack(remarks(chunk.text), budget=tokens, count=count, separator="", lead=speaker_of)
    return [replace(chunk, text=part.text("")) for part in packs]


def window_for(extractor: FactExtractor) -> int | None:
    """The largest of `SIZES` that the extractor's model has room for; None where its window is not known, or wider.

    A model that was taught its role reads what it was taught on. Else a window of n tokens needs the prompt, the
    text, and about as many tokens again for the facts.
    """
    model = extractor.model
    if model.prompts is not None:
        return TAUGHT_CHUNK_TOKENS
    prompt = Message(speaker=Speaker.SYSTEM, content=extractor.settings.prompt or shipped_prompt("extractor"))

    def fits(tokens: int) -> bool:
        # " a" is one token; the rest of the model's own margin stays what it is.
        return model.fits((prompt, Message(speaker=Speaker.USER, content=" a" * (2 * tokens))))

    if fits(2 * SIZES[0]):
        return None
    return next((tokens for tokens in SIZES if fits(tokens)), SIZES[-1])
