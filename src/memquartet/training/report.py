"""A run of training as one HTML page: curves, reward parts by role, episodes before and after, settings, versions.

The page needs no network and no script, and making it needs neither verl nor torch.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from statistics import fmean
from string import Template

from memquartet.core.trajectory import Role
from memquartet.training.curves import COLOURS, Series, curve_chart, number, stacked_chart
from memquartet.training.records import Call, Metrics, RunRecord, Transcript

EPISODES = 6
"""Sample episodes shown, the first of the validation file."""
_MAX_TEXT = 4_000
_VALIDATION = re.compile(r"val-\w+/(?P<source>.+)/outcome/mean@\d+")
_PART_SECONDS = "timing_s/"
_SPLIT = "timing/"
_SPLIT_ORDER = (
    "rollout",
    "environment",
    "log_prob",
    "advantage",
    "update",
    "weights_sync",
    "checkpoint",
    "other",
)
_BESIDE = "testing"
"""The part that verl's time of a step leaves out."""


def training_report(run: RunRecord) -> str:
    """The page as text."""
    page = resources.files("memquartet.training").joinpath("report.html").read_text(encoding="utf-8")
    steps = list(run.metrics)
    return Template(page).substitute(
        title=escape(f"Training run {run.name}"),
        lead=f"Steps {steps[0]} to {steps[-1]}. Numbers in a legend are the last step's. What a run did not measure is"
        " left out, never drawn as 0.",
        body="\n".join(
            part
            for part in (
                _changes(run.metrics),
                _section("Curves", _curves(run.metrics)),
                _section("Reward parts by role", _role_parts(run.metrics)),
                _seconds(run.metrics),
                _episodes(run.transcripts),
                _settings(run),
            )
            if part
        ),
    )


def _curves(metrics: Metrics) -> list[str]:
    by_role = {
        what: {role.value: _points(metrics, f"role/{role}/{what}") for role in Role}
        for what in ("reward_mean", "adv_std", "invalid")
    }
    outcome: Series = {
        "training": _points(metrics, "episode/outcome_mean"),
        **{f"validation, {source}": _points(metrics, name) for name, source in _validations(metrics).items()},
    }
    return [
        curve_chart("Outcome", outcome, note="Correctness of the answers, mean over episodes."),
        curve_chart("Reward by role", by_role["reward_mean"]),
        curve_chart(
            "Advantage spread by role",
            by_role["adv_std"],
            note="Standard deviation over rows; at 0 a role learns nothing.",
        ),
        curve_chart("Unusable outputs by role", by_role["invalid"], note="Share of a role's outputs."),
        curve_chart("Gradient norm", _named(metrics, {"actor": "actor/grad_norm", "critic": "critic/grad_norm"})),
        curve_chart(
            "KL",
            _named(
                metrics,
                {
                    "to the reference (loss)": "actor/kl_loss",
                    "of the update": "actor/ppo_kl",
                    "rollout to actor": "rollout_corr/kl",
                },
            ),
            note="In nats a token.",
        ),
        curve_chart("Entropy", _named(metrics, {"actor": "actor/entropy"}), note="In nats a token."),
        curve_chart(
            "Response length",
            _named(metrics, {"mean": "response_length/mean", "longest": "response_length/max"}),
            note="In tokens.",
        ),
        curve_chart(
            "Prompt length",
            _named(metrics, {"mean": "prompt_length/mean", "longest": "prompt_length/max"}),
            note="In tokens.",
        ),
        curve_chart("Model calls an episode", _named(metrics, {"mean": "episode/turns_mean"})),
        curve_chart("Throughput", _named(metrics, {"tokens a second and device": "perf/throughput"})),
    ]  # fmt: skip


def _role_parts(metrics: Metrics) -> list[str]:
    charts = []
    for role in Role:
        prefix = f"role/{role}/part/"
        names = sorted({name for values in metrics.values() for name in values if name.startswith(prefix)})
        charts.append(
            curve_chart(
                role.value, {name.removeprefix(prefix): _points(metrics, name) for name in names[:COLOURS]}
            )
        )
    return charts


