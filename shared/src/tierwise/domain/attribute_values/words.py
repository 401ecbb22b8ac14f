"""The words of attributes with few values: canonical names, and what is written for them in English and Chinese."""

from functools import lru_cache
from typing import Final

from tierwise.domain.attribute_values.spelling import Words

_GENDERS: Final = Words(
    {
        "female": "f, woman, lady, girl, mrs, ms, miss, 女, 女性, 女士, 女生, 小姐, 太太",
        "male": "m, man, gentleman, boy, mr, 男, 男性, 先生, 男士, 男生",
        "other": "x, nonbinary, diverse, 其他, 非二元",
    }
)

_CUSTOMER_TYPES: Final = Words(
    {
        "individual": "person, personal, consumer, private, b2c, 个人, 自然人, 消费者, 散客, 个体",
        "company": "business, enterprise, corporate, corporation, organisation, organization, b2b, firm, 企业, "
        "公司, 法人, 单位, 机构",
        "government": "public sector, gov, government agency, public institution, 政府, 政府机关, 政府机构, "
        "政府部门, 机关, 事业单位, 机关事业单位, 党政机关",
        "non_profit": "ngo, npo, not for profit, non profit organisation, non profit organization, charity, "
        "foundation, association, 非营利, 非营利性, 非营利组织, 非营利机构, 非盈利, 非盈利组织, 非盈利机构, 公益, "
        "公益组织, 社会组织, 社会团体, 慈善机构, 协会, 基金会",
    },
    endings=("客户", "用户", "customer", "client"),
)

_COMPANY_SIZES: Final = Words(
    {
        "micro": "微型, 微型企业, 个体工商户, 个体户, 微企, micro enterprise, micro business",
        "small": "小型, 小型企业, 小企业, small business, small enterprise, small company",
        "medium": "中型, 中型企业, 中等, mid, midsize, mid sized, medium sized, mid market, medium enterprise",
        "sme": "smb, small and medium, small and medium sized, small and medium enterprise, 中小, 中小型, 中小企业, "
        "中小型企业, 小微, 小微企业, 中小微, 中小微企业",
        "large": "big, large enterprise, large company, large business, 大型, 大型企业, 大企业, 大公司",
        "multinational": "mnc, multinational company, multinational corporation, global company, 跨国, 跨国企业, "
        "跨国公司, 跨国集团",
    },
    endings=("客户",),
)
"""`sme` is said where it is not known which of micro, small and medium."""

_INDUSTRIES: Final = Words(
    {
        "agriculture": "farming, forestry, fishery, agribusiness, 农业, 农林牧渔, 农林牧渔业, 林业, 畜牧, 渔业",
        "mining": "采矿, 采矿业, 矿业, 采掘",
        "manufacturing": "industrial, industry, factory, machinery, electronics manufacturing, 制造, 制造业, 工业, "
        "生产制造, 加工制造, 机械, 机械制造, 电子制造, 装备制造, 化工",
        "energy": "utilities, oil and gas, power, electricity, 能源, 电力, 石油, 石化, 石油石化, 公用事业, 新能源",
        "construction": "building, engineering and construction, 建筑, 建筑业, 建筑工程, 建材, 土木工程",
        "retail": "wholesale, e commerce, ecommerce, consumer goods, fmcg, trade, 零售, 零售业, 批发, 批发零售, "
        "批发和零售, 批发和零售业, 电商, 电子商务, 消费品, 快消, 快消品, 贸易, 商贸",
        "logistics": "transport, transportation, warehousing, shipping, supply chain, 物流, 运输, 交通运输, 仓储, "
        "快递, 交通, 供应链, 交通运输仓储和邮政, 交通运输、仓储和邮政业",
        "hospitality": "hotel, hotels, catering, restaurant, restaurants, food service, travel, tourism, 住宿, "
        "餐饮, 酒店, 住宿和餐饮, 住宿和餐饮业, 旅游, 酒店旅游, 餐饮酒店",
        "it": "information technology, software, internet, technology, tech, saas, computer software, hi tech, "
        "信息技术, 软件, 互联网, 计算机, 科技, 高科技, it互联网, 软件和信息技术, 互联网it, "
        "信息传输、软件和信息技术服务业",
        "telecom": "telecommunications, telecommunication, 电信, 通信, 通讯, 运营商",
        "finance": "financial services, banking, bank, insurance, investment, securities, fintech, 金融, 金融业, "
        "银行, 保险, 证券, 投资, 基金",
        "real_estate": "property, 房地产, 地产, 房产, 不动产, 物业",
        "professional_services": "consulting, legal, law, accounting, business services, professional service, "
        "咨询, 法律, 会计, 商务服务, 租赁和商务服务, 租赁和商务服务业, 专业服务, 企业服务, 人力资源",
        "research": "science, r&d, research and development, 科研, 研究, 科学研究, 科学研究和技术服务, "
        "科学研究和技术服务业",
        "education": "educational services, e learning, training, school, university, 教育, 教育业, 培训, 教育培训, "
        "学校, 高校, 在线教育",
        "healthcare": "health, health care, medical, pharma, pharmaceutical, pharmaceuticals, biotech, hospital, "
        "医疗, 医疗健康, 医药, 医疗卫生, 卫生, 制药, 生物医药, 健康, 医院, 卫生和社会工作",
        "media": "entertainment, advertising, marketing, publishing, culture, sports, gaming, 媒体, 传媒, 文化, "
        "文化传媒, 广告, 广告传媒, 娱乐, 出版, 游戏, 影视, 体育, 文体娱乐, 文化、体育和娱乐业",
        "government": "public sector, public administration, 政府, 政府机关, 公共管理, 机关, 事业单位, 政务, "
        "党政机关, 公共管理、社会保障和社会组织",
        "non_profit": "ngo, charity, 公益, 非营利, 社会组织",
        "consumer_services": "personal services, services, beauty, 居民服务, 生活服务, 本地生活, "
        "居民服务、修理和其他服务业, 美业",
    },
    endings=("行业", "产业", "业", "类", "industry", "sector", "services", "service"),
)
"""After the sections of GB/T 4754-2017, with those split or joined that sales teams split or join."""

