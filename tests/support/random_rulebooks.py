"""Random small rulebooks, well formed: expressions of sound units, every signal used, every name labelled."""

from random import Random
from typing import Any

import yaml

from tests.support.histories import ATTRIBUTES

SIGNALS: dict[str, dict[str, Any]] = {
    "view": {"channel": "web", "type": "page_view"},
    "pricing": {"channel": "web", "type": "page_view", "where": 'path like "*/pricing*" or path like "*价格*"'},
    "long": {"channel": ["web", "call"], "where": "duration_s >= 120"},
    "bought": {"channel": "order", "type": "purchase", "value": "amount"},
    "bought_much": {"type": "purchase", "value": "amount", "where": "amount between 100 and 2000.5"},
    "returned": {"channel": "order", "type": ["refund", "cancelled"], "value": "amount"},
    "weekend": {"where": "weekday in (6, 7)"},
    "late": {"where": "hour >= 20 or hour < 6"},
    "office": {"where": "hour between 9 and 17 and not weekday in (6, 7)"},
    "opened": {"channel": "email", "type": "opened", "where": "not machine"},
    "stopped": {"type": ["unsubscribed", "complained"]},
    "talked": {"channel": "call", "type": "completed", "where": 'duration_s * 2 >= 120 and direction = "IN"'},
    "happy": {"channel": "survey", "type": "answered", "where": "score >= 9"},
}
WINDOWS = ("", ", 1d", ", 7d", ", 30d", ", 180d")
TEXTS = {
    "role": "Owner",
    "hobbies": "go",
    "occupation": "working*",
    "gender": "female",
    "shoe_size": "43",
    "age_group": "7",
}


class RandomExpressions:
    """Over these signals, and the computed values of a `scope`."""

    def __init__(
        self, random: Random, signals: list[str], scope: tuple[str, ...] = (), stages: tuple[str, ...] = ()
    ) -> None:
        self._random, self._signals, self._scope, self._stages = random, signals, scope, stages

    def condition(self, depth: int = 2) -> str:
        choose = self._random.choice
        if depth and self._random.random() < 0.4:
            left, right = self.condition(depth - 1), self.condition(depth - 1)
            return choose([f"({left}) and ({right})", f"({left} or {right})", f"not ({left})"])
        return choose([self._of_numbers, self._of_attributes, self._of_computed])()

    def number(self, depth: int = 2) -> str:
        """A count, or arithmetic of counts and of what is weighed against them."""
        choose = self._random.choice
        if not depth or self._random.random() < 0.4:
            return self._count()
        left, right = self.number(depth - 1), self.number(depth - 1)
        return choose([f"{left} + {right}", f"({left}) - ({right})", f"{choose([0.1, 3, 40])} * ({left})",
                       f"({left}) / ({right})", f"-({left})"])  # fmt: skip

    def _count(self) -> str:
        signal, window = self._random.choice(self._signals), self._random.choice(WINDOWS)
        return self._random.choice([
            f"count({signal}{window})", f"0.01 * sum({signal}{window})", f"40 * active_days({signal}{window})",
            f"-0.3 * days_since({signal})", f"2 * share({signal}, {self._random.choice(self._signals)}{window})",
            f"channels({self._random.choice([1, 30])}d)", f"interests({self._random.choice([7, 180])}d)",
        ])  # fmt: skip

    def _of_numbers(self) -> str:
        choose = self._random.choice
        signal, other, window = choose(self._signals), choose(self._signals), choose(WINDOWS)
        days = choose(
            [
                f"days_since({signal})",
                f"days_since_first({signal})",
                f"longest_gap({signal})",
                f"active_days({signal}{window})",
                f"days_since_first({signal}) - days_since({signal})",
            ]
        )
        ratio = choose([f"share({signal}, {other}{window})", f"trend({signal}, {choose([1, 7, 30])}d)"])
        left, constants = choose([
            (self.number(), (0, 1, 2, 5)), (days, (0, 1, 7, 30, 90, 365)), (ratio, (0, 0.5, 1, 2)),
            (f"sum({signal}{window})", (0, 0.01, 99.99, 1000)),
        ])  # fmt: skip
        if self._random.random() < 0.1:
            return f'preferred_channel({choose([1, 90])}d) {choose(["=", "!="])} "{choose(["web", "email", "order"])}"'
        low, high = sorted([choose(constants), choose(constants)])
        return choose(
            [f"{left} {choose(['=', '!=', '<', '<=', '>', '>='])} {high}", f"{left} between {low} and {high}"]
        )

    def _of_attributes(self) -> str:
        choose = self._random.choice
        name = choose(sorted(TEXTS))
        text = TEXTS[name]
        number = choose(["city_tier", "shoe_size"])
        return choose([
            f'{name} = "{text}"', f"{name} != '{text}'", f'{name} like "{text}"', f'{name} in ("{text}", "a", "large")',
            f'not {name} in ("{text}")', f'{name} not in ("{text}")', f"{number} {choose(['=', '!=', '<', '>='])} 3",
            f"{number} between 1 and 2.5", "acquisition.first = acquisition.last", 'acquisition.last = "search"',
        ])  # fmt: skip

    def _of_computed(self) -> str:
        choose = self._random.choice
        known = {
            "intent": f"intent {choose(['<', '>='])} {choose([10, 25, 50])}",
            "intent.level": f'intent.level {choose(["=", "!="])} "level_1"',
            "stage": f'stage in ("{choose(self._stages or ("rest",))}", "rest")',
            "tier": f'tier {choose(["=", "!="])} "B"',
            "tier.score": f"tier.score > {choose([10, 30.5, 60])}",
            "tier.dimension_0": f"tier.dimension_0 >= {choose([10, 45.5])} + tier.score",
        }
        possible = [known[name] for name in self._scope if name in known]
        return choose(possible) if possible else self._of_numbers()