def _seconds(metrics: Metrics) -> str:
    """Where the run's time went; verl's `step` holds all parts but validation."""
    names = {name for values in metrics.values() for name in values if name.startswith(_PART_SECONDS)}
    series = {name.removeprefix(_PART_SECONDS): _points(metrics, name) for name in names}
    totals = {part: sum(value for _, value in points) for part, points in series.items()}
    whole = totals.pop("step", 0.0)
    if not totals:
        return ""
    largest = sorted(totals, key=lambda part: -totals[part])
    rows = [
        (part, number(totals[part] / len(series[part])), _share(totals[part], whole, part))
        for part in largest
    ]
    if whole:
        rows.append(("step, in all", number(whole / len(series["step"])), ""))
    caption = "Mean seconds over the steps in which a part ran, and share of the time of all steps."
    return _section(
        "Seconds by part",
        [
            _split(metrics) or curve_chart("Seconds", {part: series[part] for part in largest[:COLOURS]}),
            curve_chart(
                "Share of the environment",
                _named(metrics, {"wall": "environment/share", "CPU": "environment/cpu_share"}),
                note="Of the step's time. Wall: parts of episodes without a model call under way. CPU: the busiest"
                " worker's thread, with verl's own work in it.",
            ),
            _table(caption, ("part", "seconds", "share"), rows),
        ],
    )


def _split(metrics: Metrics) -> str:
    """A step's seconds as bars, by the parts that add up to it."""
    names = {
        name.removeprefix(_SPLIT): name
        for values in metrics.values()
        for name in values
        if name.startswith(_SPLIT)
    }
    parts = [*(part for part in _SPLIT_ORDER if part in names), *sorted(names.keys() - set(_SPLIT_ORDER))]
    return stacked_chart(
        "Seconds of a step",
        {part.replace("_", " "): _points(metrics, names[part]) for part in parts},
        note="The environment is parsing, prompts, memory, retrieval and rewards. Validation is not in it.",
    )


def _share(seconds: float, whole: float, part: str) -> str:
    if part == _BESIDE:
        return "beside the steps"
    return f"{100 * seconds / whole:.1f} %" if whole else "—"


