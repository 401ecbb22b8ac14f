"""Secrets from files, as Docker and Kubernetes mount them: `TIERWISE_SECRET_KEY_FILE` names the file that holds
`TIERWISE_SECRET_KEY`, and so it is with every setting that is a secret."""

from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

_SECRETS: Final = (SecretStr | None, tuple[SecretStr, ...])


class SecretFiles(PydanticBaseSettingsSource):
    """Reads what the variables of the two sources name; a file ends with its last line's end."""

    def __init__(self, settings: type[BaseSettings], *named_in: PydanticBaseSettingsSource) -> None:
        super().__init__(settings)
        self._variables: dict[str, str | None] = {}
        for source in reversed(named_in):
            self._variables |= source.env_vars  # type: ignore[attr-defined]  # of EnvSettingsSource and its heir

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            if field.annotation in _SECRETS and (value := self.get_field_value(field, name)[0]) is not None:
                found[name] = value
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Raises ValidationError: there is no such file, or the setting itself is there too."""
        variable = f"{self.config['env_prefix']}{field_name}".lower()
        path = self._variables.get(f"{variable}_file")
        if not path:
            return None, field_name, False
        if self._variables.get(variable):
            raise _refused(f"{field_name}_file", path, f"{variable.upper()} is set too: which one is meant?")
        try:
            return Path(path).read_text("utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise _refused(f"{field_name}_file", path, getattr(error, "strerror", None) or "not a text") from error


def _refused(name: str, path: str, reason: str) -> ValidationError:
    error = PydanticCustomError("secret_file", "{path}: {reason}", {"path": path, "reason": reason})
    return ValidationError.from_exception_data("Settings", [{"type": error, "loc": (name,), "input": path}])
