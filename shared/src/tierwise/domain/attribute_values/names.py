"""The names of attributes: what other systems call them. Compared without case, blanks, `_` and `-`."""

from functools import lru_cache
from typing import Final

from tierwise.domain.attribute_values.spelling import TEXT_CHARACTERS_MAX, squashed

_SAME: Final = {
    "country": "country code, nation, 国家, 国家地区, 国籍",
    "region": "province, state, state province, 省份, 省, 地区, 所在省份, 所在地区, 省市",
    "city": "city name, 城市, 所在城市, 市",
    "city_tier": "city level, 城市等级, 城市级别, 城市线级",
    "gender": "sex, 性别",
    "birth_year": "year of birth, 出生年份, 出生年",
    "age_group": "age range, age bracket, 年龄段, 年龄层",
    "occupation": "profession, 职业",
    "industry": "sector, 行业, 所属行业",
    "company_size": "company scale, 企业规模, 公司规模, 规模",
    "customer_type": "client type, account type, 客户类型, 客户性质",
}
"""Another name for the same."""

_BASES: Final = {
    "birth_date": "birthday, birthdate, date of birth, dob, 生日, 出生日期",
    "age": "年龄",
    "employees": "employee count, number of employees, num employees, company employees, headcount, 员工人数, "
    "员工数, 人员规模",
}
"""Something else, from which an attribute of ours follows."""

_NAMES: Final = {
    squashed(alias): (name, rank)
    for name, others in (_SAME | _BASES).items()
    for rank, alias in enumerate((name, *others.split(",")))
}
SAME: Final = frozenset(_SAME)


@lru_cache(8192)
def canonical(name: str) -> tuple[str, int] | None:
    """(our name, rank): of several names for one attribute the lowest rank is believed, and 0 is our own spelling of
    it. None for what means nothing here."""
    if len(name) > TEXT_CHARACTERS_MAX or (found := _NAMES.get(squashed(name))) is None:
        return None
    known, rank = found
    return known, 0 if name == known else rank + 1