def _changes(metrics: Metrics) -> str:
    """The beginning of the run against its end."""
    trained = [values for step, values in metrics.items() if step > 0]
    ends = max(1, len(trained) // 5)
    measures = {
        "outcome, training": "episode/outcome_mean",
        **{f"outcome, validation ({source})": name for name, source in _validations(metrics).items()},
        **{f"{role}: reward": f"role/{role}/reward_mean" for role in Role},
        **{f"{role}: format": f"role/{role}/part/format" for role in Role},
        "manager: operation success": "role/manager/part/operations",
    }
    rows = []
    for label, name in measures.items():
        # Validation is measured in some steps only, and before the first.
        source = list(metrics.values()) if name.startswith("val-") else trained
        found = [values[name] for values in source if name in values]
        count = 1 if name.startswith("val-") else ends
        if len(found) >= 2 * count:
            first, last = fmean(found[:count]), fmean(found[-count:])
            rows.append(
                (label, number(first), number(last), f"{last - first:+.3g}" if last != first else "0")
            )
    caption = f"Mean of the first and of the last {ends} of {len(trained)} steps; validation: first and last measured."
    return (
        _section("What changed", [_table(caption, ("", "first", "last", "difference"), rows)]) if rows else ""
    )


def _episodes(transcripts: Mapping[int, Sequence[Transcript]]) -> str:
    head = "Sample episodes before and after"
    if not transcripts:
        return _section(
            head,
            [
                "<p>This run kept no validation transcripts, so there is nothing to show. `memquartet train --out` keeps"
                " them whenever it validates: see trainer.test_freq and trainer.val_before_train.</p>"
            ],
        )
    first, last = min(transcripts), max(transcripts)
    if first == last:
        told = f"Transcripts were kept at step {first} only: there is no before and after."
    elif first > 0:
        told = f"Step {first} beside step {last}. The start was not measured (trainer.val_before_train=true does it)."
    else:
        told = f"Before training (step 0) beside step {last}."
    shown = list(transcripts[first])[:EPISODES]
    told += f" The first {len(shown)} of {len(transcripts[first])} validation episodes, not picked by result."
    after = {} if first == last else {_key(one): one for one in transcripts[last]}
    blocks = [_episode(one, after.get(_key(one)), first, last) for one in shown]
    return _section(head, [f"<p>{escape(told)}</p>"]) + "".join(blocks)


def _key(transcript: Transcript) -> str:
    """What an episode is known by across steps: its sample, or else its first prompt."""
    return transcript.sample_id or transcript.calls[0].input


def _episode(before: Transcript, after: Transcript | None, first: int, last: int) -> str:
    outcome = f"outcome {_outcome(before)}" + (f" → {_outcome(after)}" if after else "")
    head = " ".join(_key(before).split())[:140] + ("" if before.sample_id else "…")
    sides = _side(f"Step {first}", before) + (_side(f"Step {last}", after) if after else "")
    return (
        f'<details><summary>{escape(head)} <span class="soft">({outcome})</span></summary>'
        f'<div class="sides">{sides}</div></details>'
    )


def _side(title: str, transcript: Transcript) -> str:
    """The calls by role, so that a role's stand beside those of the other step."""
    by_role: dict[str, list[Call]] = {role: [] for role in (*Role, "")}
    for call in transcript.calls:
        by_role.setdefault(call.role, []).append(call)
    said = "".join(
        (f"<h3>{escape(role)}</h3>" if role else "") + f"<ol>{''.join(map(_said, calls))}</ol>"
        for role, calls in by_role.items()
        if calls
    )
    return f"<div><b>{title}</b> <span class=soft>outcome {_outcome(transcript)}</span>{said}</div>"


def _said(call: Call) -> str:
    reward = "" if call.reward is None else f"reward {call.reward:.2f}"
    told = ", ".join(part for part in (call.unit, call.status, reward) if part)
    return (
        f"<li><details><summary class=soft>{escape(told or 'prompt')}</summary><pre>{escape(_cut(call.input))}</pre>"
        f"</details><pre>{escape(_cut(call.output))}</pre></li>"
    )


def _outcome(transcript: Transcript) -> str:
    return "not measured" if transcript.outcome is None else f"{transcript.outcome:.2f}"


def _cut(text: str) -> str:
    left = len(text) - _MAX_TEXT
    return text if left <= 0 else f"{text[:_MAX_TEXT]}\n… {left:,} more characters"


def _settings(run: RunRecord) -> str:
    if not run.starts and not run.config:
        return _section("Settings", ["<p>This run noted neither settings nor versions.</p>"])
    parts = []
    for start in run.starts:
        command, versions = start.get("command"), start.get("versions")
        if isinstance(command, list):
            parts.append(f"<p>Started {escape(str(start.get('started', '')))} by</p>")
            parts.append(f"<pre>{escape(shlex.join(map(str, command)))}</pre>")
        if isinstance(versions, dict):
            rows = [(str(name), str(version)) for name, version in versions.items()]
            parts.append(_table("Versions", ("package", "version"), rows))
    if run.config:
        parts.append(
            f"<details><summary>The whole configuration</summary><pre>{escape(run.config)}</pre></details>"
        )
    return f"<section><h2>Settings and versions</h2>{''.join(parts)}</section>"


def _validations(metrics: Metrics) -> Mapping[str, str]:
    """The metrics that hold a validation outcome, with the source they are about."""
    names = sorted({name for values in metrics.values() for name in values})
    return {name: found["source"] for name in names if (found := _VALIDATION.fullmatch(name))}


def _named(metrics: Metrics, names: Mapping[str, str]) -> Series:
    return {label: _points(metrics, name) for label, name in names.items()}


def _points(metrics: Metrics, name: str) -> list[tuple[int, float]]:
    return [(step, values[name]) for step, values in metrics.items() if name in values]


def _section(title: str, parts: Iterable[str]) -> str:
    inside = "".join(parts)
    return f'<section><h2>{escape(title)}</h2><div class="panels">{inside}</div></section>' if inside else ""


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    columns = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope=row>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    # A table wider than the screen scrolls by keyboard, too.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}'
        f"</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )
