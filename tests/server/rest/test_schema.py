"""Try out what the description of the interface allows, and what it does not: no answer is the server's own fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from tests.server.rest.client import registering
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
    assert tried >= SAMPLES * (len(operations) - 5)  # of what takes nothing there is one request


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
        for status, found in each["responses"].items():
            for kind, content in found.get("content", {}).items():
                assert content["schema"] or "json" not in kind, (method, path, status)
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    components = closed(document["components"])
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        for example in schema.get("examples", ()):
            holds(components, schema, example)


def test_every_body_and_every_answer_has_an_example_that_is_right(rest: Rest) -> None:
    document = rest.ask("GET", "/openapi.json").json()
    components = closed(document["components"])
    for path, found in document["paths"].items():
        for method, each in found.items():
            body = each.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                name = body["schema"]["$ref"].rpartition("/")[2]
                assert document["components"]["schemas"][name]["examples"], (method, path)
            for status, answer in each["responses"].items():
                content = answer.get("content", {}).get("application/json")
                if content is not None and path != "/openapi.json":
                    assert content.get("example"), (method, path, status)
                    holds(components, content["schema"], content["example"])


def test_the_description_says_what_is_taken_and_what_is_not(rest: Rest) -> None:
    components = rest.ask("GET", "/openapi.json").json()["components"]
    version, more = {"model": "risk/fraud", "version": "7.0.0"}, {"external": {"provider": "example", "id": "m"}}
    artifacts = [{"path": "a", **rest.store(b"an artifact")}]
    deployed = {"model": "risk/fraud", "version": "1.0.0", "environment": "staging"}
    alias = {"model": "risk/fraud", "alias": "best"}
    for name, body, is_taken in [
        ("Register", {**version, **more}, True),
        ("Register", {**version, **more, "bump": None, "artifacts": []}, True),
        ("Register", {**version, "artifacts": artifacts}, True),
        ("Register", {**version, **more, "bump": "minor"}, False),
        ("Register", {"model": "risk/fraud", **more}, False),
        ("Register", {**version, **more, "artifacts": artifacts}, False),
        ("Register", version, False),
        ("Deploy", {**deployed, "canary_percent": None}, True),
        ("Deploy", {**deployed, "canary_version": "1.0.0", "canary_percent": "ten"}, False),
        ("Deploy", {**deployed, "canary_version": "1.0.0"}, False),
        ("Deploy", {**deployed, "canary_percent": 10.0}, False),
        ("Alias", {**alias, "version": "1.0.0"}, True),
        ("Alias", {**alias, "version": "1.0.0", "remove": True}, False),
        ("Alias", alias, False),
    ]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        assert Draft202012Validator(schema).is_valid(body) == is_taken, (name, body)
        answer = rest.ask("POST", f"/models/{name.lower()}?dry_run=true", json=body)
        assert (answer.status_code != 422) == is_taken, (name, body, answer.text)


def test_a_whole_number_may_have_a_point_as_in_json_schema(rest: Rest) -> None:
    held = rest.store(b"a whole number")
    for size, status in ((float(held["size"]), 200), (held["size"] + 0.5, 422), (str(held["size"]), 422)):
        assert rest.ask("POST", "/uploads", json={**held, "size": size}).status_code == status


def test_the_description_says_which_requests_need_no_token(rest: Rest) -> None:
    paths = rest.ask("GET", "/openapi.json").json()["paths"]
    for path in ("/", "/docs", "/openapi.json"):
        assert paths[path]["get"]["security"] == []
        assert rest.ask("GET", path, None).status_code == 200
    assert "security" not in paths["/models"]["get"]


def test_no_parameter_is_said_to_be_null(rest: Rest) -> None:
    for path, found in rest.ask("GET", "/openapi.json").json()["paths"].items():
        for each in found.values():
            for parameter in each.get("parameters", ()):
                assert "anyOf" not in parameter["schema"], (path, parameter["name"])


READ = {
    "/": "/",
    "/models": "/models",
    "/models/version": "/models/version?model={}",
    "/models/{project}/{model}": "/models/{}",
    "/models/{project}/{model}/versions": "/models/{}/versions",
    "/models/{project}/{model}/versions/{version}": "/models/{}/versions/2.0.0",
    "/models/{project}/{model}/versions/{version}/lineage": "/models/{}/versions/2.0.0/lineage",
    "/models/{project}/{model}/versions/{version}/diff": "/models/{}/versions/1.0.0/diff?to=2.0.0",
    "/models/{project}/{model}/versions/{version}/approvals": "/models/{}/versions/latest/approvals",
    "/models/{project}/{model}/aliases/{alias}": "/models/{}/aliases/best",
    "/environments": "/environments",
    "/compare": "/compare?version={}@1.0.0&version=@2.0.0",
    "/search": "/search?q=model = '{}'",
    "/recommend": "/recommend?need=a version",
    "/deployments": "/deployments",
    "/deployments/{environment}/{project}/{model}": "/deployments/staging/{}",
    "/deployments/{environment}/{project}/{model}/history": "/deployments/staging/{}/history",
    "/events": "/events?limit=5",
    "/log": "/log?model={}",
    "/audit": "/audit?limit=5",
    "/audit/verify": "/audit/verify",
    "/trees/": "/trees/",
    "/trees/{path}": "/trees/models",
}


def test_what_is_answered_is_what_is_described(rest: Rest) -> None:
    document = rest.ask("GET", "/openapi.json").json()
    name = rest.model("1.0.0", metrics={"auc": 0.5}, hyperparameters={"depth": 3}, labels={"team": "risk"})
    more = {"metrics": {"auc": 0.75}, "parents": [f"{name}@1.0.0"], "datasets": [{"name": "ledger"}], "task": "ranking"}
    written = rest.ask("POST", "/models/register", json=registering(name, "2.0.0", **more))
    assert written.status_code == 201, written.text
    components = closed(document["components"])
    holds(components, answered(document, "/models/register", "post", "201"), written.json())
    tried = rest.ask("PUT", f"/deployments/staging/{name}?dry_run=true", json={"version": "2.0.0"})
    holds(components, answered(document, "/deployments/{environment}/{project}/{model}", "put"), tried.json())
    assert rest.ask("PUT", f"/deployments/staging/{name}", json={"version": "1.0.0"}).is_success
    assert rest.ask("PUT", f"/status/staging/{name}", json={"version": "2.0.0"}).is_success
    assert rest.ask("PUT", f"/models/{name}/aliases/best", json={"version": "1.0.0"}).is_success
    assert rest.ask("PUT", f"/models/{name}/versions/2.0.0/approvals/prod", json={"comment": "Good."}).is_success
    for path, asked in READ.items():
        answer = rest.ask("GET", asked.format(name))
        assert answer.status_code == 200, answer.text
        holds(components, answered(document, path), answer.json())


def answered(document: Any, path: str, method: str = "get", status: str = "200") -> Any:  # noqa: ANN401 - of JSON
    """Give the schema of an answer."""
    return document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]


def holds(components: Any, schema: Any, value: object) -> None:  # noqa: ANN401 - of JSON
    """Check a value against a schema, and that it has no field that is not described."""
    Draft202012Validator({**closed(schema), "components": components}).validate(value)


def closed(schema: Any) -> Any:  # noqa: ANN401 - of JSON
    """Let no object have more than what is described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict) or "allOf" in schema:
        return schema
    found = {key: value if key in {"examples", "default"} else closed(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict) and "type" in found:
        found.setdefault("additionalProperties", False)
    return found


def test_the_description_can_be_read_by_strangers(rest: Rest) -> None:
    page = rest.ask("GET", "/docs", None)
    assert page.status_code == 200
    assert "POST /models/register" in page.text
