"""LangChain's client for OpenAI's API, unchanged, pointed at the sidecar."""

from check_client import QUESTION
from check_tools import CALL_TOKENS
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from sidecar import equal, must


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def chat(sidecar, **options):
    """Its chat model, which tells the headers of whole answers."""
    base, key = f"{sidecar.base}/v1", sidecar.key
    options = {"include_response_headers": True, "max_retries": 0, **options}
    return ChatOpenAI(model=sidecar.model, base_url=base, api_key=key, **options)


def settle(sidecar, headers, usage):
    """The answer's receipt is there, and charges what LangChain counts."""
    sidecar.receipts += 1
    proof = sidecar.proof(sidecar.receipt_id(headers))
    equal(proof["outcome"], "complete", "the outcome")
    sidecar.check_signer(proof)
    sidecar.check_charged(proof, usage["input_tokens"], usage["output_tokens"])


def check_langchain(sidecar, expected):
    """A whole answer has the model's text and usage."""
    answer = chat(sidecar).invoke(QUESTION)
    equal(answer.content, expected["reply"], "LangChain's text")
    equal(answer.usage_metadata["output_tokens"], expected["completion_tokens"], "its count")
    settle(sidecar, answer.response_metadata["headers"], answer.usage_metadata)


def check_langchain_stream(sidecar, expected):
    """A stream adds up to the same."""
    whole = None
    for chunk in chat(sidecar, stream_usage=True).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    equal(whole.content, expected["reply"], "LangChain's streamed text")
    settle(sidecar, whole.response_metadata["headers"], whole.usage_metadata)


def check_langchain_tools(sidecar, _expected):
    """A tool that has to be called is. The model never ends its arguments, so they are no JSON."""
    model = chat(sidecar, temperature=0, max_tokens=CALL_TOKENS, stream_usage=True)
    whole = None
    for chunk in model.bind_tools([weather], tool_choice="weather").stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    calls = whole.tool_calls + whole.invalid_tool_calls
    equal([call["name"] for call in calls], ["weather"], "the tools that LangChain has to call")
    must(calls[0]["args"], "the call has no arguments")
    settle(sidecar, whole.response_metadata["headers"], whole.usage_metadata)


def check_langchain_embeddings(sidecar, _expected):
    """Texts become vectors; what LangChain does not count, the account's receipts tell."""
    base, key = f"{sidecar.base}/v1", sidecar.key
    texts = ["hello", "two words here"]
    # Without its own tokenizer, which it would have to fetch.
    client = OpenAIEmbeddings(
        model=sidecar.model, base_url=base, api_key=key, check_embedding_ctx_length=False
    )
    before = sidecar.own_receipts()
    vectors = client.embed_documents(texts)
    equal(len(vectors), 2, "LangChain's vectors")
    must(all(len(vector) > 1 for vector in vectors), "an empty vector")
    new = sidecar.own_receipts()[len(before) :]
    equal(len(new), 1, "receipts of LangChain's embeddings")
    proof = sidecar.proof(new[0]["receipt_id"])
    sidecar.receipts += 1
    sidecar.check_charged(proof, proof["usage"]["input_tokens"], 0)
    must(proof["usage"]["input_tokens"] > 0, "no prompt was counted")


CHECKS = [check_langchain, check_langchain_stream, check_langchain_tools]
POOLING_CHECKS = [check_langchain_embeddings]
