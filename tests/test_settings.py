from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.names import EnvironmentName
from gitreg.settings import EnvironmentRule, Settings
from gitreg.wire import load_plain

HEAD = "api_version: gitreg/v1\nkind: Registry\nname: acme\n"

REQUIRABLE = ("training.datasets", "metrics", "metrics.accuracy", "license", "labels.team", "author.email")


def problems_of(text: str) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        Settings.parse((HEAD + text).encode(), "registry.yaml")
    return [f"{problem.line}: {problem.field}: {problem.message}" for problem in caught.value.problems]


@st.composite
def settings_(draw: st.DrawFn) -> Settings:
    names = draw(st.lists(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True), max_size=4, unique=True))
    rules = []
    for index, name in enumerate(names):
        after = draw(st.none() | st.sampled_from(names[:index])) if index else None
        rules.append(
            EnvironmentRule(
                name=EnvironmentName(name),
                after=EnvironmentName(after) if after else None,
                approvals=draw(st.integers(0, 100)),
            )
        )
    formats = st.lists(st.sampled_from(["safetensors", "onnx", "pickle"]), min_size=1, unique=True).map(tuple)
    return Settings(
        name=draw(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)),
        description=draw(st.none() | st.just("For people.")),
        store=draw(st.none() | st.sampled_from(["file:../store", "file:///srv/store", "s3://bucket/a/b", "az://b"])),
        environments=tuple(rules),
        required=tuple(draw(st.lists(st.sampled_from(REQUIRABLE), unique=True))),
        formats=draw(st.none() | formats),
        identity=draw(st.none() | st.just("signature")),
        deploy_tags=draw(st.none() | st.just("signed")),
    )


@given(settings_())
def test_settings_read_back_as_they_were_written(settings: Settings) -> None:
    assert Settings.parse(settings.to_bytes()) == settings
    assert Settings.from_data(load_plain(settings.to_bytes())) == settings


def test_signatures_are_asked_for_by_their_word_alone() -> None:
    plain, signed = (
        Settings.parse((HEAD + more).encode()) for more in ("", "identity: signature\ndeploy_tags: signed\n")
    )
    assert (plain.by_signature, plain.signed_tags) == (False, False)
    assert (signed.by_signature, signed.signed_tags) == (True, True)
    for field, word in (
        ("identity", "signatures"),
        ("identity", "false"),
        ("deploy_tags", "true"),
        ("deploy_tags", "[]"),
    ):
        assert problems_of(f"{field}: {word}\n")[0].startswith(f"4: {field}: ")


def test_the_designs_example_is_understood() -> None:
    text = """\
store: file:../store
environments:
  - {name: staging}
  - {name: prod, after: staging, approvals: 1}
required: [training.datasets, metrics, license]
formats: [safetensors, onnx, gguf]
"""
    settings = Settings.parse((HEAD + text).encode())
    assert settings.environment("prod") == EnvironmentRule(
        name=EnvironmentName("prod"), after=EnvironmentName("staging"), approvals=1
    )
    assert settings.environment("dev") is None
    assert Settings.parse(HEAD.encode()).formats is None


def test_every_problem_is_found_at_once() -> None:
    found = problems_of(
        "store: ftp://example.org/x\n"
        "environments:\n"
        "  - {name: prod, after: staging}\n"
        "  - {name: staging}\n"
        "  - {name: staging, approvals: 0}\n"
        "required: [metrics, training.dataset]\n"
        "formats: [safetensor]\n"
    )
    assert found[:4] == [
        "4: store: found ftp:, allowed: file:, s3:, gs:, az:",
        "6: environments[0].after: found staging, want an environment listed earlier: none",
        "8: environments[2].name: staging is there twice; leave one out",
        "9: required[1]: training.dataset is no field of a manifest; did you mean training.datasets?",
    ]
    assert "did you mean" in found[4]
    assert len(found) == 5


def test_an_environment_is_not_after_itself_nor_in_a_circle() -> None:
    assert len(problems_of("environments: [{name: a, after: a}]\n")) == 1
    assert len(problems_of("environments: [{name: a, after: b}, {name: b, after: a}]\n")) == 1


@pytest.mark.parametrize("approvals", ["-1", "101", "1.5", "many"])
def test_approvals_are_a_small_whole_number(approvals: str) -> None:
    assert len(problems_of(f"environments: [{{name: a, approvals: {approvals}}}]\n")) == 1


@pytest.mark.parametrize(
    "store",
    [
        "file:store",
        "file:../a b".replace(" ", "%20"),
        "file:/srv/store",
        "file:///srv/a?b",
        "s3://b",
        "gs://b/x",
        "az://b",
    ],
)
def test_a_store_may_lie_in_a_folder_or_in_a_bucket(store: str) -> None:
    assert Settings.parse(f"{HEAD}store: {store}\n".encode()).store == store


@pytest.mark.parametrize(
    ("store", "word"),
    [
        ("s3://key:hunter2@bucket/prefix", "credentials"),
        ("az://account/box?sig=hunter2", "tokens"),
        ("gs://bucket#hunter2", "tokens"),
        ("file://host/hunter2", "host"),
        ("s3:bucket/hunter2", "bucket"),
        ("s3:///hunter2", "bucket"),
        ("https://hunter2@example.org/", "credentials"),
        ("https://example.org/", "allowed"),
        ("S3://bucket", "allowed"),
    ],
)
def test_a_store_uri_is_refused_without_repeating_its_secrets(store: str, word: str) -> None:
    (found,) = problems_of(f'store: "{store}"\n')
    assert word in found
    assert "hunter2" not in found


@pytest.mark.parametrize("field", [*REQUIRABLE, "training.hyperparameters.optimizer", "base.uri", "signature.inputs"])
def test_every_field_of_a_manifest_may_be_required(field: str) -> None:
    assert Settings.parse(f"{HEAD}required: [{field}]\n".encode()).required == (field,)


@pytest.mark.parametrize("field", ["metric", "license.name", "training.datasets.name", "training.codes", "author.mail"])
def test_an_unknown_field_cannot_be_required(field: str) -> None:
    assert len(problems_of(f"required: [{field}]\n")) == 1


def test_mirrors_are_stores_like_any_other_and_there_once() -> None:
    text = "store: file:../store\nmirrors: [file:/mnt/copy, gs://bucket/x]\n"
    settings = Settings.parse((HEAD + text).encode())
    assert settings.mirrors == ("file:/mnt/copy", "gs://bucket/x")
    assert Settings.parse(settings.to_bytes()) == settings
    for mirrors, field, message in (
        ("[file:../store]", "mirrors[0]", "it is there twice"),
        ("[s3://a/b, s3://a/b]", "mirrors[1]", "it is there twice"),
        ("[s3://key:secret@a/b]", "mirrors[0]", "found credentials"),
        ("['s3://a/b?sig=x']", "mirrors[0]", "found a query"),
        ("[http://a/b]", "mirrors[0]", "found http:"),
    ):
        [problem] = problems_of(f"store: file:../store\nmirrors: {mirrors}\n")
        assert f"{field}: {message}" in problem
    [alone] = problems_of("mirrors: [s3://a/b]\n")
    assert "name the primary one as `store`" in alone
    assert problems_of("store: file:../store\nmirrors: [" + ", ".join(f"s3://b{n}x" for n in range(9)) + "]\n")
