"""Random requests: every one has an answer that is no fault of ours, and the service goes on.

``FUZZ_REQUESTS=100000 pytest tests/pipelines/serving/test_fuzz.py`` sends as many.
"""

import json
import os

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from pipelines.serve import Config
from pipelines.serving.app import ENDPOINTS
from recsys_bert.stages.store_items import store_items

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "150"))
PATHS = [endpoint.path for endpoint in ENDPOINTS]
STATUSES = {200, 400, 404, 413, 422, 503}

odd_ids = st.sampled_from([0, 7, 12, -1, 2**63, 10**30, "7", "12.0", "../../x", "<b>", "\x00", "\ud800", "é", "", True])
odd_texts = st.one_of(st.text(max_size=40), st.sampled_from(["\ud800", "\x00", " ", "a" * 300, "𝒳" * 20, "\u202e"]))
odd = st.one_of(odd_ids, odd_texts, st.none(), st.booleans(), st.floats(), st.integers())
values = st.recursive(odd, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_texts, inner, max_size=3))


def body_of(endpoint):
    """Bodies with the right keys and, mostly, the right kinds of values, some of them odd."""
    schema = endpoint.request.model_json_schema()
    return value_of(schema, schema.get("$defs", {}))


def value_of(schema, definitions):
    if "$ref" in schema:
        return value_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return st.one_of(*(value_of(one, definitions) for one in schema["anyOf"]), values)
    if "enum" in schema:
        return st.sampled_from([*schema["enum"], "other"])
    match schema.get("type"):
        case "array":
            return st.lists(value_of(schema["items"], definitions), max_size=5)
        case "object" if "properties" in schema:
            required = schema.get("required", [])
            fields = {name: value_of(field, definitions) for name, field in schema["properties"].items()}
            needed = {name: field for name, field in fields.items() if name in required}
            others = {name: field for name, field in fields.items() if name not in required}
            return st.fixed_dictionaries(needed, optional=others)
        case "object":
            names = st.sampled_from(["category", "price", "title", "device", "x\x00", ""])
            inner = schema.get("additionalProperties")
            return st.dictionaries(
                names, value_of(inner, definitions) if isinstance(inner, dict) else values, max_size=2
            )
        case "integer":
            return st.one_of(st.integers(-1, 80), st.sampled_from([7, 12, 10**9, 10**30]))
        case "number":
            return st.one_of(st.floats(), st.floats(0, 1))
        case "boolean":
            return st.booleans()
        case "string":
            return st.one_of(st.sampled_from(["towers", "fused", "topics", "price < 3"]), odd_texts)
    return values


bodies = st.sampled_from(ENDPOINTS).flatmap(lambda one: st.tuples(st.just(one.path), st.one_of(body_of(one), values)))


@pytest.fixture(scope="module")
def everything(click_runs, text_runs, opened, tmp_path_factory):
    import recsys_bert as rb

    place = tmp_path_factory.mktemp("place") / "store"
    store_items(rb.load(click_runs / "towers", click_runs / "data"), place).close()
    names = ("topics", "bi", "cross", "answers", "names", "words")
    runs = (*(click_runs / name for name in ("towers", "fused", "clicks")), *(text_runs / name for name in names))
    return opened(Config(runs=tuple(map(str, runs)), data=click_runs / "data", store=str(place)))


@settings(max_examples=REQUESTS, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=bodies)
def test_no_body_is_a_fault_of_ours(everything, request):
    path, body = request
    content = json.dumps(body).encode()
    response = everything("POST", path, content=content, headers={"content-type": "application/json"})
    assert response.status_code in STATUSES, (response.status_code, path, body)
    answer = response.json()
    assert response.status_code == 200 or (0 < len(answer["error"]) < 1000)


@settings(max_examples=REQUESTS // 3, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), content=st.binary(max_size=200))
def test_no_bytes_are_a_fault_of_ours(everything, path, content):
    response = everything("POST", path, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert everything("GET", "/health").status_code == 200
