"""The routes beside chat that vLLM serves for the tiny model, with the official clients."""

import json

import anthropic
import openai
import wire
from check_client import client
from sidecar import equal, masked, must

QUESTION = [{"role": "user", "content": "Say hello"}]


def claude(sidecar, key=None):
    return anthropic.Anthropic(
        base_url=sidecar.base, api_key=key or sidecar.key, max_retries=0, timeout=120
    )


def settle(sidecar, headers, prompt_tokens, completion_tokens):
    """The exchange is complete, signed by the attested key and charged by these counts."""
    sidecar.receipts += 1
    proof = sidecar.proof(sidecar.receipt_id(headers))
    equal(proof["outcome"], "complete", "the outcome")
    sidecar.check_signer(proof)
    sidecar.check_charged(proof, prompt_tokens, completion_tokens)


def check_completion(sidecar, _expected):
    """A text completion of two prompts is charged for both."""
    raw = client(sidecar).completions.with_raw_response.create(
        model=sidecar.model, prompt=["Once", "Twice upon a time"], max_tokens=5
    )
    answer = raw.parse()
    equal(len(answer.choices), 2, "choices")
    equal(answer.usage.completion_tokens, 10, "completion tokens of two prompts")
    settle(sidecar, raw.headers, answer.usage.prompt_tokens, 10)


def check_completion_stream_bytes(sidecar, _expected):
    """A streamed completion has the bytes that the engine sends without our options."""
    for prompt in ["Once", ["Once", "Twice upon a time"]]:
        fields = {"model": sidecar.model, "prompt": prompt, "max_tokens": 4, "temperature": 0}
        body = json.dumps({**fields, "stream": True}, indent=1).encode()
        answer = sidecar.ask(body, "/v1/completions")
        direct = sidecar.ask_engine(body, "/v1/completions")
        if isinstance(prompt, str):
            # With several prompts the fingerprint of an answer is told by earlier ones at best.
            equal(masked(answer.body), masked(direct.body), "the stream and the engine's own")
        whole = sidecar.ask_engine(json.dumps(fields).encode(), "/v1/completions").json()["usage"]
        proof = sidecar.check_signed(body, answer)
        sidecar.check_charged(proof, whole["prompt_tokens"], whole["completion_tokens"])


def check_response(sidecar, expected):
    """OpenAI's Responses, in one piece."""
    raw = client(sidecar).responses.with_raw_response.create(model=sidecar.model, input="Say hello")
    answer = raw.parse()
    equal(answer.output_text, expected["reply"], "the text")
    equal(answer.status, "completed", "the status")
    settle(sidecar, raw.headers, answer.usage.input_tokens, answer.usage.output_tokens)


def check_response_stream(sidecar, expected):
    """OpenAI's Responses, streamed: typed events, charged by the last one."""
    raw = client(sidecar).responses.with_raw_response.create(
        model=sidecar.model, input="Say hello", stream=True
    )
    events = list(raw.parse())
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    equal(text, expected["reply"], "the streamed text")
    equal(events[-1].type, "response.completed", "the last event")
    usage = events[-1].response.usage
    equal(usage.output_tokens, expected["completion_tokens"], "output tokens")
    settle(sidecar, raw.headers, usage.input_tokens, usage.output_tokens)


def check_response_cut_short(sidecar, _expected):
    """An answer that reached its limit is whole, and says why it ended."""
    body = {"model": sidecar.model, "input": "Say hello", "max_output_tokens": 3, "stream": True}
    body = json.dumps(body).encode()
    answer = sidecar.ask(body, "/v1/responses")
    proof = sidecar.check_signed(body, answer)
    equal(proof["usage"]["output_tokens"], 3, "output tokens")
    sidecar.check_charged(proof, proof["usage"]["input_tokens"], 3)


def check_message(sidecar, expected):
    """Anthropic's Messages, in one piece, with the key in Anthropic's header."""
    raw = claude(sidecar).messages.with_raw_response.create(
        model=sidecar.model, max_tokens=64, messages=QUESTION
    )
    answer = raw.parse()
    equal(answer.content[0].text, expected["reply"], "the text")
    equal(answer.stop_reason, "end_turn", "stop_reason")
    settle(sidecar, raw.headers, answer.usage.input_tokens, answer.usage.output_tokens)


