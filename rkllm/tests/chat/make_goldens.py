"""Writes tests/data/chat/goldens.json: what jinja2 renders with transformers' settings.

    python rkllm/tests/chat/make_goldens.py [FOLDER WITH TEMPLATES]

Needs jinja2; where transformers is installed, its own environment must render the same. Of the
templates beside the repository, which belong to their owners, only length and SHA-256 of what they
render is kept; of the templates here, all of it.
"""

import datetime
import hashlib
import itertools
import json
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "chat"
TODAY = "2025-03-01T14:05:09"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_now(form):
    return datetime.datetime.fromisoformat(TODAY).strftime(form)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def theirs(source):
    try:
        from transformers.utils.chat_template_utils import _compile_jinja_template
    except ImportError:
        return None
    template = _compile_jinja_template(source)
    template.environment.globals["strftime_now"] = strftime_now
    template.globals["strftime_now"] = strftime_now
    return template


SYSTEM = {"role": "system", "content": "You teach engineering, briefly."}
USER = {"role": "user", "content": "What is Ohm's law?"}
ASSISTANT = {"role": "assistant", "content": "V = I · R, in volts, amperes and ohms."}
AGAIN = {"role": "user", "content": "And for 2 A through 5 Ω?"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call12345",
            "type": "function",
            "function": {
                "name": "voltage",
                "arguments": {"resistance": 5.0, "current": 2, "unit": "V \"DC\" é", "tags": []},
            },
        }
    ],
}
REPLY = {"role": "tool", "content": "{\"volts\": 10}", "tool_call_id": "call12345", "name": "voltage"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "voltage",
            "description": "The voltage across a resistor: <V> = I & R, it's \"exact\"",
            "parameters": {
                "type": "object",
                "properties": {
                    "resistance": {"type": "number", "minimum": 0.0, "maximum": 1e21},
                    "current": {"type": "number", "description": "Amperes; ñ, 漢, 😀"},
                },
                "required": ["resistance", "current"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "zeta", "description": "", "parameters": {}}},
]
HARD = [
    {"role": "system", "content": "  {{ not }} {% a template %} {# at all #}  \n"},
    {"role": "user", "content": "«¿Qué?» \"quoted\" 'single' \\n \\ \t tab\u00a0nbsp 漢字 😀 \u200b \x1f"},
    {"role": "assistant", "content": "<think>hm\n\nso</think>\n\nanswer\n\n"},
    {"role": "user", "content": "\n\n trailing whitespace \u3000 \r\n"},
]
REASONED = {**ASSISTANT, "reasoning_content": "It is a definition.\n"}

CONVERSATIONS = {
    "exchange": [SYSTEM, USER, ASSISTANT, AGAIN],
    "without system": [USER, ASSISTANT, AGAIN],
    "one question": [USER],
    "hard text": HARD,
    "hard text without system": HARD[1:],
    "reasoning": [USER, REASONED, AGAIN],
    "reasoning last": [USER, REASONED],
    "tool call": [USER, CALL],
    "tool reply": [SYSTEM, USER, CALL, REPLY],
    "tool reply answered": [USER, CALL, REPLY, ASSISTANT, AGAIN],
    "two tool replies": [USER, CALL, REPLY, REPLY],
    "wrong order": [USER, AGAIN],
    "unknown role": [USER, {"role": "critic", "content": "no"}],
}


def options():
    for prompt, thinking in itertools.product([True, False], [None, True, False]):
        yield {"add_generation_prompt": prompt, "enable_thinking": thinking}


def variables(messages, chosen, tools):
    given = {**SPECIAL, "messages": messages, "tools": tools, "documents": None}
    given["add_generation_prompt"] = chosen["add_generation_prompt"]
    if chosen["enable_thinking"] is not None:
        given["enable_thinking"] = chosen["enable_thinking"]
    return given


def outcome(source, given):
    """The text, or why there is none: what the template raised, or that it failed."""

    def run(template):
        try:
            return {"text": template.render(**given)}
        except jinja2.exceptions.UndefinedError as error:
            return {"fails": str(error)}
        except jinja2.exceptions.TemplateError as error:
            return {"raises": str(error)}
        except TypeError as error:
            return {"fails": str(error)}

    ours = run(environment().from_string(source))
    other = theirs(source)
    assert other is None or run(other) == ours, (ours, run(other))
    return ours


def cases(source, keep_text):
    for name, messages in CONVERSATIONS.items():
        for tools in [None, TOOLS]:
            for chosen in options():
                # One rendering of each conversation shows what the language does.
                if "namespace(count" in source and tuple(chosen.values()) != (True, None):
                    continue
                case = {"conversation": name, "tools": tools is not None, **chosen}
                result = outcome(source, variables(messages, chosen, tools))
                text = result.get("text")
                if text is not None and not keep_text:
                    encoded = text.encode()
                    result = {"bytes": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest()}
                yield {**case, **result}


def distinct(cases):
    """Leaves out what changes nothing, such as thinking for a template that does not know it."""
    seen = set()
    for case in cases:
        key = (case["conversation"], case["tools"], case["add_generation_prompt"])
        result = json.dumps({k: case.get(k) for k in ["text", "sha256", "raises", "fails"]})
        if case["enable_thinking"] is None or (key, result) not in seen:
            yield case
        seen.add((key, result))


def layout(value, depth=0):
    """JSON with a line for each case, so that a change shows."""
    if depth == 4 or not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = [layout(v, depth + 1) for v in (value.values() if isinstance(value, dict) else value)]
    if isinstance(value, dict):
        inner = [f"{json.dumps(k)}: {v}" for k, v in zip(value, inner)]
    ends = "{}" if isinstance(value, dict) else "[]"
    return ends[0] + "\n" + ",\n".join(" " * (depth + 1) + v for v in inner) + "\n" + " " * depth + ends[1]


def main():
    beside = HERE.parents[2].parent / "shared" / "templates"
    shared = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    own = sorted(DATA.glob("*.jinja"))
    templates = {}
    for path in own + sorted(shared.glob("*.jinja")):
        keep = path in own
        found = list(distinct(cases(path.read_text(), keep)))
        templates[path.name] = {"own": keep, "cases": found}
        failed = {case["fails"] for case in found if "fails" in case}
        print(f"{path.name}: {len(found)} cases; fails: {sorted(failed)}")
    document = {
        "made_with": f"jinja2 {jinja2.__version__}",
        "today": TODAY,
        "special": SPECIAL,
        "tools": TOOLS,
        "conversations": CONVERSATIONS,
        "templates": templates,
    }
    (DATA / "goldens.json").write_text(layout(document) + "\n")


if __name__ == "__main__":
    main()
