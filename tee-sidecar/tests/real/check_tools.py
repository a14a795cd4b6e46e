"""Tools: a model that must call one, where the engine was started with a parser."""

from check_bytes import RUNNING, USAGE, check_stream
from sidecar import equal, masked, must

FUNCTION = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
CALL_IT = {"type": "function", "function": {"name": "weather"}}
# Enough for the engine to see the call begin; it says nothing before.
CALL_TOKENS = 60


def check_tools(sidecar, _expected):
    """A whole answer to a request with tools is the engine's own, a refusal too."""
    body = sidecar.body(tools=TOOLS, tool_choice="auto")
    engine = sidecar.ask_engine(body)
    answer = sidecar.ask(body)
    equal(answer.status, engine.status, "the status of a request with tools")
    equal(masked(answer.body), masked(engine.body), "the engine's answer to a request with tools")
    if engine.status == 200:
        usage = engine.json()["usage"]
        proof = sidecar.check_signed(body, answer)
        sidecar.check_charged(proof, usage["prompt_tokens"], usage["completion_tokens"])


def check_tool_stream(sidecar, _expected):
    """The deltas of a tool call pass as they are, and the tokens behind them are charged."""
    if sidecar.ask_engine(sidecar.body(tools=TOOLS, max_tokens=1)).status != 200:
        print("  (not checked: the engine runs without a tool parser)")
        return
    call = {"tools": TOOLS, "tool_choice": CALL_IT, "temperature": 0, "max_tokens": CALL_TOKENS}
    for options in (None, USAGE, RUNNING):
        fields = {"stream": True} | ({"stream_options": options} if options else {})
        events = check_stream(sidecar, call | fields, f"tools, stream_options {options}", None)
        must(any(b'"tool_calls"' in event for event in events), "no tool was called")


CHECKS = [check_tools, check_tool_stream]
