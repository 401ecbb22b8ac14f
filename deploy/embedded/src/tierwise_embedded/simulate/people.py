"""Who the simulated customers are."""

from dataclasses import dataclass
from random import Random
from typing import Any

KINDS = {"visitor": 34, "lead": 26, "buyer": 18, "loyal": 9, "leaving": 8, "company": 5}
"""Kinds of customer and how many of 100 are of each."""

# (city, region: CN and the code of GB/T 2260, weight)
_CITIES_CN = [
    ("上海", "CN-31", 14), ("北京", "CN-11", 13), ("深圳", "CN-44", 10), ("广州", "CN-44", 9), ("杭州", "CN-33", 7),
    ("成都", "CN-51", 7), ("南京", "CN-32", 5), ("武汉", "CN-42", 5), ("苏州", "CN-32", 4), ("西安", "CN-61", 4),
    ("重庆", "CN-50", 4), ("长沙", "CN-43", 3), ("青岛", "CN-37", 3), ("沈阳", "CN-21", 2), ("昆明", "CN-53", 2),
    ("兰州", "CN-62", 1), ("洛阳", "CN-41", 2), ("桂林", "CN-45", 1), ("义乌", "CN-33", 2), ("绵阳", "CN-51", 1),
]  # fmt: skip
_CITIES_EN = [
    ("London", "GB-LND", "GB"), ("Manchester", "GB-MAN", "GB"), ("New York", "US-NY", "US"), ("Seattle", "US-WA", "US"),
    ("Chicago", "US-IL", "US"), ("Singapore", "SG-01", "SG"), ("Dublin", "IE-D", "IE"),
]  # fmt: skip
_CURRENCY = {"CN": "CNY", "GB": "GBP", "US": "USD", "SG": "SGD", "IE": "EUR"}

_SURNAMES_CN = [
    ("王", "wang"), ("李", "li"), ("张", "zhang"), ("刘", "liu"), ("陈", "chen"), ("杨", "yang"), ("黄", "huang"),
    ("赵", "zhao"), ("吴", "wu"), ("周", "zhou"), ("徐", "xu"), ("孙", "sun"), ("马", "ma"), ("朱", "zhu"),
    ("胡", "hu"), ("郭", "guo"), ("林", "lin"), ("何", "he"), ("高", "gao"), ("罗", "luo"), ("欧阳", "ouyang"),
]  # fmt: skip
_GIVEN_CN = {
    "male": [
        ("伟", "wei"), ("强", "qiang"), ("磊", "lei"), ("建国", "jianguo"), ("浩然", "haoran"), ("子轩", "zixuan"),
        ("志强", "zhiqiang"), ("宇航", "yuhang"), ("俊杰", "junjie"), ("明", "ming"), ("思远", "siyuan"),
    ],
    "female": [
        ("芳", "fang"), ("娜", "na"), ("秀英", "xiuying"), ("敏", "min"), ("静", "jing"), ("雨桐", "yutong"),
        ("欣怡", "xinyi"), ("丽", "li"), ("诗涵", "shihan"), ("婷", "ting"), ("晓雯", "xiaowen"),
    ],
}  # fmt: skip
_SURNAMES_EN = ["Smith", "Jones", "Taylor", "Brown", "Wilson", "Clark", "Walker", "O'Neill", "Lim", "Murphy", "Reed"]
_GIVEN_EN = {
    "male": ["James", "Oliver", "Noah", "Daniel", "Samuel", "Liam", "Henry"],
    "female": ["Emma", "Grace", "Olivia", "Hannah", "Chloe", "Sophie", "Alice"],
}

_INDUSTRIES = ["education", "retail", "manufacturing", "finance", "healthcare", "software", "logistics", "hospitality"]
_OCCUPATIONS = [
    "student",
    "engineer",
    "teacher",
    "manager",
    "sales",
    "designer",
    "civil_servant",
    "self_employed",
    "retired",
]
_SIZES = ["1-9", "10-49", "50-249", "250-999", "1000+"]
_COMPANY_WORDS = ["华信", "远航", "博雅", "天和", "瑞丰", "Northgate", "Bluefin", "Harbour"]
CATEGORIES = ["courses", "books", "software", "hardware", "consulting", "events"]
SOURCES = ["search", "ad", "social", "email", "partner", "exhibition", "phone", "direct"]


