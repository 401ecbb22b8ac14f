"""Personal values among attributes and properties: sealed in what is stored, masked in what is shown."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tierwise.security.personal import Vault

_PERSONAL = """
    name first_name last_name middle_name full_name given_name family_name display_name nickname real_name
    contact_name user_name username
    email email_address mail work_email phone phone_number mobile mobile_number mobile_phone telephone tel fax
    whatsapp wechat wechat_id weixin qq
    address street street_address address_line1 address_line2 home_address postcode postal_code zip zip_code
    id_number id_card national_id passport passport_number ssn tax_id bank_account iban card_number credit_card
    birthday birth_date date_of_birth dob ip ip_address
    姓名 名字 昵称 联系人 手机 手机号 手机号码 电话 电话号码 邮箱 电子邮箱 地址 住址 邮编
    身份证 身份证号 护照号 微信 微信号 生日 出生日期
"""
PERSONAL = frozenset(_PERSONAL.split())
"""Names of values that tell who someone is. Compared without case, `_`, `-` and blanks."""

_SQUASHED = frozenset(name.replace("_", "") for name in PERSONAL)
_OF_THINGS = frozenset({"name"})  # in a list of products or items it is not a person's
_PHONES = frozenset({"phone", "phonenumber", "mobile", "mobilenumber", "telephone", "tel", "手机", "手机号", "电话"})
_WORD = "a word"  # no kind of identifiers has a blank in it
_WHOLE = frozenset({"user_id", "crm_id", "anonymous_id"})


@lru_cache(4096)
def is_personal(name: str) -> bool:
    """A name with dots is, where a part of it is: formats flatten what is nested."""
    return any(_squash(part) in _SQUASHED for part in name.split("."))


def seal_values(values: dict[str, Any], vault: Vault) -> dict[str, Any]:
    """`values` as JSON gives them, with the value of each personal name, nested ones too, as sealed bytes."""
    for name, value in values.items():  # mostly there is none, and every interaction comes through here twice
        if is_personal(name) or isinstance(value, dict | list):
            break
    else:
        return values
    return {name: _seal(name, value, vault, in_list=False) for name, value in values.items()}


class Sealer:
    """Seals what is learned of customers."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        return seal_values(values, self._vault)

    def word(self, word: str) -> int:
        """As `word_hash`."""
        return word_hash(word, self._vault)

    def texts(self, name: str, texts: Sequence[str]) -> dict[str, bytes | None]:
        """What tells each of a list's texts from others, to its sealed form: a keyed hash where the name is personal,
        else the text itself, to None."""
        if not is_personal(name):
            return dict.fromkeys(texts)
        return {
            self._vault.identifier_hash(name, text).hex(): _seal(name, text, self._vault, in_list=False)
            for text in texts
        }


def word_hash(word: str, vault: Vault) -> int:
    """A keyed hash of a word of somebody's name, signed 64 bits."""
    return int.from_bytes(vault.identifier_hash(_WORD, word)[:8], "big", signed=True)


def open_values(values: dict[str, Any], vault: Vault, *, masked: bool) -> dict[str, Any]:
    """What `seal_values` was given; `masked`: with something like `l***` for each personal value.

    Raises NotSealedHere. Bytes are always sealed: JSON has none.
    """
    return {name: _open(name, value, vault, masked) for name, value in values.items()}


def mask_identifier(kind: str, value: str) -> str:
    """`l***@example.com`, `+86138****0000`; ids that mean nothing to others are shown whole."""
    if kind in _WHOLE:
        return value
    if kind == "email":
        local, at, domain = value.rpartition("@")
        return f"{local[:1]}***{at}{domain}" if at else _hidden(value)
    if kind == "phone":
        return f"{value[:6]}****{value[-4:]}" if len(value) >= 12 else f"{value[:2]}****{value[-2:]}"
    return _hidden(value)


def _seal(name: str, value: Any, vault: Vault, *, in_list: bool) -> Any:
    if value is None:
        return None  # that a value is unset is no secret, and merging must see it
    if is_personal(name) and not (in_list and name in _OF_THINGS):
        return vault.seal(msgspec.json.encode(value), context=name.encode())
    if isinstance(value, dict):
        return {inner: _seal(inner, item, vault, in_list=in_list) for inner, item in value.items()}
    if isinstance(value, list):
        return [_seal(name, item, vault, in_list=True) for item in value]
    return value


def _open(name: str, value: Any, vault: Vault, masked: bool) -> Any:
    if isinstance(value, bytes):
        opened = msgspec.json.decode(vault.open(value, context=name.encode()))
        return _masked(name, opened) if masked else opened
    if isinstance(value, dict):
        return {inner: _open(inner, item, vault, masked) for inner, item in value.items()}
    if isinstance(value, list):
        return [_open(name, item, vault, masked) for item in value]
    return value


def _masked(name: str, value: Any) -> str:
    if not isinstance(value, str):
        return "***"
    if "@" in value:
        return mask_identifier("email", value)
    return mask_identifier("phone", value) if _squash(name) in _PHONES else _hidden(value)


def _hidden(value: str) -> str:
    return f"{value[:1]}***"


def _squash(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()
