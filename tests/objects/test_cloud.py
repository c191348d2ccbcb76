"""Buckets in clouds: the real client against local servers of S3, Azure and Google, and through a faulty proxy."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest
from obstore.store import S3Store

from gitreg.digest import Digest
from gitreg.errors import ConflictError, DeniedError, GitregError, IntegrityError, NotFoundError, UnavailableError
from gitreg.objects import open_bucket, open_store
from gitreg.objects.bucket import Address
from gitreg.objects.clients import Patience
from gitreg.objects.cloud import SMALL, CloudBucket
from gitreg.objects.trial import check
from tests.objects.clouds import ACCOUNT, KEY, Proxy, Recorder, azurite, azurite_program, free_port, moto, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.objects.bucket import Bucket

HERE = Path("/")
LARGE = bytes(range(256)) * ((SMALL + (1 << 20)) // 256)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing123")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    return open_bucket(f"s3://bucket/{tmp_path.name}", HERE)


@pytest.fixture(scope="module")
def azure_url() -> Iterator[str]:
    program = azurite_program()
    if program is None:
        pytest.skip("no azurite here: make azurite")
    with azurite(program) as url:
        yield url


@pytest.fixture
def azure(azure_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure_url)
    return open_bucket(f"az://container/{tmp_path.name}", HERE)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder()
    # Without an account of its own the client would ask the machine's metadata server, even for an unsigned write.
    account = tmp_path / "account.json"
    data = {
        "gcs_base_url": recorder.url,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    account.write_text(json.dumps(data))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    monkeypatch.setenv("GOOGLE_BASE_URL", recorder.url)
    monkeypatch.setenv("GITREG_STORE_RETRY", "2")
    with serving(recorder):
        yield recorder


@pytest.fixture(params=["s3", "azure", "google", "local"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "local":
        return open_bucket(f"file:{tmp_path}/store", HERE)
    found = request.getfixturevalue(request.param)
    return open_bucket("gs://bucket/prefix", HERE) if request.param == "google" else cast("Bucket", found)


def read(bucket: Bucket, key: str, start: int = 0, size: int | None = None) -> bytes:
    return b"".join(map(bytes, bucket.read(key, start, size)))


def through(proxy: Proxy, *, silence: float = 1, retries: float = 3) -> CloudBucket:
    address = Address("s3", "bucket", "faulty")
    return CloudBucket(address, endpoint=proxy.url, patience=Patience(silence, retries))


@pytest.fixture
def proxy(s3: Bucket, s3_url: str) -> Iterator[Proxy]:
    found = Proxy(s3_url)
    with serving(found):
        yield found


# --- the same everywhere --------------------------------------------------------------------------------------------


def test_an_object_is_written_once_read_in_ranges_listed_and_deleted(bucket: Bucket) -> None:
    bucket.put("similar/f/one", b"")
    bucket.put("blobs/one", b"0123456789")
    bucket.put("blobs/one", b"another")
    bucket.put("blobs-not/two", b"x")

    assert bucket.size("blobs/one") == 10
    assert bucket.size("similar/f/one") == 0
    assert (read(bucket, "blobs/one"), read(bucket, "blobs/one", 3, 4)) == (b"0123456789", b"3456")
    assert (read(bucket, "blobs/one", 8, 100), read(bucket, "blobs/one", 3)) == (b"89", b"3456789")
    assert {(each.key, each.size) for each in bucket.list("blobs/")} == {("blobs/one", 10)}
    assert [each.key for each in bucket.list("blobs/o")] == ["blobs/one"]
    bucket.put("blobs/one", b"new", replace=True)
    assert bucket.get("blobs/one", limit=3) == b"new"
    bucket.delete("blobs/one")
    bucket.delete("blobs/one")
    assert bucket.size("blobs/one") is None
    assert bucket.get("blobs/one", limit=3) is None


def test_what_is_not_there_is_not_found_and_what_is_too_large_is_refused(bucket: Bucket) -> None:
    bucket.put("recipes/one", b"0123456789")

    with pytest.raises(NotFoundError, match="recipes/two"):
        read(bucket, "recipes/two")
    with pytest.raises(IntegrityError, match="more than the 9 bytes"):
        bucket.get("recipes/one", limit=9)


def test_a_large_object_goes_in_parts_and_is_told_of(bucket: Bucket) -> None:
    moved: list[int] = []
    bucket.put_file("blobs/large", cast("BinaryIO", io.BytesIO(LARGE)), len(LARGE), moved=moved.append)

    assert read(bucket, "blobs/large") == LARGE
    assert sum(moved) == len(LARGE)
    assert read(bucket, "blobs/large", SMALL - 5, 10) == LARGE[SMALL - 5 : SMALL + 5]


@pytest.mark.parametrize("size", [1000, len(LARGE)])
def test_a_file_that_ends_early_is_a_conflict_and_nothing_is_kept(bucket: Bucket, size: int) -> None:
    with pytest.raises(ConflictError, match="ended 1 bytes early"):
        bucket.put_file("blobs/short", cast("BinaryIO", io.BytesIO(LARGE[: size - 1])), size)
    bucket.put("blobs/other", b"x")

    assert bucket.size("blobs/short") is None


def test_what_progress_raises_stops_an_upload_and_is_what_the_caller_sees(bucket: Bucket) -> None:
    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bucket.put_file("blobs/stopped", cast("BinaryIO", io.BytesIO(LARGE)), len(LARGE), moved=stop)
    bucket.put("blobs/other", b"x")

    assert bucket.size("blobs/stopped") is None


def test_a_trial_finds_nothing_wrong_and_leaves_nothing(bucket: Bucket) -> None:
    trial = check(bucket) if not hasattr(bucket, "folder") else check(_made(bucket))

    assert [(step.name, step.message) for step in trial.steps if step.message] == []
    assert len(trial.steps) == 8
    assert list(bucket.list("trial/")) == []


def _made(bucket: Bucket) -> Bucket:
    bucket.put("blobs/first", b"x")
    return bucket


def test_a_store_in_a_bucket_keeps_only_what_is_new_of_a_second_file(s3: Bucket, tmp_path: Path) -> None:
    store = open_store(s3.uri, HERE)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(os.urandom(12 << 20))
    second.write_bytes(first.read_bytes()[:1000] + b"inserted" + first.read_bytes()[1000:])
    blobs = [store.put_file(first), store.put_file(second)]

    assert store.open(blobs[1].digest).read() == second.read_bytes()
    assert sum(each.size for each in s3.list("blobs/")) < 1.1 * blobs[0].size


# --- Google, at the level of requests: no emulator takes these uploads ------------------------------------------------


def test_google_is_asked_to_create_and_never_to_replace_a_small_object(google: Recorder) -> None:
    bucket = open_bucket("gs://bucket/prefix", HERE)
    bucket.put("blobs/one", b"first")
    bucket.put("blobs/one", b"second")
    bucket.put("blobs/one", b"third", replace=True)

    puts = [each for each in google.asked if each.method == "PUT"]
    assert [each.path for each in puts] == ["prefix/blobs/one"] * 3
    assert [each.headers.get("x-goog-if-generation-match") for each in puts] == ["0", "0", None]
    assert google.objects == {"prefix/blobs/one": b"third"}


def test_google_gets_a_large_object_in_parts_that_become_visible_at_once(google: Recorder) -> None:
    bucket = open_bucket("gs://bucket/prefix", HERE)
    bucket.put_file("blobs/large", cast("BinaryIO", io.BytesIO(LARGE)), len(LARGE))

    asked = [(each.method, each.query.partition("=")[0], each.size) for each in google.asked]
    assert asked[:2] == [("HEAD", "", 0), ("GET", "list-type", 0)]
    assert asked[2][:2] == ("POST", "uploads")
    parts = [each for each in google.asked if "partNumber=" in each.query]
    assert sorted(each.size for each in parts) == [len(LARGE) - SMALL, SMALL]
    assert [each[0] for each in asked[-2:]] == ["POST", "HEAD"]
    assert google.objects["prefix/blobs/large"] == LARGE


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503", "500", "refuse"])
@pytest.mark.parametrize("method", ["PUT", "HEAD", "GET"])
def test_a_store_that_fails_for_a_while_is_asked_again(proxy: Proxy, method: str, fault: str) -> None:
    bucket = through(proxy)
    proxy.only, proxy.faults = method, [fault, fault]
    key = f"blobs/{method}-{fault}"
    bucket.put(key, b"0123456789")

    assert bucket.size(key) == 10
    assert read(bucket, key, 2, 3) == b"234"
    assert proxy.count >= 3


@pytest.mark.parametrize("fault", ["503", "refuse", "stall"])
def test_a_store_that_keeps_failing_is_unavailable_in_bounded_time(proxy: Proxy, fault: str) -> None:
    proxy.always = fault
    with pytest.raises(UnavailableError, match=r"cannot look up blobs/x in 's3://bucket/faulty'.*try again later"):
        through(proxy, silence=0.3, retries=1).size("blobs/x")


def test_a_download_that_breaks_off_goes_on_where_it_was(proxy: Proxy) -> None:
    bucket = through(proxy)
    bucket.put_file("blobs/cut", cast("BinaryIO", io.BytesIO(LARGE)), len(LARGE))
    proxy.only, proxy.faults = "GET", ["cut", "cut", "503"]

    assert read(bucket, "blobs/cut") == LARGE
    assert proxy.faults == []


def test_a_download_that_always_breaks_off_after_a_byte_is_given_up(
    s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(s3, CloudBucket)
    asked = []

    def byte(_key: str, start: int, _end: int | None) -> Iterator[memoryview]:
        asked.append(start)
        assert len(asked) < 100
        yield memoryview(b"x")
        raise UnavailableError("it broke off")

    monkeypatch.setattr(s3, "_stream", byte)
    with pytest.raises(UnavailableError, match="broke off"):
        read(s3, "blobs/endless")
    assert asked == list(range(5))


def test_a_part_that_breaks_off_is_sent_again(proxy: Proxy) -> None:
    bucket = through(proxy)
    proxy.only, proxy.faults = "PUT", ["cut", "503"]
    bucket.put_file("blobs/part", cast("BinaryIO", io.BytesIO(LARGE)), len(LARGE), replace=True)

    assert read(bucket, "blobs/part") == LARGE


def test_a_store_that_lies_about_sizes_is_found_out(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(LARGE[: 5 << 20])
    bucket = through(proxy)
    store = open_store("s3://bucket/faulty", HERE)
    blob = store.put_file(weights)
    proxy.only, proxy.always = "GET", "lie"
    key = f"blobs/sha256/{blob.digest.hex[:2]}/{blob.digest.hex}"
    with pytest.raises(UnavailableError, match=r"broke off \d+ bytes before the end"):
        read(bucket, key, 0, blob.size)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    with pytest.raises((IntegrityError, UnavailableError)):
        open_store("s3://bucket/faulty", HERE).open(blob.digest).read()
    proxy.only = "HEAD"
    with pytest.raises(IntegrityError, match=r"has 7 bytes in 's3://bucket/faulty' after 10 were sent"):
        bucket.put_file("blobs/lied", cast("BinaryIO", io.BytesIO(b"0123456789")), 10, replace=True)
    proxy.only, proxy.always = None, None
    assert bucket.size("blobs/lied") is None


def test_who_may_not_is_told_so_at_once(proxy: Proxy) -> None:
    proxy.always = "403"
    bucket = through(proxy)
    for attempt in (
        lambda: bucket.size("blobs/x"),
        lambda: bucket.put("blobs/x", b"x"),
        lambda: read(bucket, "blobs/x"),
        lambda: list(bucket.list("blobs/")),
        lambda: bucket.delete("blobs/x"),
    ):
        with pytest.raises(DeniedError, match=r"does not let us .*docs/stores.md"):
            attempt()
    assert proxy.count == 5


def test_a_bucket_that_is_not_there_is_named_by_every_method(s3: Bucket) -> None:
    missing = open_bucket("s3://no-such-bucket/x", HERE)
    large = cast("BinaryIO", io.BytesIO(LARGE))
    for attempt in (
        lambda: missing.size("blobs/x"),
        lambda: missing.get("blobs/x", limit=1),
        lambda: missing.put("blobs/x", b"x"),
        lambda: missing.put_file("blobs/x", large, len(LARGE), replace=True),
        lambda: read(missing, "blobs/x"),
        lambda: list(missing.list("blobs/")),
    ):
        with pytest.raises(NotFoundError, match="there is no bucket 'no-such-bucket'; make the bucket"):
            attempt()


def test_no_credentials_are_told_with_the_way_to_give_some(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("GITREG_STORE_RETRY", "0.5")
    with pytest.raises(DeniedError, match=r"no credentials for 's3://bucket.*docs/stores.md"):
        open_bucket("s3://bucket", HERE).size("blobs/x")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "only one of two")
    with pytest.raises(DeniedError, match=r"no credentials for 's3://bucket.*Missing SecretAccessKey"):
        open_bucket("s3://bucket", HERE).size("blobs/x")


def test_a_server_that_is_not_there_is_named_in_a_few_words(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
    monkeypatch.setenv("GITREG_STORE_RETRY", "0.3")
    away = open_bucket(s3.uri, HERE)
    for attempt in (lambda: away.size("blobs/x"), lambda: list(away.list("blobs/"))):
        with pytest.raises(
            UnavailableError, match=rf"no answer from {host} to [1-9]\d* requests, [^;]+; try again later$"
        ):
            attempt()
    with pytest.raises(
        UnavailableError, match=rf"no answer from {host} .* what is in the store already is not sent again"
    ):
        away.put("blobs/x", b"x")


def test_a_profile_gives_keys_and_endpoint(
    s3: Bucket, s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    config, secrets = tmp_path / "config", tmp_path / "credentials"
    config.write_text(f"[profile lab]\nendpoint_url = {s3_url}\nregion = eu-west-1\n")
    secrets.write_text("[lab]\naws_access_key_id = a\naws_secret_access_key = b%c\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(secrets))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    bucket = open_bucket("s3://bucket/profile", HERE)
    bucket.put("blobs/x", b"x")
    assert bucket.size("blobs/x") == 1

    monkeypatch.setenv("AWS_PROFILE", "lap")
    with pytest.raises(DeniedError, match="AWS_PROFILE is 'lap', which is in neither"):
        open_bucket("s3://bucket", HERE).size("blobs/x")


@pytest.mark.parametrize(
    ("endpoint", "wanted", "unsigned"),
    [
        (None, None, "true"),
        ("https://store.example", None, "true"),
        ("http://store.example", None, None),
        (None, "false", None),
        ("https://store.example", "true", None),  # obstore reads it by itself
    ],
)
def test_what_is_sent_is_hashed_for_its_signature_where_nothing_else_keeps_it_as_it_is(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, wanted: str | None, unsigned: str | None
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    for name, value in (("AWS_ENDPOINT_URL", endpoint), ("AWS_UNSIGNED_PAYLOAD", wanted)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    bucket = open_bucket("s3://bucket", HERE)
    assert isinstance(bucket, CloudBucket)
    store = bucket.store
    assert isinstance(store, S3Store)

    assert str(store.config.get("unsigned_payload")) == str(unsigned)


def test_no_error_shows_what_a_signed_url_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2024-01-01&sig=verysecret")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("GITREG_STORE_RETRY", "0.3")
    with pytest.raises(GitregError) as caught:
        open_bucket("az://container", HERE).size("blobs/x")
    assert "verysecret" not in str(caught.value)
    assert isinstance(caught.value, UnavailableError)


def test_opening_a_bucket_imports_no_client() -> None:
    code = (
        "import sys; from pathlib import Path; from gitreg.objects import open_store;"
        "open_store('s3://bucket/x', Path('/')); open_store('file:x', Path('/'));"
        "sys.exit('obstore' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_blob_that_is_not_there_is_absent_and_not_unavailable(s3: Bucket) -> None:
    assert open_store(s3.uri, HERE).size_of(Digest("0" * 64)) is None
