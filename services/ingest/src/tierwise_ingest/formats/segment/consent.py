"""What a message says of consent.

Source: Segment, Consent in Segment: `context.consent.categoryPreferences`; RudderStack, Add the consent object to
event payloads: `context.consentManagement`. Both name categories that each company defines for itself.
"""

from typing import Any, Final

from tierwise.domain.attribute_values.spelling import squashed

_WORDS: Final = """
    advertising ads marketing targeting targeted personalization personalisation profiling analytics c0004
    广告 营销 个性化 分析
"""
_PROFILING: Final = frozenset(_WORDS.split())
"""Categories that scoring is in wherever they are asked for; C0004 is OneTrust's for targeting."""


def scoring_allowed(consent: Any, management: Any) -> bool | None:
    """Where one of the categories is for profiling: whether none of these was refused. Else whether any category was
    granted. None where nothing is said."""
    if consent is None and management is None:
        return None
    granted, refused = _ids(management, "allowedConsentIds"), _ids(management, "deniedConsentIds")
    categories = _preferences(consent) | dict.fromkeys(granted, True) | dict.fromkeys(refused, False)
    if not categories:
        return None
    profiling = [granted for name, granted in categories.items() if squashed(name) in _PROFILING]
    return all(profiling) if profiling else any(categories.values())


def _preferences(consent: Any) -> dict[str, bool]:
    preferences = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(preferences, dict):
        return {}
    return {name: granted for name, granted in preferences.items() if isinstance(granted, bool)}


def _ids(management: Any, member: str) -> list[str]:
    ids = management.get(member) if isinstance(management, dict) else None
    return [name for name in ids if isinstance(name, str)] if isinstance(ids, list) else []
