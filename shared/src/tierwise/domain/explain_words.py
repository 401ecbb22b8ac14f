"""Explanations in words: one or two sentences of each, in English and Chinese, from templates."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tierwise.domain.explain_rules import Measure, filled_value, trimmed
from tierwise.domain.explanation import Choice, Explanation, Fit, Intent, Limit, Signal, Threshold, Tier, Value, Words
from tierwise.domain.rulebook.book import LOOK_BACK_DAYS, Rulebook
from tierwise.domain.rulebook.expressions import Call, Days, Name

LANGUAGES: Final = ("en", "zh")
PARTS_MAX: Final = 3
"""So many parts or rules are named in a sentence; the explanation has all."""


LIMIT: Final[Words] = {"en": "Never below 0, nor without end", "zh": "总分不低于 0，也不无限增长"}

_ONE: Final = re.compile(r"(?<![\d.,])1 (time|day|amount|point|channel|interest)s\b")
_COMMA: Final = {"en": ", ", "zh": "、"}
_SEMICOLON: Final = {"en": "; ", "zh": "；"}
_UNKNOWN: Final = {"en": "not known", "zh": "未知"}

_MEASURES: Final[dict[str, Words]] = {
    # {signal}, {whole}: labels; {value}: formatted; {in_days}: the window
    "count": {"en": "{signal} {value} times{in_days}", "zh": "{in_days}{signal} {value} 次"},
    "sum": {"en": "{signal} {value} {currency}{in_days}", "zh": "{in_days}{signal}合计 {value} {currency}"},
    "active_days": {"en": "{signal} on {value} days{in_days}", "zh": "{in_days}{signal}活跃 {value} 天"},
    "days_since": {"en": "last {signal} {value} days ago", "zh": "距上次{signal} {value} 天"},
    "days_since_first": {"en": "first {signal} {value} days ago", "zh": "距首次{signal} {value} 天"},
    "longest_gap": {"en": "longest gap of {signal} {value} days", "zh": "{signal}最长间隔 {value} 天"},
    "share": {"en": "{signal} per {whole} {value}{in_days}", "zh": "{in_days}{signal}与{whole}之比 {value}"},
    "trend": {"en": "{signal}{in_days} against those before {value}", "zh": "{in_days}{signal}与前期之比 {value}"},
    "channels": {"en": "{value} channels{in_days}", "zh": "{in_days}使用 {value} 个渠道"},
    "interests": {"en": "{value} interests{in_days}", "zh": "{in_days}涉及 {value} 类兴趣"},
    "preferred_channel": {"en": "most often by {value}{in_days}", "zh": "{in_days}最常用 {value}"},
}
_NEVER: Final[dict[str, Words]] = {
    "days_since": {"en": "no {signal} yet", "zh": "尚无{signal}"},
    "days_since_first": {"en": "no {signal} yet", "zh": "尚无{signal}"},
    "share": {"en": "no {whole} to compare {signal} with{in_days}", "zh": "{in_days}没有可与{signal}比较的{whole}"},
    "trend": {"en": "no {signal} in the period before", "zh": "上期没有{signal}"},
    "preferred_channel": {"en": "on no channel{in_days}", "zh": "{in_days}没有使用任何渠道"},
}
_NO_SIGNAL: Final[Words] = {"en": "", "zh": ""}
_NAMES: Final[dict[str, Words]] = {
    "intent": {"en": "intent", "zh": "意向分"},
    "intent.level": {"en": "intent level", "zh": "意向等级"},
    "stage": {"en": "stage", "zh": "生命周期阶段"},
    "tier": {"en": "tier", "zh": "客户等级"},
    "tier.score": {"en": "tier score", "zh": "等级分"},
}


def measured(measure: Measure, rulebook: Rulebook) -> Words:
    """A name or function with its value, as one says it: `Purchase 7 times in 365 days`."""
    node, value = measure
    if isinstance(node, Name):
        return _named(node.name, value, rulebook)
    assert isinstance(node, Call)  # noqa: S101
    signals = [rulebook.label(one.name) for one in node.arguments if isinstance(one, Name)] or [_NO_SIGNAL]
    windows = [argument.value for argument in node.arguments if isinstance(argument, Days)]
    templates = _MEASURES[node.function] if value is not None else _NEVER[node.function]
    in_days = {"en": f" in {windows[0]} days", "zh": f"近 {windows[0]} 天"} if windows else {"en": "", "zh": ""}
    shown = _shown(node.function, value)
    return {
        language: _singular(
            templates[language].format(
                signal=signals[0][language],
                whole=signals[-1][language],
                value=shown[language],
                in_days=in_days[language],
                currency=rulebook.currency,
            )
        )
        for language in LANGUAGES
    }


def sentences(explanation: Explanation) -> Words:
    """All that is said of a customer, in one text: intent, tier, stage, the tags that there are, and what is left
    out."""
    said = [explanation.intent.words, explanation.tier.words, explanation.lifecycle.words]
    said += [tag.words for tag in explanation.tags if tag.value is not None]
    if explanation.unconverted:
        said.append(explanation.words)
    return {"en": " ".join(one["en"] for one in said), "zh": "".join(one["zh"] for one in said)}


def _shown(function: str, value: Value) -> Words:
    if isinstance(value, str):
        return _CHANNELS[value]
    return dict.fromkeys(LANGUAGES, f"{value:,.2f}" if function == "sum" else grouped(value))


_CHANNELS: Final[dict[str, Words]] = {
    "web": {"en": "the web", "zh": "网站"},
    "email": {"en": "e-mail", "zh": "邮件"},
    "sms": {"en": "text message", "zh": "短信"},
    "call": {"en": "phone", "zh": "电话"},
    "meeting": {"en": "meeting", "zh": "面谈"},
    "chat": {"en": "chat", "zh": "在线咨询"},
    "social": {"en": "social media", "zh": "社交媒体"},
    "ad": {"en": "advertisement", "zh": "广告"},
    "order": {"en": "order", "zh": "下单"},
    "quote": {"en": "quote", "zh": "询报价"},
    "survey": {"en": "survey", "zh": "问卷"},
    "service": {"en": "customer service", "zh": "客服"},
    "crm": {"en": "CRM", "zh": "CRM"},
}


def intent_words(intent: Intent, rulebook: Rulebook) -> Words:
    said = {}
    by_close = next((one for one in intent.thresholds if one.decided_by != "score"), None)
    for language in LANGUAGES:
        label = rulebook.label(intent.computed)[language]
        largest = [_part_words(part, language) for part in intent.parts[:PARTS_MAX]]
        points = {"en": f"{trimmed(intent.points, 1)} points", "zh": f"{trimmed(intent.points, 1)} 分"}[language]
        of = _INTENT[language][bool(largest)].format(parts=_COMMA[language].join(largest))
        sentence = _INTENT_SCORE[language].format(label=label, score=trimmed(intent.score, 1), points=points, of=of)
        said[language] = sentence + (_band_words(by_close, language) if by_close else "")
    return _with_override(said, intent, rulebook)


_INTENT_SCORE: Final = {
    "en": "{label}, score {score} of 100: {points}{of}.",
    "zh": "{label}，意向分 {score}：{points}{of}。",
}
_INTENT: Final = {"en": ("", ", above all {parts}"), "zh": ("", "，主要来自{parts}")}


def _part_words(part: Signal | Fit | Limit, language: str) -> str:
    points = f"{part.points:+,.1f}"
    if isinstance(part, Signal):
        capped = {"en": ", at most", "zh": "，已达上限"}[language] if part.before_cap is not None else ""
        times = {"en": _singular(f"{grouped(part.occurrences)} times"), "zh": f"{grouped(part.occurrences)} 次"}[
            language
        ]
        return {"en": "{} {} ({}{})", "zh": "{} {}（{}{}）"}[language].format(
            part.label[language], points, times, capped
        )
    return f"{part.label[language]} {points}"


def _band_words(threshold: Threshold, language: str) -> str:
    label, leave, enter = threshold.label[language], trimmed(threshold.leave, 1), trimmed(threshold.enter, 1)
    state = _STATES[language][threshold.on]
    template = _BAND[language] if threshold.close else _NO_CLOSE[language]
    return template.format(
        label=label, leave=leave, enter=enter, state=state, close=threshold.close, days=LOOK_BACK_DAYS
    )


_STATES: Final = {"en": ("off", "on"), "zh": ("否", "是")}
_BAND: Final = {
    "en": " {label} is {state} as at the close of {close}, the last one outside of {leave} to {enter}.",
    "zh": "{label}沿用 {close} 日终的结果（最近一次不在 {leave} 至 {enter} 之间）：{state}。",
}
_NO_CLOSE: Final = {
    "en": " {label} is {state}: no close of the last {days} days lay outside of {leave} to {enter}.",
    "zh": "{label}：{state}，近 {days} 天的日终都在 {leave} 至 {enter} 之间。",
}


def dimension_words(
    label: Words, points: float, weight: float, measures: Sequence[Measure], rulebook: Rulebook
) -> Words:
    """`Value 28.0 of 35 (Purchase 3,897.00 CNY in 730 days)`."""
    of, shown = trimmed(100 * weight, 1), f"{points:.1f}"
    inside = _joined([measured(measure, rulebook) for measure in measures[:PARTS_MAX]], _COMMA)
    return {
        "en": f"{label['en']} {shown} of {of} ({inside['en']})",
        "zh": f"{label['zh']} {shown}/{of}（{inside['zh']}）",
    }


def tier_words(tier: Tier, rulebook: Rulebook) -> Words:
    label = rulebook.label(tier.computed)
    parts = _joined([one.words for one in tier.parts[:PARTS_MAX]], _SEMICOLON)
    said = {
        "en": f"{label['en']} with {tier.score:.2f} of 100: {parts['en']}.",
        "zh": f"{label['zh']}，得分 {tier.score:.2f}：{parts['zh']}。",
    }
    if tier.missing is not None:
        next_score = [cut.score for cut in tier.cuts if cut.score > tier.score][-1]
        above = next(cut.label for cut in tier.cuts if cut.score == next_score)  # tiers above may begin at the same
        said["en"] += f" {tier.missing:.2f} more make {above['en']}."
        said["zh"] += f"再得 {tier.missing:.2f} 分即为 {above['zh']}。"
    return _with_override(said, tier, rulebook)


def choice_words(
    choice: Choice, why: Sequence[Measure], before: Sequence[Sequence[Measure]], rulebook: Rulebook
) -> Words:
    """`why`: what the rule that holds looks at; `before`: of each rule before it, what its failing comparison does."""
    others = [
        (rule.label, _phrases(measures, rule.failing[0], rulebook))
        for rule, measures in zip(choice.before[:PARTS_MAX], before, strict=False)
    ]
    but = {
        "en": _SEMICOLON["en"].join(f"not {label['en']} ({failing['en']})" for label, failing in others),
        "zh": _SEMICOLON["zh"].join(f"不是{label['zh']}（{failing['zh']}）" for label, failing in others),
    }
    if len(choice.before) > len(others):
        but = {language: but[language] + _MORE[language] for language in LANGUAGES}
    if choice.rule is None:
        said = {"en": f"None of its rules holds: {but['en']}.", "zh": f"没有成立的规则：{but['zh']}。"}
        return _with_override(said, choice, rulebook)
    because = _phrases(why, None, rulebook) if why else _OTHERWISE
    said = {
        "en": f"{choice.rule.label['en']}: {because['en']}." + (f" But {but['en']}." if others else ""),
        "zh": f"{choice.rule.label['zh']}：{because['zh']}。" + (f"但{but['zh']}。" if others else ""),
    }
    return _with_override(said, choice, rulebook)


def rule_words(measures: Sequence[Measure], rulebook: Rulebook, *, holds: bool) -> Words:
    """What a rule looks at: `Purchase 3 times, last Purchase 20 days ago`."""
    said = _phrases(measures, None, rulebook) if measures else _OTHERWISE
    return said if holds else {language: _NOT[language].format(said[language]) for language in LANGUAGES}


_NOT: Final = {"en": "no longer: {}", "zh": "不再成立：{}"}


def _phrases(measures: Sequence[Measure], otherwise: str | None, rulebook: Rulebook) -> Words:
    """`otherwise`: what to say of a comparison of constants."""
    if not measures and otherwise is not None:
        return dict.fromkeys(LANGUAGES, otherwise)
    return _joined([measured(measure, rulebook) for measure in measures], _COMMA)


_MORE: Final[Words] = {"en": "; nor the others that come first", "zh": "；其余在前的规则也不成立"}
_OTHERWISE: Final[Words] = {"en": "no rule before it holds", "zh": "在前的规则都不成立"}


def unconverted_words(unconverted: Mapping[str, int]) -> Words:
    """Empty where there are none."""
    told = sorted(unconverted.items())
    return {
        "en": " ".join(
            f"{_singular(f'{count} amounts')} in {currency}: no rate is known, in no sum." for currency, count in told
        ),
        "zh": "".join(f"{count} 笔 {currency} 金额没有汇率，未计入任何合计。" for currency, count in told),
    }


def _with_override(said: Words, of: Intent | Tier | Choice, rulebook: Rulebook) -> Words:
    if of.override is None:
        return said
    by, until = of.override.author or "?", of.override.expires
    end = until.astimezone(rulebook.days.zone).strftime("%Y-%m-%d %H:%M") if until else None
    value, reason = _override_label(of, rulebook), of.override.reason or "-"
    en = f"Set to {value['en']} by {by}" + (f" until {end}" if end else "") + f" ({reason})."
    zh = f"由 {by} 设为{value['zh']}" + (f"，至 {end}" if end else "") + f"（{reason}）。"
    return {"en": f"{en} Computed: {said['en']}", "zh": f"{zh}计算结果：{said['zh']}"}


def _override_label(of: Intent | Tier | Choice, rulebook: Rulebook) -> Words:
    if isinstance(of, Choice):
        return of.label or {}
    return rulebook.label(of.level if isinstance(of, Intent) else of.grade)


def _named(name: str, value: Value, rulebook: Rulebook) -> Words:
    """Values that the rulebook labels, such as stages, are said by their label."""
    if name.startswith("tier.") and name not in _NAMES:
        label = rulebook.label(name.removeprefix("tier."))
    else:
        label = _NAMES.get(name) or rulebook.label(name)
    texts = rulebook.label(value) if isinstance(value, str) else dict.fromkeys(LANGUAGES, filled_value(value))
    return {
        language: f"{label[language]} {_UNKNOWN[language] if value is None else texts[language]}"
        for language in LANGUAGES
    }


def _joined(said: Sequence[Words], separator: Words) -> Words:
    return {language: separator[language].join(one[language] for one in said) for language in LANGUAGES}


def grouped(value: Value) -> str:
    """A number as people read it: 12,345.67."""
    return f"{value:,}" if isinstance(value, int) else f"{float(value or 0):,.2f}".rstrip("0").rstrip(".")


def _singular(text: str) -> str:
    """1 times -> 1 time."""
    return _ONE.sub(r"1 \1", text)
