"""ROUGE by longest common subsequences, after the two packages that the benchmarks score with.

`rouge_l` and `rouge_l_sum` follow google-research's rouge_score with its Porter stemmer (MemoryAgentBench);
`chinese_rouge_l` follows pltrdy's rouge 1.0.1 over jieba's words (LexEval in MemoryBench). Which of several equally
long subsequences is taken matters where their words are counted; each keeps its package's choice.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from memquartet.scoring.stemming import porter_stem

_NO_TOKEN = re.compile(r"[^a-z0-9]+")
_STEMMED_FROM = 4
_CHINESE_PUNCTUATION = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿"  # noqa: RUF001
    "–—‘’‛“”„‟…‧﹏."  # noqa: RUF001
)
_DROPPED = dict.fromkeys(map(ord, string.punctuation + _CHINESE_PUNCTUATION))
_EPSILON = 1e-8
# Python's recursion limit of 1000 less the frames below the package's recursive read-out, as the evaluator calls it.
_OFFICIAL_STEPS = 985


@dataclass(frozen=True, slots=True, kw_only=True)
class Rouge:
    """Shares of the prediction and of the answer that the other has, in [0, 1]."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean; 0 when both are 0."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


class _Tie(StrEnum):
    """Which side is stepped back where both leave an equally long subsequence."""

    ANSWER = "answer"
    PREDICTION = "prediction"


class DeepTexts(StrEnum):
    """What a pair of texts scores whose subsequence the official package cannot read out."""

    SCORED = "scored"
    """What the rule says."""
    ZERO = "zero"
    """0, as officially: its recursion exceeds Python's limit and the error counts as 0."""


def rouge_l(prediction: str, answer: str) -> Rouge:
    """ROUGE-L over stemmed words of the whole texts; 0 when either has none."""
    said, wanted = _stems(prediction), _stems(answer)
    if not said or not wanted:
        return Rouge(precision=0.0, recall=0.0)
    length = _Subsequence(wanted, said).length(len(wanted), len(said))
    return Rouge(precision=length / len(said), recall=length / len(wanted))


def rouge_l_sum(prediction: str, answer: str) -> Rouge:
    """Summary-level ROUGE-L: lines are sentences, and an answer's sentence is matched by all of the prediction's.

    No word counts more often than it stands in either text.
    """
    said, wanted = _lines(prediction), _lines(answer)
    in_said, in_wanted = Counter(chain.from_iterable(said)), Counter(chain.from_iterable(wanted))
    if not in_said or not in_wanted:
        return Rouge(precision=0.0, recall=0.0)
    left_said, left_wanted = in_said.copy(), in_wanted.copy()
    hits = 0
    for sentence in wanted:
        places = {place for other in said for place in _Subsequence(sentence, other).places(_Tie.ANSWER)}
        for place in sorted(places):
            word = sentence[place]
            if left_said[word] > 0 and left_wanted[word] > 0:
                hits += 1
                left_said[word] -= 1
                left_wanted[word] -= 1
    return Rouge(precision=hits / in_said.total(), recall=hits / in_wanted.total())


def chinese_rouge_l(prediction: str, answer: str, *, deep: DeepTexts = DeepTexts.SCORED) -> float:
    """F1 of the different words on the longest common subsequence among the different words of each text.

    Words are jieba's, after lower-casing and dropping ASCII and Chinese punctuation and white space. F1 is
    2PR / (P + R + 1e-8), so that equal texts score a little under 1; 0 when either text has no words.
    """
    said, wanted = _chinese_words(prediction), _chinese_words(answer)
    if not said or not wanted:
        return 0.0
    subsequence = _Subsequence(wanted, said)
    steps = list(subsequence.walk(_Tie.PREDICTION))
    if deep is DeepTexts.ZERO and len(steps) > _OFFICIAL_STEPS:
        return 0.0
    shared = len({wanted[place] for place, matched in steps if matched})
    precision, recall = shared / len(set(said)), shared / len(set(wanted))
    return 2 * precision * recall / (precision + recall + _EPSILON)


class _Subsequence:
    """A longest common subsequence of two word lists, by Hyyrö's bit vectors.

    After `j` words of the prediction, bit i of row j is 0 where the answer's word i lengthens the subsequence, so that
    the classic table's cell (i, j) is the number of zeros among the first i bits.
    """

    def __init__(self, answer: Sequence[str], prediction: Sequence[str]) -> None:
        self._answer, self._prediction = answer, prediction
        at: dict[str, int] = {}
        for place, word in enumerate(answer):
            at[word] = at.get(word, 0) | 1 << place
        full = (1 << len(answer)) - 1
        row = full
        self._rows = [row]
        for word in prediction:
            matched = row & at.get(word, 0)
            row = ((row + matched) | (row - matched)) & full
            self._rows.append(row)

    def length(self, i: int, j: int) -> int:
        """The length for the first `i` words of the answer and the first `j` of the prediction."""
        return i - (self._rows[j] & ((1 << i) - 1)).bit_count()

    def walk(self, tie: _Tie) -> Iterator[tuple[int, bool]]:
        """From the texts' ends to where one begins: the place in the answer, and whether it is matched there."""
        i, j = len(self._answer), len(self._prediction)
        while i and j:
            if self._answer[i - 1] == self._prediction[j - 1]:
                i, j = i - 1, j - 1
                yield i, True
                continue
            shorter_answer, shorter_prediction = self.length(i - 1, j), self.length(i, j - 1)
            if shorter_answer > shorter_prediction or (
                shorter_answer == shorter_prediction and tie is _Tie.ANSWER
            ):
                i -= 1
            else:
                j -= 1
            yield i, False

    def places(self, tie: _Tie) -> set[int]:
        """The places of the subsequence in the answer."""
        return {place for place, matched in self.walk(tie) if matched}


def _stems(text: str) -> list[str]:
    words = _NO_TOKEN.sub(" ", text.lower()).split()
    return [porter_stem(word) if len(word) >= _STEMMED_FROM else word for word in words]


def _lines(text: str) -> list[list[str]]:
    return [_stems(line) for line in text.split("\n") if line]


def _chinese_words(text: str) -> list[str]:
    import rjieba

    return list(rjieba.cut("".join(text.lower().translate(_DROPPED).split())))