_OCCUPATIONS: Final = Words(
    {
        "student": "pupil, undergraduate, postgraduate, 学生, 大学生, 研究生, 在校学生, 在校生",
        "professional": "working professional, employee, office worker, white collar, clerk, staff, employed, 白领, "
        "职员, 上班族, 在职, 在职人员, 企业职员, 公司职员, 专业人士, 专业技术人员, 文员",
        "manager": "executive, director, management, ceo, cto, cfo, 经理, 管理人员, 企业管理人员, 管理者, 高管, "
        "总监, 主管, 总经理, 企业高管",
        "business_owner": "businessman, businesswoman, businessperson, entrepreneur, business owner, owner, "
        "founder, boss, 企业主, 老板, 创业者, 企业家, 私营企业主, 企业负责人, 商人, 生意人, 创始人",
        "self_employed": "freelancer, freelance, self employed, 自由职业, 自由职业者, 自雇, 个体户, 个体经营, "
        "个体经营者, 个体工商户",
        "engineer": "developer, programmer, software engineer, technician, 工程师, 程序员, 软件工程师, 技术人员, "
        "开发人员",
        "teacher": "lecturer, professor, educator, tutor, 教师, 老师, 教授, 讲师, 教育工作者",
        "healthcare_worker": "doctor, nurse, physician, pharmacist, 医生, 护士, 医护人员, 医务人员, 医师",
        "sales": "salesperson, salesman, sales representative, 销售, 销售人员, 业务员, 销售员, 推销员",
        "designer": "设计师, 设计",
        "lawyer": "attorney, 律师",
        "accountant": "会计, 会计师, 财务, 财务人员",
        "civil_servant": "government employee, public servant, government officer, 公务员, 政府工作人员, 机关干部, "
        "事业单位人员",
        "worker": "labourer, laborer, blue collar, factory worker, driver, 工人, 蓝领, 产业工人, 司机, 务工人员, "
        "农民工",
        "service_worker": "waiter, shop assistant, 服务员, 服务业人员, 店员",
        "farmer": "农民, 农户, 务农",
        "soldier": "military, army, 军人, 现役军人",
        "homemaker": "housewife, househusband, stay at home parent, 家庭主妇, 全职妈妈, 全职太太, 家庭主夫, 主妇",
        "retired": "retiree, pensioner, 退休, 离退休, 退休人员, 离退休人员",
        "unemployed": "jobless, job seeker, between jobs, 待业, 失业, 无业, 求职中, 无业人员",
    }
)

_CITY_TIERS: Final = Words(
    {
        "first": "1, t1, tier 1, tier one, first tier, 一线",
        "new_first": "new tier 1, new first tier, 新一线, 准一线",
        "second": "2, t2, tier 2, tier two, second tier, 二线",
        "third": "3, t3, tier 3, tier three, third tier, 三线",
        "fourth": "4, t4, tier 4, tier four, fourth tier, 四线",
        "fifth": "5, t5, tier 5, tier five, fifth tier, 五线",
    },
    endings=("城市", "city", "cities"),
)

_AGE_GROUPS: Final = Words(
    {
        "young": "youth, young adult, 青年, 青年人, 年轻, 年轻人",
        "middle": "middle age, middle aged, 中年, 中年人",
        "senior": "elderly, older, old, 老年, 老年人, 老人, 长者",
    }
)


@lru_cache(4096)
def gender(text: str) -> str | None:
    return _GENDERS.meaning(text)


@lru_cache(4096)
def customer_type(text: str) -> str | None:
    """What names a size of company is a company too."""
    return _CUSTOMER_TYPES.meaning(text) or ("company" if _says_company(text) else None)


@lru_cache(4096)
def company_size(text: str) -> str | None:
    return _COMPANY_SIZES.meaning(text)


@lru_cache(8192)
def industry(text: str) -> str | None:
    return _INDUSTRIES.meaning(text)


@lru_cache(8192)
def occupation(text: str) -> str | None:
    return _OCCUPATIONS.meaning(text)


@lru_cache(4096)
def city_tier(text: str) -> str | None:
    return _CITY_TIERS.meaning(text)


@lru_cache(4096)
def age_group(text: str) -> str | None:
    return _AGE_GROUPS.meaning(text)


def _says_company(text: str) -> bool:
    """`中小企业` and `大型` as a type of customer, but not `medium`, which may be a medium of anything."""
    return company_size(text) is not None and (not text.isascii() or " " in text.strip() or text.lower() in _SHORT)


_SHORT: Final = frozenset({"sme", "smb", "mnc", "multinational"})
