from __future__ import annotations

from memquartet.testing.server import FakeServer


async def test_embeddings_are_served_and_depend_on_the_text_alone() -> None:
    import openai

    with FakeServer(dim=4) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
            reply = await client.embeddings.create(model="e", input=["a", "b", "a"], encoding_format="float")
    vectors = [item.embedding for item in reply.data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert {len(vector) for vector in vectors} == {4}


async def test_chat_replies_are_used_up_and_the_last_one_stays() -> None:
    import openai

    with FakeServer(["one", "two"]) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
            said = [
                (await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]))
                .choices[0]
                .message.content
                for _ in range(3)
            ]
    assert said == ["one", "two", "two"]
    assert server.requests[0].path == "/v1/chat/completions"