def random_rulebook(random: Random, zone: str) -> str:
    """The text of a rulebook."""
    names = random.sample(sorted(SIGNALS), k=random.randint(2, len(SIGNALS)))
    scope = ("intent", "intent.level")
    fit = [{"name": f"fit_{index}", "when": RandomExpressions(random, names)._of_attributes(), "points": points}
           for index, points in enumerate(random.sample([-20, -0.5, 4, 12.125], k=random.randint(0, 3)))]  # fmt: skip
    whens = [RandomExpressions(random, names, scope).condition() for _ in range(random.randint(0, 4))]
    stages = tuple(f"stage_{index}" for index in range(len(whens)))
    dimensions = _dimensions(random, RandomExpressions(random, names, scope, stages))
    within = RandomExpressions(random, names, (*scope, "stage", "tier", "tier.score", "tier.dimension_0"), stages)
    tags = {
        f"family_{family}": {
            f"tag_{family}_{tag}": {f"value_{value}": within.condition(3) for value in range(random.randint(1, 3))}
            for tag in range(random.randint(1, 3))
        }
        for family in range(2)
    }
    document: dict[str, Any] = {
        "version": "random", "timezone": zone, "currency": "CNY", "horizon": "1095d",
        "rates": {"USD": {"2024-01-01": 7.1, "2025-06-30": 7.255}, "JPY": {"2025-01-01": 0.0495}},
        "attributes": sorted(ATTRIBUTES),
        "signals": {name: SIGNALS[name] for name in names},
        "interests": {"from": "properties.category", "values": random.sample(["courses", "food", "图书"], k=2)},
        "acquisition": [{"source": "search", "where": 'referrer like "*baidu*"'}, {"source": "ads", "channel": "ad"}],
        "intent": {"points": {name: _points(random) for name in names}, "fit": fit,
                   "half_score": random.choice([0.5, 10, 40]), "levels": _levels(random), "otherwise": "level_0"},
        "lifecycle": [*({"stage": stage, "when": when} for stage, when in zip(stages, whens, strict=True)),
                      {"stage": "rest", "when": "true"}],
        "tiers": {"dimensions": dimensions, "cuts": {"A": 61.5, "B": 30, "C": 7.25}, "otherwise": "D"},
        "tags": tags,
    }  # fmt: skip
    return yaml.safe_dump(document | {"labels": _labels(document)}, allow_unicode=True, sort_keys=False)


def _points(random: Random) -> dict[str, Any]:
    each = random.choice([0.001, 1, 2.5, 8, 30, -4, -25])
    points = {"each": each, "half_life": f"{random.choice([1, 3, 7, 21, 60])}d"}
    return points | ({"at_most": random.choice([0.5, 10, 60])} if random.random() < 0.5 else {})


def _levels(random: Random) -> dict[str, Any]:
    """Wide bands, so that many customers are inside of one."""
    edges = sorted(random.sample(range(2, 98), k=2 * random.randint(1, 3)), reverse=True)
    count = len(edges) // 2
    return {
        f"level_{count - index}": {"enter": edges[2 * index], "leave": edges[2 * index + 1] + random.choice([0, 0.5])}
        for index in range(count)
    }


def _dimensions(random: Random, expressions: RandomExpressions) -> dict[str, Any]:
    weights = random.choice([(1000,), (350, 650), (333, 333, 334), (100, 200, 300, 400)])
    dimensions = {}
    for index, weight in enumerate(weights):
        metrics = sorted(random.sample([-5, 0, 0.5, 1, 2.75, 7, 40, 1000], k=random.randint(2, 4)))
        scores = sorted(random.choices([0, 12.5, 33.3, 50, 88, 100], k=len(metrics)), reverse=random.random() < 0.3)
        metric = random.choice(["intent", expressions.number(3), expressions.number(3)])
        dimensions[f"dimension_{index}"] = {
            "metric": metric, "weight": weight / 1000, "scale": dict(zip(metrics, scores, strict=True))
        }  # fmt: skip
    return dimensions


def _labels(document: dict[str, Any]) -> dict[str, Any]:
    tags = [f"{tag}.{value}" for tags in document["tags"].values() for tag, values in tags.items() for value in values]
    names = [
        *document["signals"], *document["intent"]["levels"], "level_0", "search", "ads", *"ABCD", *tags,
        *(fit["name"] for fit in document["intent"]["fit"]), *document["tiers"]["dimensions"],
        *(stage["stage"] for stage in document["lifecycle"]),
    ]  # fmt: skip
    return {name: {"en": name, "zh": name} for name in names}
