"""What attributes mean: one form for each value, in Chinese and English, and what follows from them."""

from datetime import UTC, date, datetime
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof import proof
from tierwise.domain import attributes as attribute
from tierwise.domain import ledger
from tierwise.domain.attribute_values import age, company_size, derive, places, words
from tierwise.domain.attributes import Entry, Kind
from tierwise.domain.calendar import day_number
from tierwise.domain.claim import Claim, Terms, admit, read_claim
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.rejection import InvalidInteraction
from tierwise.domain.review import NEVER, next_review
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.load import default_text, load
from tierwise.domain.source import BACKEND, Source, Trust
from tierwise.domain.view import tags_of

RULEBOOK = load(default_text())
RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)


def derived(**attributes: Any) -> dict[str, Any]:
    found = derive(attributes, year=2026)
    assert derive(found, year=2026) == found
    return found


@pytest.mark.parametrize(
    ("code", "spellings"),
    [
        (
            "CN-31",
            ["上海", "上海市", "Shanghai", "SHANGHAI", "shanghai shi", "SH", "CN-SH", "31", "310000", 310000, "沪"],
        ),
        ("CN-33", ["浙江", "浙江省", "Zhejiang", "Zhejiang Province", "ZJ", "cn-zj", "浙"]),
        ("CN-14", ["山西", "Shanxi", "SX"]),
        ("CN-61", ["陕西", "Shaanxi", "SN"]),
        ("CN-15", ["内蒙古", "内蒙古自治区", "Inner Mongolia", "Nei Mongol"]),
        ("CN-45", ["广西", "广西壮族自治区", "Guangxi"]),
        ("CN-65", ["新疆维吾尔自治区", "新疆", "Xinjiang"]),
        ("CN-54", ["西藏", "Tibet", "Xizang"]),
        ("CN-81", ["香港", "Hong Kong", "香港特别行政区", "CN-HK"]),
        ("CN-82", ["澳门", "Macau", "Macao"]),
        ("CN-71", ["台湾", "Taiwan", "台湾省"]),
        ("CN-32", ["江苏省苏州市", "苏州", "Suzhou"]),
        ("CN-63", ["海南藏族自治州"]),
        ("CN-46", ["海南", "Hainan"]),
        ("US-CA", ["us-ca"]),
    ],
)
def test_a_region_has_one_code_whatever_it_is_called(code: str, spellings: list[Any]) -> None:
    assert [derived(region=one)["region"] for one in spellings] == [code] * len(spellings)


def test_all_34_regions_of_china_are_known_in_every_form() -> None:
    rows = places._rows("regions.csv")
    assert len(rows) == 34
    for row in rows:
        forms = [row["name"], row["full"], row["english"], row["code"], row["abbreviation"], f"CN-{row['iso']}"]
        assert {places.region(form, None) for form in forms} == {f"CN-{row['code']}"}


@pytest.mark.parametrize(
    ("given", "city", "region", "tier"),
    [
        ("北京", "北京", "CN-11", "first"),
        ("Peking", "北京", "CN-11", "first"),
        ("Xi'an", "西安", "CN-61", "new_first"),
        ("广东深圳", "深圳", "CN-44", "first"),
        ("广东省 深圳市", "深圳", "CN-44", "first"),
        ("杭州市西湖区", "杭州", "CN-33", "new_first"),
        ("上海市浦东新区", "上海", "CN-31", "first"),
        ("Urumqi", "乌鲁木齐", "CN-65", "third"),
        ("Wulumuqi", "乌鲁木齐", "CN-65", "third"),
        ("恩施土家族苗族自治州", "恩施", "CN-42", "fourth"),
        ("西双版纳", "西双版纳", "CN-53", "fifth"),
        ("吉林", "吉林", "CN-22", "fourth"),
        ("Luoyang City", "洛阳", "CN-41", "second"),
        ("Hong Kong", "香港", "CN-81", None),
    ],
)
def test_a_city_tells_its_region_and_its_tier(given: str, city: str, region: str, tier: str | None) -> None:
    assert derived(city=given) == {"city": city, "region": region, "city_tier": tier}