@dataclass(frozen=True, slots=True)
class Person:
    """One simulated customer. `phone` is E.164; `evening` is the chance that a visit happens after working hours."""

    index: int
    kind: str
    name: str
    language: str
    gender: str
    birth_year: int
    country: str
    region: str
    city: str
    currency: str
    email: str
    phone: str
    user_id: str
    crm_id: str
    anonymous_ids: tuple[str, ...]
    occupation: str
    industry: str
    company: str | None
    company_size: str | None
    interest: str
    source: str
    evening: float
    spending: float

    @property
    def attributes(self) -> dict[str, Any]:
        """What a form or the CRM would know."""
        known: dict[str, Any] = {
            "name": self.name,
            "gender": self.gender,
            "birth_year": self.birth_year,
            "country": self.country,
            "region": self.region,
            "city": self.city,
            "occupation": self.occupation,
            "industry": self.industry,
            "language": self.language,
            "customer_type": "company" if self.company else "person",
        }
        if self.company:
            known |= {"company": self.company, "company_size": self.company_size}
        return known


def draw_person(index: int, seed: int, random: Random) -> Person:
    """`index` makes e-mail, phone and ids unique within one seed."""
    kind = random.choices(list(KINDS), weights=list(KINDS.values()))[0]
    gender = random.choice(["male", "female"])
    chinese = random.random() < 0.82
    if chinese:
        city, region, country, name, spelled, language = *_place_cn(random), *_name_cn(gender, random), "zh"
    else:
        city, region, country = random.choice(_CITIES_EN)
        given, surname = random.choice(_GIVEN_EN[gender]), random.choice(_SURNAMES_EN)
        name, spelled, language = f"{given} {surname}", f"{given}.{surname}".lower().replace("'", ""), "en"
    unique = f"{seed}x{index}"
    return Person(
        index=index,
        kind=kind,
        name=name,
        language=language,
        gender=gender,
        birth_year=int(random.triangular(1950, 2007, 1991)),
        country=country,
        region=region,
        city=city,
        currency=_CURRENCY[country],
        email=f"{spelled}.{unique}@{random.choice(['mail', 'post', 'box'])}.example.com",
        phone=_phone(index, seed),
        user_id=f"u-{unique}",
        crm_id=f"crm-{unique}",
        anonymous_ids=tuple(f"anon-{unique}-{device}" for device in range(random.choice([1, 1, 1, 2, 2, 3]))),
        occupation=random.choice(_OCCUPATIONS),
        industry=random.choice(_INDUSTRIES),
        company=f"{random.choice(_COMPANY_WORDS)} {index}" if kind == "company" else None,
        company_size=random.choice(_SIZES) if kind == "company" else None,
        interest=random.choice(CATEGORIES),
        source=random.choice(SOURCES),
        evening=random.choice([0.15, 0.3, 0.5, 0.8]),
        spending=random.lognormvariate(5.8, 0.9) * (12 if kind == "company" else 2 if kind == "loyal" else 1),
    )


def _place_cn(random: Random) -> tuple[str, str, str]:
    city, region, _ = random.choices(_CITIES_CN, weights=[weight for *_, weight in _CITIES_CN])[0]
    return city, region, "CN"


def _name_cn(gender: str, random: Random) -> tuple[str, str]:
    surname, given = random.choice(_SURNAMES_CN), random.choice(_GIVEN_CN[gender])
    return surname[0] + given[0], f"{given[1]}.{surname[1]}"


def _phone(index: int, seed: int) -> str:
    # An odd factor makes neighbours look unlike without giving two of one seed the same number.
    return f"+86139{(index * 7_654_321 + seed * 1_299_709) % 100_000_000:08d}"
