"""Writes golden files of chats as ids: assistant masks, options and padding, by templates in the styles of well-known models.

    python tests/golden/make_tokenizer_chats.py        (versions: tests/golden/README.md; after make_tokenizer_kinds.py, whose tokenizers it takes)
"""

import gzip
import json
from pathlib import Path

import transformers
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent / "tokenizers"
KINDS = json.loads(gzip.decompress((HERE / "kinds.json.gz").read_bytes()))["kinds"]
transformers.logging.set_verbosity_error()

TEMPLATES = {
    "chatml": "{% for message in messages %}{% if message.role == 'assistant' %}<|x|>assistant\n{% generation %}{{ message.content }}<|x|>{% endgeneration %}\n{% else %}<|x|>{{ message.role }}\n{{ message.content }}<|x|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|x|>assistant\n{% endif %}",
    "smollm3": """{#- thinking unless told otherwise -#}
{%- if enable_thinking is not defined -%}
  {%- set enable_thinking = true -%}
{%- endif -%}
<|x|>system
{%- if messages[0].role == "system" %}
{{ messages[0].content | trim }}
{%- endif %}
{% if tools %}
## Tools
{% for tool in tools %}
{{ tool | tojson }}
{% endfor %}
{% endif %}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {{- "<|x|>user\\n" + message.content + "<|x|>\\n" }}
    {%- elif message.role == "assistant" %}
        {% generation %}
        {%- if enable_thinking %}
            {{- "<|x|>assistant\\n" + message.content.lstrip("\\n") + "<|x|>\\n" }}
        {%- else %}
            {{- "<|x|>assistant\\n<think>\\n\\n</think>\\n" + message.content.lstrip("\\n") + "<|x|>\\n" }}
        {%- endif %}
        {% endgeneration %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|x|>assistant\\n" }}
{%- endif %}""",
    "spaced": "{% for message in messages %}\n  {% if message.role == 'assistant' %}\n  [A] {%- generation -%}\n   {{ message.content }}  \n{%- endgeneration %}\n</s>\n  {% else %}\n[{{ message.role[0] | upper }}] {{ message.content }}\n  {% endif %}\n{% endfor %}",
    "no blocks": "{% for message in messages %}{{ message.content }}\n{% endfor %}",
    "llama3 tools": "{{- bos_token }}{%- if tools is not none and not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}{%- if not date_string is defined %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}{{- '<|h|>system<|/h|>\\n\\nToday: ' + date_string + '\\n' + system_message + '<|x|>' }}{%- for message in messages %}{%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}{{- '<|h|>' + message['role'] + '<|/h|>\\n\\n' + message['content'] | trim + '<|x|>' }}{%- elif 'tool_calls' in message %}{%- set tool_call = message.tool_calls[0].function %}{{- '<|h|>assistant<|/h|>\\n\\n' }}{%- generation %}{{- '{\"name\": \"' + tool_call.name + '\", \"parameters\": ' }}{{- tool_call.arguments | tojson }}{{- '}<|x|>' }}{%- endgeneration %}{%- elif message.role == 'tool' %}{{- '<|h|>ipython<|/h|>\\n\\n' }}{%- if message.content is mapping or message.content is iterable and message.content is not string %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}{{- '<|x|>' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|h|>assistant<|/h|>\\n\\n' }}{%- endif %}",
    "mistral tools": "{%- set user_messages = messages | selectattr('role', 'equalto', 'user') | list %}{{- bos_token }}{%- for message in messages %}{%- if message.role == 'user' %}{%- if tools is not none and message == user_messages[-1] %}{{- '[AVAILABLE_TOOLS] [' }}{%- for tool in tools %}{%- set tool = tool.function %}{{- '{\"type\": \"function\", \"function\": {' }}{%- for key, val in tool.items() if key != 'return' %}{%- if val is string %}{{- '\"' + key + '\": \"' + val + '\"' }}{%- else %}{{- '\"' + key + '\": ' + val | tojson }}{%- endif %}{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}{{- '}}' }}{%- if not loop.last %}{{- ', ' }}{%- else %}{{- ']' }}{%- endif %}{%- endfor %}{{- '[/AVAILABLE_TOOLS]' }}{%- endif %}{{- '[INST] ' + message.content + '[/INST]' }}{%- elif message.tool_calls is defined and message.tool_calls is not none %}{{- '[TOOL_CALLS] [' }}{%- for tool_call in message.tool_calls %}{%- set out = tool_call.function | tojson %}{{- out[:-1] }}, \"id\": \"{{ tool_call.id | default('abc') }}\"}{%- if not loop.last %}{{- ', ' }}{%- else %}{{- ']' + eos_token }}{%- endif %}{%- endfor %}{%- elif message.role == 'assistant' %}{% generation %}{{- ' ' + message.content | trim + eos_token }}{% endgeneration %}{%- elif message.role == 'tool' %}{{- '[TOOL_RESULTS] {\"content\": ' + message.content | string + '}[/TOOL_RESULTS]' }}{%- endif %}{%- endfor %}",
    "qwen3": """{%- set ns = namespace(last=0) %}
{%- for message in messages %}{%- if message.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content if message.content is string else '' %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|x|>assistant\\n' }}{%- generation %}
        {%- if loop.index0 > ns.last and thought %}
            {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- '<|x|>' }}{%- endgeneration %}{{- '\\n' }}
    {%- else %}
        {{- '<|x|>' + message.role + '\\n' + message.content | string + '<|x|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|x|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
}  # fmt: skip

TALK = [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because, \U0001f600 it is\u2026 \u4e2d\u6587"}, {"role": "user", "content": "Sure?\n"}, {"role": "assistant", "content": "\n\nYes. "}]
EMPTY = [{"role": "user", "content": "Say nothing"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "Again"}, {"role": "assistant", "content": "e\u0301  x"}]
THOUGHT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4"}, {"role": "user", "content": "And 3?"}, {"role": "assistant", "content": "6", "reasoning_content": "double\nit"}]
CALLED = [
    {"role": "user", "content": "Weather in Bern?"},
    {"role": "assistant", "tool_calls": [{"type": "function", "id": "123456789", "function": {"name": "weather", "arguments": {"place": "Z\u00fcrich", "days": 2}}}]},
    {"role": "tool", "name": "weather", "content": "12"},
    {"role": "assistant", "content": "Twelve degrees."},
    {"role": "user", "content": "Thanks"},
]
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather at a place", "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer", "default": 1}}, "required": ["place"]}}}
CHATS = {"talk": TALK, "empty": EMPTY, "thought": THOUGHT, "called": CALLED, "batch": [TALK, EMPTY, TALK[1:3]]}
MASK = {"return_assistant_tokens_mask": True}
CALLS = [
    *[(t, c, MASK) for t in ("chatml", "smollm3", "spaced", "no blocks") for c in ("talk", "empty")],
    *[("chatml", "batch", {**MASK, "padding": True, "tokenizer_kwargs": {"padding_side": side}}) for side in ("left", "right")],
    ("chatml", "talk", {**MASK, "truncation": True, "max_length": 40}),
    ("chatml", "talk", {**MASK, "truncation": True, "max_length": 20}),
    ("chatml", "batch", {**MASK, "truncation": True, "padding": "max_length", "max_length": 50}),
    ("chatml", "talk", {**MASK, "add_generation_prompt": True}),
    ("smollm3", "talk", {**MASK, "enable_thinking": False}),
    ("smollm3", "talk", {"tools": [TOOL], "enable_thinking": False, "add_generation_prompt": True}),
    *[("llama3 tools", c, {**MASK, "tools": [TOOL], "date_string": "1 May 2025"}) for c in ("called",)],
    ("llama3 tools", "talk", {"add_generation_prompt": True}),
    *[("mistral tools", c, {**MASK, "tools": [TOOL]}) for c in ("called",)],
    *[("qwen3", c, MASK) for c in ("talk", "thought")],
    ("qwen3", "thought", {"add_generation_prompt": True, "enable_thinking": False}),
    ("qwen3", "thought", {"continue_final_message": True}),
    ("qwen3", "thought", {"continue_final_message": "reasoning_content"}),
    ("chatml", "talk", {"continue_final_message": True}),
    ("smollm3", "talk", {"continue_final_message": True}),
    ("chatml", "batch", {"continue_final_message": True, "padding": True}),
]  # fmt: skip
TOKENIZERS = ["llama2", "gemma", "t5", "llama3", "qwen2", "roberta", "bert uncased"]


# ---- calls whose rows say where they come from

TEXTS = ["To be, or not to be, that is the question", "na\u00efve  caf\u00e9 \u4e2d\u6587 12", ""]
PAIRS = ["Whether 'tis nobler in the mind to suffer", "the slings and arrows", "x"]
WORDS = [["To", "be,", "or not", "caf\u00e9"], ["12", "\u4e2d\u6587", "x"]]
ENCODINGS = [
    ([TEXTS], {"return_offsets_mapping": True, "return_length": True}),
    ([TEXTS, PAIRS], {"return_offsets_mapping": True, "padding": True, "padding_side": "left"}),
    ([TEXTS[0]], {"truncation": True, "max_length": 8, "return_overflowing_tokens": True, "return_offsets_mapping": True}),
    ([TEXTS], {"truncation": True, "max_length": 9, "stride": 3, "return_overflowing_tokens": True, "padding": True}),
    ([TEXTS], {"truncation": True, "max_length": 9, "stride": 2, "return_overflowing_tokens": True, "truncation_side": "left"}),
    ([TEXTS[:2], PAIRS[:2]], {"truncation": "only_second", "max_length": 26, "stride": 1, "return_overflowing_tokens": True, "return_offsets_mapping": True}),
    ([PAIRS[:2], TEXTS[:2]], {"truncation": "only_first", "max_length": 26, "stride": 1, "return_overflowing_tokens": True, "padding": "max_length"}),
    ([WORDS], {"is_split_into_words": True, "return_offsets_mapping": True, "padding": True}),
    ([WORDS[0]], {"is_split_into_words": True}),
    ([WORDS, WORDS[::-1]], {"is_split_into_words": True, "return_offsets_mapping": True}),
]  # fmt: skip


def encodings_of(tokenizer):
    out = []
    for texts, options in ENCODINGS:
        given = dict(options)
        tokenizer.truncation_side = given.pop("truncation_side", "right")
        try:
            result = tokenizer(*texts, **given)
        except BaseException:  # texts of this vocabulary are too short or long for what is asked; a panic of the library among them
            continue
        rows = len(result.encodings)
        out.append({"texts": texts, "options": options, "result": dict(result), "words": [result.word_ids(i) for i in range(rows)], "sequences": [result.sequence_ids(i) for i in range(rows)], "tokens": [result.tokens(i) for i in range(rows)]})
    tokenizer.truncation_side = "right"
    return out


def main():
    out, encodings = [], {}
    for kind in TOKENIZERS:
        backend = Tokenizer.from_str(json.dumps(KINDS[kind]["json"]))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>")
        encodings[kind] = encodings_of(tokenizer)
        for template, chat, options in CALLS:
            given = {**options, "chat_template": TEMPLATES[template]}
            result = tokenizer.apply_chat_template(CHATS[chat], **given)
            case = {"kind": kind, "template": template, "chat": chat, "options": options, "result": {k: v for k, v in result.items() if k != "token_type_ids"}}
            if kind == TOKENIZERS[0]:
                text = {k: v for k, v in given.items() if k not in MASK}
                case["text"] = tokenizer.apply_chat_template(CHATS[chat], **text, tokenize=False)
            out.append(case)
    text = json.dumps({"templates": TEMPLATES, "chats": CHATS, "calls": out, "encodings": encodings}, ensure_ascii=False, separators=(",", ":"))
    data = gzip.compress(text.encode(), 9, mtime=0)
    (HERE / "chats.json.gz").write_bytes(data)
    print(f"chats: {len(out)} calls, {len(data)} bytes")


main()
