"""Try out what the description of the interface allows, and what it does not: no answer is the server's own fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.server.serving import HOST

if TYPE_CHECKING:
    from tests.server.rest.client import Rest

SAMPLES = 2
SENT = ("params", "json", "content", "data")


def test_schemathesis_finds_no_fault(rest: Rest) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # schemathesis' own
        import schemathesis

        document = rest.ask("GET", "/openapi.json").json()
        schema: Any = schemathesis.openapi.from_dict(document)
        operations = [each.ok() for each in schema.get_all_operations()]
        tried = sum(tried_out(rest, each) for each in operations)
    assert len(operations) > 40
    assert tried >= 2 * len(operations)


def tried_out(rest: Rest, operation: Any) -> int:  # noqa: ANN401 - schemathesis' own
    """Send what an operation takes by its description; count the requests."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    sent = 0

    @seed(1)
    @settings(
        max_examples=SAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def once(data: st.DataObject) -> None:
        nonlocal sent
        case = data.draw(operation.as_strategy())
        request = case.as_transport_kwargs(base_url=f"http://{HOST}:{rest.port}")
        answer = rest.ask(request["method"], request["url"], **{key: request[key] for key in SENT if request.get(key)})
        sent += 1
        assert answer.status_code < 500, (request, answer.text)

    once()
    return sent


def test_every_operation_is_described(rest: Rest) -> None:
    document = rest.ask("GET", "/openapi.json").json()
    operations = [(method, path, each) for path, found in document["paths"].items() for method, each in found.items()]
    assert {("post", "/models/register"), ("post", "/models/version"), ("post", "/models/deploy")} <= {
        (method, path) for method, path, _ in operations
    }
    for method, path, each in operations:
        assert each["summary"], (method, path)
        assert each["description"], (method, path)
        assert {"401", "404", "422"} <= each["responses"].keys(), (method, path)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    from jsonschema import Draft202012Validator

    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_description_can_be_read_by_strangers(rest: Rest) -> None:
    page = rest.ask("GET", "/docs", None)
    assert page.status_code == 200
    assert "POST /models/register" in page.text