def check_message_stream(sidecar, expected):
    """Anthropic's Messages, streamed."""
    raw = claude(sidecar).messages.with_raw_response.create(
        model=sidecar.model, max_tokens=64, messages=QUESTION, stream=True
    )
    events = list(raw.parse())
    deltas = [e.delta for e in events if e.type == "content_block_delta"]
    equal("".join(delta.text for delta in deltas), expected["reply"], "the streamed text")
    equal(events[-1].type, "message_stop", "the last event")
    prompt = events[0].message.usage.input_tokens
    usage = next(e.usage for e in events if e.type == "message_delta")
    equal(usage.output_tokens, expected["completion_tokens"], "output tokens")
    settle(sidecar, raw.headers, prompt, usage.output_tokens)


def check_message_stream_bytes(sidecar, _expected):
    """The events of Messages and Responses pass as they are: the hash is of what was read."""
    for path, fields in [
        ("/v1/messages", {"messages": QUESTION, "max_tokens": 8}),
        ("/v1/responses", {"input": "Say hello", "max_output_tokens": 8}),
    ]:
        body = json.dumps({"model": sidecar.model, "stream": True, **fields}).encode()
        answer = sidecar.ask(body, path)
        proof = sidecar.check_signed(body, answer)
        usage = proof["usage"]
        equal(usage["source"], "engine", f"who counted at {path}")
        sidecar.check_charged(proof, usage["input_tokens"], usage["output_tokens"])


def check_message_errors(sidecar, _expected):
    """Anthropic's client makes its own exceptions of our refusals."""
    try:
        claude(sidecar, "sk-wrong-0123456789").messages.create(
            model=sidecar.model, max_tokens=8, messages=QUESTION
        )
    except anthropic.AuthenticationError as error:
        must("API key" in str(error), f"the message is lost: {error}")
    else:
        must(False, "a wrong key was accepted")
    try:
        claude(sidecar).messages.create(model="other", max_tokens=8, messages=QUESTION)
    except anthropic.NotFoundError as error:
        must(sidecar.model in str(error), f"the message is lost: {error}")
    else:
        must(False, "another model was served")
    # Refusals of an account that is known are in the ledger.
    sidecar.receipts += 1


def check_tokens(sidecar, _expected):
    """What a text is in tokens, and back: free, and signed all the same."""
    body = json.dumps({"model": sidecar.model, "prompt": "hello, café ☕"}).encode()
    answer = sidecar.ask(body, "/v1/tokenize")
    equal(answer.body, wire.post(sidecar.engine, "/tokenize", body).body, "the engine's own answer")
    sidecar.check_free(sidecar.check_signed(body, answer))
    back = {"model": sidecar.model, "tokens": answer.json()["tokens"]}
    back = json.dumps(back).encode()
    answer = sidecar.ask(back, "/v1/detokenize")
    must("hello" in answer.json()["prompt"], f"another text: {answer.body!r}")
    sidecar.check_free(sidecar.check_signed(back, answer))


def check_route_that_the_engine_lacks(sidecar, _expected):
    """vLLM has no embeddings of a model that generates: its own answer passes, and is free."""
    try:
        client(sidecar).embeddings.create(model=sidecar.model, input="hello")
    except openai.APIStatusError as error:
        equal(error.status_code, 404, "the engine's status")
        proof = sidecar.proof(sidecar.receipt_id(error.response.headers))
        equal(proof["outcome"], "upstream_error", "the outcome")
        sidecar.check_free(proof)
    else:
        must(False, "embeddings of a model that has none")
    sidecar.receipts += 1


CHECKS = [
    check_completion,
    check_completion_stream_bytes,
    check_response,
    check_response_stream,
    check_response_cut_short,
    check_message,
    check_message_stream,
    check_message_stream_bytes,
    check_message_errors,
    check_tokens,
    check_route_that_the_engine_lacks,
]