def test_every_city_has_the_tier_of_the_ranking_and_is_known_by_each_of_its_names() -> None:
    rows = places._rows("cities.csv")
    tiers = [row["tier"] for row in rows]
    sizes = {"first": 4, "new_first": 15, "second": 30, "third": 70, "fourth": 90, "fifth": 128}
    assert {tier: tiers.count(tier) for tier in sizes} == sizes
    for row in rows:
        region = f"CN-{row['region']}"
        for name in (row["name"], row["full"] or f"{row['name']}市", *filter(None, row["romanised"].split("|"))):
            assert places.city(name, None, region) == (row["name"], region, row["tier"] or None)


def test_of_cities_spelt_alike_the_region_decides_or_a_clear_lead_in_tier() -> None:
    assert derived(city="Suzhou")["city"] == "苏州"
    assert derived(city="Suzhou", province="Anhui")["city"] == "宿州"
    assert derived(city="Taizhou")["city"] == "Taizhou"
    assert derived(city="Taizhou", region="浙江")["city"] == "台州"


def test_a_city_that_is_not_known_stays_and_unsets_the_tier_of_the_one_before() -> None:
    assert derived(city="London") == {"city": "London", "city_tier": None}
    assert derived(city=None) == {"city": None, "city_tier": None}


def test_places_of_other_countries_are_not_taken_for_chinese_ones() -> None:
    assert derived(city="Dali", region="SC", country="USA")["region"] == "SC"
    assert derived(region="SC")["region"] == "SC"
    assert derived(region="SC", country="中国")["region"] == "CN-51"


def test_a_region_that_is_one_city_tells_the_city() -> None:
    assert derived(region="CN-31") == {"region": "CN-31", "city": "上海", "city_tier": "first"}
    assert derived(region="吉林") == {"region": "CN-22"}
    assert derived(region="CN-32", city="苏州")["city_tier"] == "new_first"


@pytest.mark.parametrize(
    ("name", "value", "normal"),
    [
        ("country", "中国", "CN"), ("country", "China", "CN"), ("country", "CHN", "CN"), ("country", "usa", "US"),
        ("country", "United Kingdom", "GB"), ("country", "德国", "DE"), ("country", "中国香港", "HK"),
        ("gender", "男", "male"), ("gender", "M", "male"), ("gender", "先生", "male"), ("gender", "女士", "female"),
        ("gender", "F", "female"), ("gender", "Ｆemale", "female"), ("gender", "其他", "other"),
        ("industry", "教育", "education"), ("industry", "教育/培训", "education"),
        ("industry", "制造业", "manufacturing"), ("industry", "IT/互联网", "it"),
        ("industry", "金融行业", "finance"), ("industry", "Oil & Gas", "energy"),
        ("industry", "Real Estate", "real_estate"), ("industry", "医疗健康", "healthcare"),
        ("industry", "零售", "retail"), ("industry", "Software Services", "it"), ("industry", "政府", "government"),
        ("occupation", "Working Professional", "professional"), ("occupation", "Businessman", "business_owner"),
        ("occupation", "公务员", "civil_servant"), ("occupation", "大学生", "student"),
        ("occupation", "退休", "retired"), ("company_size", "大型企业", "large"), ("company_size", "微型", "micro"),
        ("company_size", 8, "micro"), ("company_size", "50-99人", "small"), ("company_size", "250-999", "medium"),
        ("company_size", "1,000", "large"), ("company_size", "10000人以上", "large"),
        ("company_size", "1万人以上", "large"), ("company_size", "<20", "micro"),
        ("company_size", "少于20人", "micro"), ("company_size", "500+ employees", "medium"),
        ("company_size", "SMB", "sme"), ("company_size", "跨国公司", "multinational"),
        ("company_size", "300", "medium"), ("company_size", "299", "small"), ("customer_type", "个人", "individual"),
        ("customer_type", "person", "individual"), ("customer_type", "企业客户", "company"),
        ("customer_type", "B2B", "company"), ("customer_type", "政府机关", "government"),
        ("customer_type", "NGO", "non_profit"), ("customer_type", "非营利组织", "non_profit"),
        ("city_tier", "新一线城市", "new_first"), ("city_tier", 1, "first"), ("city_tier", "Tier 2", "second"),
        ("birth_year", "1990", 1990), ("birth_year", "1990年", 1990), ("age_group", "青年", "young"),
        ("age_group", "中年人", "middle"), ("age_group", "elderly", "senior"), ("age_group", "25-34", "young"),
        ("age_group", "60-70岁", "senior"),
    ],
)  # fmt: skip
def test_values_have_one_form_in_english_and_chinese(name: str, value: Any, normal: Any) -> None:
    assert derived(**{name: value})[name] == normal


