"""The official metrics once more, written anew from the documented rules and as plainly as possible, to compare with."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache

import nltk.stem.porter  # noqa: TID253
import rjieba  # noqa: TID253

_STEMMER = nltk.stem.porter.PorterStemmer()
_stem = cache(_STEMMER.stem)


def squad_words(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(?:a|an|the)\b", " ", kept).split()


def bag_f1(said: list[str], wanted: list[str]) -> float:
    common = sum(min(said.count(word), wanted.count(word)) for word in set(said))
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def after_mark(reply: str) -> str:
    start = reply.lower().find("answer:")
    line = reply[start + 7 :] if start >= 0 else reply
    line = line.split("\n")[0].strip()
    return line[7:].strip() if line.lower().startswith("answer:") else line


def mab(said: str, wanted: str) -> dict[str, float]:
    left, right = squad_words(said), squad_words(wanted)
    choice = {"yes", "no", "noanswer"} & {" ".join(left), " ".join(right)}
    return {
        "exact_match": float(left == right),
        "substring_exact_match": float(" ".join(right) in " ".join(left)),
        "f1": 0.0 if choice and left != right else bag_f1(left, right),
        **rouge_of(said, wanted),
    }


def rouge_of(said: str, wanted: str) -> dict[str, float]:
    def tokens(text: str) -> list[str]:
        words = re.findall("[a-z0-9]+", text.lower())
        return [_stem(word) if len(word) > 3 else word for word in words]

    left, right = tokens(said), tokens(wanted)
    length = len(lcs(right, left, prefer_answer=True)) if left and right else 0
    lines = [tokens(line) for line in said.split("\n") if line]
    counts_left, counts_right = Counter(left), Counter(right)
    hits = 0
    for line in [tokens(line) for line in wanted.split("\n") if line]:
        union = sorted({place for other in lines for place in lcs(line, other, prefer_answer=True)})
        for word in (line[place] for place in union):
            if counts_left[word] and counts_right[word]:
                counts_left[word] -= 1
                counts_right[word] -= 1
                hits += 1

    def shares(name: str, number: int) -> dict[str, float]:
        if not number:
            return {f"{name}_f1": 0.0, f"{name}_recall": 0.0}
        precision, recall = number / len(left), number / len(right)
        return {f"{name}_f1": 2 * precision * recall / (precision + recall), f"{name}_recall": recall}

    return shares("rougeL", length) | shares("rougeLsum", hits)


def lcs(answer: list[str], said: list[str], *, prefer_answer: bool) -> list[int]:
    """Places in the answer of a longest common subsequence, by the textbook's table read out from its end."""
    table = [[0] * (len(said) + 1) for _ in range(len(answer) + 1)]
    for i, word in enumerate(answer, 1):
        for j, other in enumerate(said, 1):
            table[i][j] = table[i - 1][j - 1] + 1 if word == other else max(table[i - 1][j], table[i][j - 1])
    places, i, j = [], len(answer), len(said)
    while i and j:
        up, left = table[i - 1][j], table[i][j - 1]
        if answer[i - 1] == said[j - 1]:
            i, j = i - 1, j - 1
            places.append(i)
        elif up > left or (up == left and prefer_answer):
            i -= 1
        else:
            j -= 1
    return places


def chinese_rouge(said: str, wanted: str) -> float:
    def words(text: str) -> list[str]:
        drop = string.punctuation + (
            "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."  # noqa: RUF001
        )
        return list(rjieba.cut("".join(c for c in text.lower() if c not in drop and not c.isspace())))

    left, right = words(said), words(wanted)
    if not left or not right:
        return 0.0
    shared = len({right[place] for place in lcs(right, left, prefer_answer=False)})
    precision, recall = shared / len(set(left)), shared / len(set(right))
    return 2 * precision * recall / (precision + recall + 1e-8)


def locomo(said: str, wanted: str, category: str) -> float:
    def stems(text: str) -> list[str]:
        kept = "".join(c for c in text.lower() if c not in string.punctuation)
        return [_stem(word) for word in re.sub(r"\b(?:a|an|the|and)\b", " ", kept).split()]

    if category == "adversarial":
        return float("not mentioned" in said.lower() or "no information available" in said.lower())
    if category == "multi-hop":
        parts = [
            max(bag_f1(stems(one), stems(part)) for one in said.split(",")) for part in wanted.split(",")
        ]
        return sum(parts) / len(parts)
    return bag_f1(stems(said), stems(wanted.split(";")[0] if category == "open-domain" else wanted))
