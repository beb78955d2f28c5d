"""The service as MCP tools, in memory and over the pipes of a process."""

import asyncio
import json
import sys

import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from pipelines.serving.mcp_tools import mcp_server


def structured(result):
    assert not result.is_error, result
    return result.structured_content or json.loads(result.content[0].text)


def test_tools_answer_as_the_endpoints_do(clicks, texts):
    async def scene(service, calls):
        async with Client(mcp_server(service)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    calls = [
        ("recommend", {"user_id": 7, "k": 3, "only": {"category": ["category-1"]}}),
        ("similar", {"items": [12], "k": 2}),
        ("recommend", {"user_id": "../etc", "k": 3}),
        ("recommend", {"k": 10**9, "user_id": 7}),
    ]
    tools, (recommended, similar, bad, many) = clicks.runner.run(scene(clicks.service, calls))
    assert set(tools) == {"recommend", "similar"}
    assert tools["recommend"].description.startswith("Recommend the items")
    assert structured(recommended) == clicks.ok("/recommend", user_id=7, k=3, only={"category": ["category-1"]})
    assert structured(similar) == clicks.ok("/similar", items=[12], k=2)
    assert bad.is_error
    assert "user ids of this log are integers" in bad.content[0].text
    assert many.is_error
    tools, (embedded,) = texts.runner.run(scene(texts.service, [("embed", {"input": ["Ada"]})]))
    assert set(tools) == {"embed"}
    assert structured(embedded)["data"][0]["embedding"] == pytest.approx(
        texts.ok("/v1/embeddings", input=["Ada"])["data"][0]["embedding"]
    )


@pytest.mark.slow
def test_a_process_speaks_mcp_on_its_pipes(click_runs):
    flags = ["serve", str(click_runs / "towers"), "--data", str(click_runs / "data"), "--mcp"]

    async def scene():
        server = StdioServerParameters(command=sys.executable, args=["-m", "pipelines.cli", *flags])
        async with Client(server) as client:
            return await client.call_tool("recommend", {"history": [12, 7], "k": 2})

    (listed,) = structured(asyncio.run(scene()))["lists"]
    assert [item["rank"] if "rank" in item else item["item_id"] for item in listed["items"]]
    assert len(listed["items"]) == 2