@pytest.mark.parametrize(
    "attributes",
    [
        {"gender": "保密"}, {"industry": "education, retail"}, {"occupation": "astronaut"}, {"country": "Atlantis"},
        {"company_size": "0"}, {"company_size": "-5"}, {"customer_type": "medium"}, {"age_group": "30-40"},
        {"birth_year": 12}, {"birth_year": "1899"}, {"gender": ["m"]}, {"industry": True}, {"plan": "male"},
        {"region": "California"}, {"region": "CN-99"}, {"region": "x" * 1000},
    ],
)  # fmt: skip
def test_what_is_not_understood_stays_as_it_was_sent(attributes: dict[str, Any]) -> None:
    assert derived(**attributes) == attributes


def test_other_names_of_an_attribute_are_understood_and_its_own_name_wins() -> None:
    assert derived(性别="女", 所属行业="金融")["gender"] == "female"
    assert derived(Gender="Female") == {"Gender": "Female", "gender": "female"}
    assert derived(sex="f", gender="男")["gender"] == "male"
    assert derived(城市="London")["city"] == "London"
    assert derive({"state": "北京", "province": "上海"}, year=2026)["region"] == "CN-31"
    assert derive({"province": "上海", "state": "北京"}, year=2026)["region"] == "CN-31"


def test_a_company_by_its_size_and_the_size_by_its_employees() -> None:
    assert derived(customer_type="中小企业") == {"customer_type": "company", "company_size": "sme"}
    assert derived(客户类型="跨国企业")["company_size"] == "multinational"
    assert derived(employees=350) == {"employees": 350, "company_size": "medium"}
    assert derived(employees=350, company_size="large")["company_size"] == "large"
    assert derived(customer_type="SME", 员工人数="50-99人")["company_size"] == "small"


@pytest.mark.parametrize(
    "given", ["1990-05-01", "1990/5/1", "5/1/1990", "19900501", 19900501, "1990年5月1日", "1990-05-01T00:00:00Z", 1990]
)
def test_a_birth_date_tells_the_year_and_stays_itself_to_be_sealed(given: Any) -> None:
    for name in ("birth_date", "birthday", "生日"):
        assert derived(**{name: given}) == {name: given, "birth_year": 1990}


def test_the_birth_year_is_best_from_itself_then_from_the_date_then_from_the_age() -> None:
    assert derived(age=36)["birth_year"] == 1990
    assert derived(age="36岁", birth_date="1991-01-02")["birth_year"] == 1991
    assert derived(age=36, birth_date="02-01")["birth_year"] == 1990
    assert derived(birth_year=1985, birth_date="1991-01-02")["birth_year"] == 1985
    assert derived(birth_date=None) == {"birth_date": None, "birth_year": None}
    assert derived(age=None) == {"age": None}
    assert "birth_year" not in derived(age=400, birth_date="soon")


def test_every_word_of_a_vocabulary_means_its_own_name_too() -> None:
    for table in (words._GENDERS, words._INDUSTRIES, words._OCCUPATIONS, words._COMPANY_SIZES, words._CUSTOMER_TYPES):
        assert {table.meaning(one) for one in set(table._by_word.values())} == set(table._by_word.values())


