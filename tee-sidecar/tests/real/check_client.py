"""What users run: the official client, unchanged, pointed at the sidecar."""

import openai
from sidecar import equal, must

QUESTION = [{"role": "user", "content": "Say hello"}]


def client(sidecar):
    return openai.OpenAI(base_url=f"{sidecar.base}/v1", api_key=sidecar.key, max_retries=0)


def check_models(sidecar, _expected):
    """The model of the engine is listed."""
    listed = [model.id for model in client(sidecar).models.list()]
    must(sidecar.model in listed, f"/v1/models lists {listed}, not {sidecar.model}")


def check_buffered(sidecar, expected):
    """A whole answer has the model's text, and its signature is there."""
    raw = client(sidecar).chat.completions.with_raw_response.create(
        model=sidecar.model, messages=QUESTION
    )
    sidecar.receipts += 1
    answer = raw.parse()
    equal(answer.choices[0].message.content, expected["reply"], "the buffered text")
    equal(answer.choices[0].finish_reason, "stop", "finish_reason")
    equal(answer.usage.completion_tokens, expected["completion_tokens"], "completion tokens")
    proof = sidecar.proof(sidecar.receipt_id(raw.headers))
    equal(proof["outcome"], "complete", "the outcome")
    sidecar.check_signer(proof)
    sidecar.check_charged(proof, answer.usage.prompt_tokens, answer.usage.completion_tokens)


def check_streamed(sidecar, expected):
    """A stream has the same text, and usage because it was asked for."""
    raw = client(sidecar).chat.completions.with_raw_response.create(
        model=sidecar.model,
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    )
    sidecar.receipts += 1
    chunks = list(raw.parse())
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    equal(text, expected["reply"], "the streamed text")
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    equal(len(usages), 1, "events with usage")
    equal(usages[0].completion_tokens, expected["completion_tokens"], "completion tokens")
    proof = sidecar.proof(sidecar.receipt_id(raw.headers))
    equal(proof["outcome"], "complete", "the outcome")
    sidecar.check_charged(proof, usages[0].prompt_tokens, usages[0].completion_tokens)


def check_error(sidecar, _expected):
    """The client raises its own exception for the engine's refusal."""
    try:
        client(sidecar).chat.completions.create(
            model=sidecar.model, messages=QUESTION, temperature=5
        )
    except openai.BadRequestError as error:
        must("temperature" in str(error), f"the engine's message is lost: {error}")
    else:
        must(False, "a temperature of 5 was accepted")
    sidecar.receipts += 1


CHECKS = [check_models, check_buffered, check_streamed, check_error]
