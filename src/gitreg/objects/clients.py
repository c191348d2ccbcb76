"""Make obstore's clients: endpoints, patience, and credentials by each platform's usual chain."""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigError
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.errors import DeniedError, InvalidError
from gitreg.objects.faults import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ClientConfig, ObjectStore, RetryConfig

    from gitreg.objects.bucket import Address

ENDPOINT = "GITREG_S3_ENDPOINT"
_LONGEST = 3600
# With one of these set, obstore finds credentials by itself, or needs none.
_OWN = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
_UNSIGNED = "AWS_UNSIGNED_PAYLOAD"
_MAX_FILE = 1 << 20  # bytes of a file of profiles


class Patience(NamedTuple):
    """How long a cloud is waited for, in seconds: without a byte of an answer, and in all over the retries of one."""

    silence: float = 60
    retries: float = 120

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Patience:
        """Read GITREG_STORE_TIMEOUT and GITREG_STORE_RETRY; InvalidError where one is no number of seconds."""
        return cls(
            _seconds(environment, "GITREG_STORE_TIMEOUT", cls().silence),
            _seconds(environment, "GITREG_STORE_RETRY", cls().retries),
        )


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        found = float(text)
    except ValueError:
        found = -1
    if not 0 < found <= _LONGEST:
        raise InvalidError(f"{name} is {text[:40]!r}, want seconds, up to {_LONGEST}")
    return found


def connect(address: Address, endpoint: str | None, patience: Patience) -> ObjectStore:
    """Make the client of a bucket; nothing is sent yet."""
    from obstore.store import AzureStore, GCSStore, S3Store

    prefix = address.prefix or None
    retry = _retry(patience)
    if address.scheme == "s3":
        config = _s3(endpoint, os.environ)
        client = _client(patience, plain=str(config.get("endpoint", "")).startswith("http://"))
        return S3Store(address.bucket, prefix=prefix, config=config, client_options=client, retry_config=retry)  # type: ignore[arg-type] # a dict of its keys
    if address.scheme == "gs":
        # The service account's own file may name a server of its own: an emulator, or a private endpoint.
        client = _client(patience, plain=os.environ.get("GOOGLE_BASE_URL", "").startswith("http://"))
        return GCSStore(address.bucket, prefix=prefix, client_options=client, retry_config=retry)
    plain = any(os.environ.get(name, "").startswith("http://") for name in ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"))
    client = _client(patience, plain=plain or "AZURE_STORAGE_USE_EMULATOR" in os.environ)
    return AzureStore(address.bucket, prefix=prefix, client_options=client, retry_config=retry)


def _client(patience: Patience, *, plain: bool) -> ClientConfig:
    return {
        "allow_http": plain,  # only where its user has written http:// himself
        "connect_timeout": timedelta(seconds=min(10, patience.silence)),
        "read_timeout": timedelta(seconds=patience.silence),
        # Of a whole request, which is a part of a blob, or all of a large one on its way here.
        "timeout": timedelta(days=1),
        "user_agent": "gitreg",
    }


def _retry(patience: Patience) -> RetryConfig:
    first = min(0.2, patience.retries / 10)
    return {
        "max_retries": 12,
        "backoff": {
            "init_backoff": timedelta(seconds=first),
            "max_backoff": timedelta(seconds=min(10, patience.retries / 2)),
            "base": 2,
        },
        "retry_timeout": timedelta(seconds=patience.retries),
    }


def _s3(endpoint: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Say what obstore does not find by itself: profiles, and the endpoint for S3 alone."""
    # Not every server that speaks S3 deletes many at once.
    config: dict[str, Any] = {"disable_bulk_delete": True}
    profile = _profile(environment)
    named = (
        endpoint
        or environment.get(ENDPOINT)
        or environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
        or environment.get("AWS_ENDPOINT")
        or profile.get("endpoint_url")
    )
    if named:
        if not named.startswith(("http://", "https://")) or "@" in named:
            raise InvalidError(
                f"{named.rpartition('@')[2][:80]!r} is not the endpoint of a store",
                hint="write https://host:port, without credentials",
            )
        config["endpoint"] = named
    if not (named or "").startswith("http://") and _UNSIGNED not in environment:
        # TLS keeps what is sent as it is: its SHA-256 in the signature would cost as much again as that of the blob.
        config["unsigned_payload"] = True
    if not any(environment.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION")) and "region" in profile:
        config["region"] = profile["region"]
    if not any(environment.get(name) for name in _OWN):
        config |= _keys(profile, environment)
    return config


def _keys(profile: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Take the keys of a profile; what only Amazon's own library can get, such as single sign-on, is asked of that."""
    if "aws_access_key_id" in profile and "aws_secret_access_key" in profile and "role_arn" not in profile:
        return {
            "access_key_id": profile["aws_access_key_id"],
            "secret_access_key": profile["aws_secret_access_key"],
            **({"session_token": profile["aws_session_token"]} if "aws_session_token" in profile else {}),
        }
    if not profile and not environment.get("AWS_PROFILE"):
        return {}  # the machine itself may have some: obstore asks it
    try:
        from botocore.session import Session  # type: ignore[import-untyped] # it has no types
    except ImportError:
        if any(key in profile for key in ("role_arn", "sso_session", "sso_start_url", "credential_process")):
            raise DeniedError(
                "the profile of ~/.aws/config gets its credentials by a role, single sign-on or a program",
                hint="pip install boto3, which knows these ways, or export the keys: aws configure export-credentials",
            ) from None
        return {}
    found = Session().get_credentials()
    if found is None:
        return {}
    keys = found.get_frozen_credentials()
    own = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key}
    return own | ({"session_token": keys.token} if keys.token else {})


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Read the chosen profile of ~/.aws/config and ~/.aws/credentials; the second wins, as it does for Amazon's tools.

    DeniedError where AWS_PROFILE names one that is in neither.
    """
    home = Path(environment.get("HOME") or "/nonexistent")
    name = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE") or "default"
    settings = Path(environment.get("AWS_CONFIG_FILE") or home / ".aws" / "config")
    secrets = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    section = name if name == "default" else f"profile {name}"
    first, second = _section(settings, section), _section(secrets, name)
    if first is None and second is None and environment.get("AWS_PROFILE"):
        raise DeniedError(
            f"AWS_PROFILE is {name[:80]!r}, which is in neither {str(settings)!r} nor {str(secrets)!r}",
            hint="name a profile that is there, or unset AWS_PROFILE",
        )
    return (first or {}) | (second or {})


def _section(path: Path, name: str) -> dict[str, str] | None:
    if not path.is_file():
        return None
    parser = ConfigParser(interpolation=None, strict=False, default_section="\0")
    with reading(path):
        data = path.read_bytes()[:_MAX_FILE]
    try:
        parser.read_string(data.decode("utf-8", "replace"), str(path))
    except ConfigError:
        raise InvalidError(f"{str(path)!r} is not a file of profiles", hint="see: aws configure") from None
    return dict(parser[name]) if parser.has_section(name) else None