def test_the_default_rulebook_has_a_tag_for_every_value_of_the_small_vocabularies() -> None:
    tags = {tag.name: set(tag.values) for tag in RULEBOOK.tags if tag.family == "attribute"}
    assert tags["industry"] == set(words._INDUSTRIES._by_word.values())
    assert tags["gender"] == set(words._GENDERS._by_word.values())
    assert tags["customer_type"] == set(words._CUSTOMER_TYPES._by_word.values())
    assert tags["age_group"] == set(age.GROUPS)


scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
json = scalar | st.lists(scalar, max_size=3) | st.dictionaries(st.text(max_size=5), scalar, max_size=2)
known_names = st.sampled_from(
    ["region", "country", "city", "city_tier", "gender", "occupation", "industry", "company_size", "customer_type",
     "birth_year", "birth_date", "age", "age_group", "employees", "省份", "性别", "公司规模"]
)  # fmt: skip
likely = st.sampled_from(
    [
        "上海",
        "Suzhou",
        "Taizhou",
        "吉林",
        "CN",
        "US",
        "安徽",
        "新一线",
        "M",
        "SME",
        "中小企业",
        "50-99人",
        "35",
        1990,
        35,
        "25-34",
        "HK",
    ]
)


@proof
@given(st.dictionaries(known_names | st.text(max_size=10), json | likely, max_size=6))
def test_any_json_is_taken_and_deriving_again_changes_nothing(attributes: dict[str, Any]) -> None:
    found = derive(attributes, year=2026)
    assert repr(derive(found, year=2026)) == repr(found)
    assert found.keys() >= attributes.keys()


@given(st.integers(0, 10**8))
def test_more_employees_are_never_a_smaller_company(employees: int) -> None:
    order = [None, "micro", "small", "medium", "large"]
    smaller, larger = (company_size.company_size(str(number)) for number in (employees, employees * 2))
    assert order.index(smaller) <= order.index(larger)


def test_an_attribute_takes_less_than_3_microseconds() -> None:
    person = {
        "gender": "男", "birth_year": 1990, "country": "CN", "region": "江苏", "city": "苏州", "occupation": "engineer",
        "industry": "教育", "customer_type": "company", "company_size": "50-249", "plan": "gold",
    }  # fmt: skip
    best = float("inf")
    for _ in range(20):
        start = perf_counter()
        for _ in range(500):
            derive(person, year=2026)
        best = min(best, (perf_counter() - start) / 500 / len(person))
    assert best < 3e-6


def claim(**attributes: Any) -> Claim:
    return Claim(channel="crm", type="note", identifiers={"user_id": "u"}, attributes=attributes, id="1")


def terms(trust: Trust = BACKEND) -> Terms:
    return Terms(source=Source(id=1, name="shop", trust=trust), received=RECEIVED, new_id=lambda: "new")


def test_an_interaction_is_accepted_with_what_its_attributes_mean() -> None:
    raw = """{"id": "1", "channel": "crm", "type": "note", "identifiers": {"user_id": "u"},
              "attributes": {"age": 36, "性别": "女"}}""".encode()
    known = {"age": 36, "性别": "女", "gender": "female", "birth_year": 1990}
    assert read_claim(raw, terms()).interaction.attributes == known


def test_a_repeated_key_is_found_where_attributes_are_derived() -> None:
    raw = """{"id": "1", "channel": "crm", "type": "note", "identifiers": {"user_id": "u"},
              "attributes": {"city": "Shanghai", "city": "上海"}}""".encode()
    with pytest.raises(InvalidInteraction) as refused:
        read_claim(raw, terms())
    assert (refused.value.code, refused.value.field) == ("duplicate_key", "city")


def test_who_may_assert_an_attribute_asserts_what_follows_from_it() -> None:
    trust = Trust(attributes=frozenset({"birth_date"}))
    assert admit(claim(birth_date="1990-05-01"), terms(trust)).attributes["birth_year"] == 1990


