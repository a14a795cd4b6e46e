"""The routes of a vLLM that embeds instead of generating: embeddings, score, rerank."""

import json

from check_client import client
from sidecar import equal, must


def settle(sidecar, body, answer, path):
    """The engine's own answer, signed, and charged by its prompt tokens alone."""
    direct = sidecar.ask_engine(body, path).json()
    told = answer.json()
    equal(told["usage"], direct["usage"], f"the usage at {path}")
    proof = sidecar.check_signed(body, answer)
    equal(proof["usage"]["source"], "engine", f"who counted at {path}")
    sidecar.check_charged(proof, direct["usage"]["prompt_tokens"], 0)
    return told


def check_embeddings(sidecar, _expected):
    """The official client gets vectors, and pays the prompts that the engine counted."""
    raw = client(sidecar).embeddings.with_raw_response.create(
        model=sidecar.model, input=["hello", "two words here"]
    )
    answer = raw.parse()
    equal(len(answer.data), 2, "vectors")
    must(len(answer.data[0].embedding) > 1, "an empty vector")
    sidecar.receipts += 1
    proof = sidecar.proof(sidecar.receipt_id(raw.headers))
    equal(proof["outcome"], "complete", "the outcome")
    sidecar.check_charged(proof, answer.usage.prompt_tokens, 0)


def check_pairs(sidecar, _expected):
    """Score and rerank: every pair is counted, and the hold covers all of them."""
    documents = ["a cat", "a dog and a cat", "nothing"]
    for path, fields in [
        ("/v1/embeddings", {"input": ["a"] * 20}),
        ("/v1/embeddings", {"input": ["a", "b"], "padding": "max_length"}),
        ("/v1/score", {"text_1": "cats?", "text_2": documents}),
        ("/v1/score", {"queries": "cats?", "documents": documents}),
        ("/v1/rerank", {"query": "cats?", "documents": documents}),
    ]:
        body = json.dumps({"model": sidecar.model, **fields}, indent=1).encode()
        told = settle(sidecar, body, sidecar.ask(body, path), path)
        must(told.get("data") or told.get("results"), f"nothing in the answer of {path}: {told}")


def check_tokens(sidecar, _expected):
    """Its tokenizer, free."""
    body = json.dumps({"model": sidecar.model, "prompt": "hello"}).encode()
    sidecar.check_free(sidecar.check_signed(body, sidecar.ask(body, "/v1/tokenize")))


CHECKS = [check_embeddings, check_pairs, check_tokens]
