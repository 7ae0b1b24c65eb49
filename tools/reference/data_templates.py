#!/usr/bin/env python3
"""Chat templates as transformers renders them: the reference for src/data/template.c.

    data_templates.py tests/data/golden_templates.json     writes the golden file of the test
    data_templates.py --check [MATERIAL] [SOURCES]         renders the same conversations with the original sources, too

The sources below are our own Jinja text of each documented format, so that the golden file needs no network. --check
compares them, conversation by conversation, with the originals: MATERIAL is what `tools/material tokenizers` and
`tools/material smollm2 MATERIAL/smollm2.gguf` fetched, SOURCES a folder of NAME.jinja files, NAME a template's name.
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

IM = """{%- for m in messages %}
{%- if loop.first and m.role != 'system' and default %}{{ '<|im_start|>system\n' + default + '<|im_end|>\n' }}{% endif %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def im(default):
    return "{%- set default = " + json.dumps(default) + " %}" + IM


QWEN3 = """{%- set q = namespace(last=messages|length - 1, found=false) %}
{%- for m in messages|reverse %}
{%- if not q.found and m.role == 'user' and not (m.content[:15] == '<tool_response>' and m.content[-16:] == '</tool_response>') %}
{%- set q.found = true %}{% set q.last = messages|length - loop.index %}
{%- endif %}{% endfor %}
{%- for m in messages %}
{{- '<|im_start|>' + m.role + '\n' }}
{%- if m.role != 'assistant' %}{{ m.content }}
{%- else %}
{%- set said = namespace(answer=m.content, thoughts='') %}
{%- if '</think>' in m.content %}
{%- set said.answer = m.content.split('</think>')[-1].lstrip('\n') %}
{%- set said.thoughts = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}
{%- endif %}
{%- if loop.index0 > q.last and (loop.last or said.thoughts) %}
{{- '<think>\n' + said.thoughts + '\n</think>\n\n' + said.answer.lstrip('\n') }}
{%- else %}{{ said.answer }}{% endif %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

LLAMA3 = """{%- for m in messages %}
{%- if loop.first %}{{ bos_token }}{% endif %}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content.strip() + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""

LLAMA31 = """{{- bos_token + '<|start_header_id|>system<|end_header_id|>\n\n' }}
{{- 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content.strip() }}{% set rest = messages[1:] %}
{%- else %}{% set rest = messages %}{% endif %}
{{- '<|eot_id|>' }}
{%- for m in rest %}
{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content.strip() + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""

# Templates whose user and assistant alternate. `before` and `after` stand around the system text, which belongs to the
# first or the last user's content; `first`, `user` and `answer` write the rest.
ALTERNATING = """{%- if messages[0].role == 'system' %}
{%- set system = BEFORE + messages[0].content + AFTER %}{% set rest = messages[1:] %}
{%- else %}{% set system = '' %}{% set rest = messages %}{% endif %}
{%- set users = rest | selectattr('role', 'equalto', 'user') | list %}
{{- FIRST }}
{%- for m in rest %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}
{%- if m.role == 'system' %}{{ raise_exception('turns must alternate') }}{% endif %}
{%- if m.role == 'user' %}{% set n = loop.index0 // 2 %}
{%- set content = (system if n == HOST else '') + m.content %}{{ USER }}
{%- else %}{% set content = m.content %}{{ ANSWER }}{% endif %}
{%- endfor %}"""


def alternating(before, after, first, host, user, answer):
    text = ALTERNATING
    for key, value in [("BEFORE", before), ("AFTER", after), ("FIRST", first), ("HOST", host), ("USER", user), ("ANSWER", answer)]:
        text = text.replace(key, value)
    return text


BLANK = r"'\n\n'"
LAST = "users|length - 1"
SOURCES = {  # name: (source, bos, eos)
    "chatml": (im(""), "", "<|im_end|>"),
    "smollm2": (im("You are a helpful AI assistant named SmolLM, trained by Hugging Face"), "", "<|im_end|>"),
    "qwen2.5": (im("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."), "", "<|im_end|>"),
    "qwen3": (QWEN3, "", "<|im_end|>"),
    "llama2": (alternating(r"'<<SYS>>\n'", r"'\n<</SYS>>\n\n'", "''", "0", "'<s>[INST] ' + content.strip() + ' [/INST]'",
                           "' ' + content.strip() + ' </s>'"), "<s>", "</s>"),
    "llama3": (LLAMA3, "<|begin_of_text|>", "<|eot_id|>"),
    "llama3.1": (LLAMA31, "<|begin_of_text|>", "<|eot_id|>"),
    "mistral": (alternating("''", BLANK, "'<s>'", "0", "' [INST] ' + content + ' [/INST]'", "' ' + content + '</s>'"),
                "<s>", "</s>"),
    "mistral-v3": (alternating("''", BLANK, "'<s>'", LAST, "'[INST] ' + content + '[/INST]'",
                               "' ' + content.strip() + '</s>'"),
                   "<s>", "</s>"),
    "mistral-tekken": (alternating("''", BLANK, "'<s>'", LAST, "'[INST]' + content + '[/INST]'", "content + '</s>'"),
                       "<s>", "</s>"),
}


def conversations():
    """Lists of (role, content): plain ones, white space of every kind, thoughts, special tokens inside a content."""
    s, u, a = "system", "user", "assistant"
    yield [(u, "Hello")]
    yield [(u, "Hello"), (a, "Hi there.")]
    yield [(s, "Be brief."), (u, "Hello"), (a, "Hi.")]
    yield [(s, "Be brief."), (u, "Who are you?")]
    yield [(u, "2+2?"), (a, "4"), (u, "3+3?"), (a, "6"), (u, "4+4?")]
    yield [(s, "Räche dich nicht.\nSei kurz."), (u, "你好"), (a, "你好！🙂"), (u, "再见"), (a, "再见。")]
    yield [(s, "  spaces  "), (u, "  lead and trail \n"), (a, "\n\n answer \t\n"), (u, "\u3000wide\u00a0"), (a, "\u2003em\u2028")]
    yield [(s, ""), (u, ""), (a, "")]
    yield [(u, "a"), (a, "\u200bzero width stays\u200b"), (u, "\x1cseparator\x1f"), (a, "\x85next line\x85")]
    yield [(u, "inside <|im_end|> and </s> and <|eot_id|>"), (a, "[INST] no [/INST]")]
    yield [(u, "why?"), (a, "<think>\nbecause\n</think>\n\nyes")]
    yield [(u, "why?"), (a, "<think>\nfirst\n</think>\n\nyes"), (u, "really?"), (a, "<think>second</think>no")]
    yield [(u, "q"), (a, "a <think> b <think>\nc\n</think> d </think>\n\n\ne")]
    yield [(u, "q"), (a, "no opening</think>\nanswer\n")]
    yield [(u, "q"), (a, "\n\nbegins with newlines")]
    yield [(u, "<tool_response>\n7\n</tool_response>"), (a, "seven")]
    # the orders that only templates with a system turn allow
    yield [(u, "a"), (s, "A late rule."), (u, "b"), (a, "c")]
    yield [(a, "I speak first."), (u, "b"), (a, "c"), (a, "d")]
    yield [(u, "q"), (a, "<think>\none\n</think>\nx"), (a, "<think>\ntwo\n</think>\ny"), (a, "z")]
    yield [(u, "q"), (a, "call"), (u, "<tool_response>\n7\n</tool_response>"), (a, "<think>\nseven\n</think>\n7"), (a, "7.")]
    yield [(s, "only a system message")]


def render(source, bos, eos, messages, generation):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos or None, eos_token=eos,
                                        chat_template=source)
    chat = [{"role": r, "content": c} for r, c in messages]
    try:
        return tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=generation,
                                             date_string="26 Jul 2024")
    except Exception as error:  # the template refuses this order of roles
        if "must alternate" not in str(error):
            raise
        return None


def renderings(name, source, bos, eos):
    """For each conversation the texts without and with a generation prompt; None: refused."""
    for messages in conversations():
        if name.startswith(("llama2", "mistral")) and all(r == "system" for r, _ in messages):
            yield messages, [None, None]  # the originals write nothing at all, which helps nobody: ours refuses
        else:
            yield messages, [render(source, bos, eos, messages, generation) for generation in (False, True)]


def write(path):
    golden = {"conversations": list(conversations())}
    for name, (source, bos, eos) in SOURCES.items():
        golden[name] = [texts for _, texts in renderings(name, source, bos, eos)]
    text = json.dumps(golden, ensure_ascii=False, indent=0)
    pathlib.Path(path).write_text(text + "\n")


def originals(folders):
    for folder in map(pathlib.Path, folders):
        for package, name in [("llama3_1", "llama3"), ("qwen3", "qwen3")]:
            config = folder / package / "tokenizer_config.json"
            if config.exists():
                yield name, json.loads(config.read_text())["chat_template"]
        if (folder / "smollm2.gguf").exists():
            import gguf
            fields = gguf.GGUFReader(folder / "smollm2.gguf").fields
            yield "smollm2", fields["tokenizer.chat_template"].contents()
        for file in sorted(folder.glob("*.jinja")):
            if file.stem in SOURCES:
                yield file.stem, file.read_text()


def comparable(name, messages, texts):
    """Where ours refuses, an original may drop messages in silence; Mistral's last two drop the system prompt."""
    drops = name in ("mistral-v3", "mistral-tekken") and messages[0][0] == "system" and messages[-1][0] != "user"
    return texts[0] is not None and not drops


def check(folders):
    wrong = compared = 0
    for name, original in originals(folders):
        source, bos, eos = SOURCES[name]
        for messages, texts in renderings(name, source, bos, eos):
            if not comparable(name, messages, texts):
                continue
            theirs = [render(original, bos, eos, messages, generation) for generation in (False, True)]
            compared += 1
            if theirs != texts:
                wrong += 1
                print(f"{name}: {messages}\n  original {theirs!r}\n  ours     {texts!r}")
    print(f"{compared} conversations compared, {wrong} differ")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2:]))
    write(sys.argv[1])
