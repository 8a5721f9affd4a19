"""Tokenizers with a chat template, for models that came without one."""

from dataclasses import replace

TEMPLATE = (
    "<s>{% for message in messages %}[{{ message.role }} {{ date_string }}]\n{{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


def with_chat(model, template=TEMPLATE):
    tokenizer = type(model.tokenizer)(tokenizer_object=model.tokenizer.backend_tokenizer, **{
        name: str(value) for name, value in model.tokenizer.special_tokens_map.items()})  # fmt: skip
    tokenizer.chat_template = template
    return replace(model, tokenizer=tokenizer, chat=True)