def test_an_id_from_the_content_does_not_depend_on_what_is_understood_of_it() -> None:
    sent = Claim(channel="crm", type="note", identifiers={"user_id": "u"}, attributes={"city": "上海"}, time=RECEIVED)
    normal = Claim(
        channel="crm", type="note", identifiers={"user_id": "u"}, time=RECEIVED,
        attributes={"city": "上海", "region": "CN-31", "city_tier": "first"},
    )  # fmt: skip
    assert admit(sent, terms()).attributes == admit(normal, terms()).attributes
    assert admit(sent, terms()).id != admit(normal, terms()).id


def held(**values: Any) -> attribute.Attributes:
    return {name: Entry(Kind.LATEST, 0, b"k", value) for name, value in values.items()}


def attribute_tags(moment: str, rulebook: Rulebook = RULEBOOK, **values: Any) -> dict[str, str]:
    columns = attribute_columns([held(**values)], rulebook)
    result = classify(ledger.empty(1), columns, datetime.fromisoformat(moment), rulebook).result[0]
    return {name: value for family, name, value in tags_of(result, rulebook) if family == "attribute"}


@pytest.mark.parametrize(
    ("born", "group"),
    [
        (2013, None),
        (2012, "young"),
        (1991, "young"),
        (1990, "middle"),
        (1967, "middle"),
        (1966, "senior"),
        (1930, "senior"),
    ],
)
def test_the_age_group_is_that_of_the_year(born: int, group: str | None) -> None:
    assert attribute_tags("2026-06-01T00:00:00Z", birth_year=born).get("age_group") == group


def test_the_age_group_changes_at_new_year_of_the_business_time_zone() -> None:
    assert attribute_tags("2026-12-31T15:59:59Z", birth_year=1991)["age_group"] == "young"
    assert attribute_tags("2026-12-31T16:00:00Z", birth_year=1991)["age_group"] == "middle"


def test_a_given_age_group_holds_only_where_the_birth_year_is_not_known() -> None:
    assert attribute_tags("2026-06-01T00:00:00Z", age_group="senior") == {"age_group": "senior"}
    assert attribute_tags("2026-06-01T00:00:00Z", age_group="senior", birth_year=2000) == {"age_group": "young"}
    assert attribute_tags("2026-06-01T00:00:00Z", age_group="senior", birth_year="?") == {"age_group": "senior"}


def test_a_review_is_due_when_the_age_group_changes() -> None:
    today = day_number(date(2026, 12, 31))
    columns = attribute_columns([held(birth_year=1991), held(birth_year=1990), held(birth_year=1950), {}], RULEBOOK)
    result = np.zeros(4, RULEBOOK.result)
    due = next_review(ledger.empty(4), columns, result, today, RULEBOOK)
    assert due.tolist() == [day_number(date(2027, 1, 1)), day_number(date(2050, 1, 1)), NEVER, NEVER]


def test_where_a_rule_asks_for_the_age_a_review_is_due_every_new_year() -> None:
    text = default_text().replace("attributes: [region,", "attributes: [age, region,")
    rulebook = load(text.replace('gender = "other"', "age >= 100"))
    columns = attribute_columns([held(birth_year=1950), held(age=70)], rulebook)
    due = next_review(ledger.empty(2), columns, np.zeros(2, rulebook.result), day_number(date(2026, 1, 1)), rulebook)
    assert due.tolist() == [day_number(date(2027, 1, 1)), NEVER]
    assert attribute_tags("2049-12-31T00:00:00Z", rulebook, birth_year=1950).get("gender") is None
    assert attribute_tags("2050-01-01T00:00:00Z", rulebook, birth_year=1950)["gender"] == "other"


def test_tags_say_what_the_attributes_are() -> None:
    person = derived(city="苏州", gender="女", customer_type="小微企业", industry="软件", birth_date="1990-05-01")
    assert attribute_tags("2026-06-01T00:00:00Z", **person) == {
        "age_group": "middle", "gender": "female", "region": "jiangsu", "city_tier": "new_first",
        "customer_type": "company", "company_size": "sme", "industry": "it",
    }  # fmt: skip


def test_a_list_where_a_rule_compares_is_not_known_and_stops_nobody() -> None:
    assert attribute_tags("2026-06-01T00:00:00Z", industry=["it", "media"], gender="male") == {"gender": "male"}
