"""Whether what was shown for a question comes from the chunks that hold its evidence.

By the chunk, because a stored fact knows its chunk and no smaller place; of a session that is cut into several, any. Raw text comes from every chunk that has its
line. A system that neither stores entries nor shows lines of the text cannot be judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from itertools import zip_longest

from memquartet.agents.rendering import as_read, undated
from memquartet.core.memory import EntryId
from memquartet.core.samples import Question, Sample
from memquartet.core.trajectory import Answer, Episode
from memquartet.rollout.lines import lines_of


def evidence_reached(sample: Sample, episode: Episode) -> list[float]:
    """For each answered question the share, in [0, 1], of its evidence whose chunk something shown comes from.

    Questions without evidence in the sample's chunks are left out; all of them where nothing shown has a known chunk.
    """
    place: defaultdict[str, set[int]] = defaultdict(set)
    for chunk in sample.chunks:
        for name in chunk.source_ids:
            place[name].add(chunk.index)
    wanted = {q.question_id: found for q in sample.questions if (found := _evidence(q, place))}
    by_entry, by_line = _chunks_of_entries(episode), _chunks_of_lines(sample)
    reached = {
        answer.question_id: _reached(answer, by_entry, by_line)
        for answer in episode.answers
        if answer.text is not None and answer.question_id in wanted
    }
    if not any(reached.values()):
        return []
    return [
        sum(not places.isdisjoint(chunks) for places in wanted[name]) / len(wanted[name])
        for name, chunks in reached.items()
    ]


def _evidence(question: Question, place: Mapping[str, Set[int]]) -> list[Set[int]]:
    return [place[name] for name in question.evidence if name in place]


def _reached(answer: Answer, by_entry: Mapping[EntryId, int], by_line: Mapping[str, Set[int]]) -> set[int]:
    reached: set[int] = set()
    for hit, text in zip_longest(answer.hits, answer.memories):
        if hit in by_entry:
            reached.add(by_entry[hit])
        else:  # no fact's entry: text of the sample
            lines = (undated(line).strip() for line in (text or "").splitlines())
            reached.update(chunk for line in lines for chunk in by_line.get(line, ()))
    return reached


def _chunks_of_entries(episode: Episode) -> dict[EntryId, int]:
    """The chunk that gave each entry its present content."""
    found: dict[EntryId, int] = {}
    for step in episode.steps:
        for outcome in step.outcomes:
            for receipt in outcome.receipts:
                if receipt.applied and receipt.after:
                    found[receipt.after.entry_id] = step.index
    return found


def _chunks_of_lines(sample: Sample) -> Mapping[str, Set[int]]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for chunk in sample.chunks:
        dated = as_read(chunk)
        for line in (*chunk.text.splitlines(), *dated.splitlines(), *lines_of(dated)):
            if line.strip():
                found[line.strip()].add(chunk.index)
    return found
