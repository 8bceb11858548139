"""What stands around the turns of a conversation: the same in training, in answers and in a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from plmlight.text.nearest import nearest

ROLES = ("system", "user", "assistant")
CONTENT = "{content}"


@dataclass(frozen=True)
class ChatForm:
    """The texts around turns.

    Args:
        system: what stands for a system turn; ``{content}`` is what was said.
        user: what stands for a user's turn.
        assistant: what stands before an answer.
        end: what stands after an answer, its end token.
        opening: what stands before the first turn.

    Raises:
        ValueError: for a turn without a place for what was said.
    """

    system: str = f"{CONTENT}\n\n"
    user: str = f"### User:\n{CONTENT}\n\n"
    assistant: str = "### Assistant:\n"
    end: str = ""
    opening: str = ""

    def __post_init__(self) -> None:
        for name, text in (("system", self.system), ("user", self.user)):
            if text.count(CONTENT) != 1:
                raise ValueError(f"{name} {text!r}: expected {CONTENT} in it, once")

    def turn(self, role: str, content: str) -> str:
        """A turn of a conversation.

        Args:
            role: whose.
            content: what was said; white space around it is left out.

        Returns:
            Its text.

        Raises:
            ValueError: for a role that is not known.
        """
        content = content.strip()
        if role == "assistant":
            return self.assistant + content + self.end
        if role not in ROLES:
            raise ValueError(f"the role is {role!r}{nearest(role, ROLES)}")
        return (self.system if role == "system" else self.user).replace(CONTENT, content)

    def prompt(self, turns: Sequence[tuple[str, str]]) -> str:
        """What the next answer follows.

        Args:
            turns: role and content of each, oldest first.

        Returns:
            Their text, and what stands before an answer.

        Raises:
            ValueError: for a role that is not known.
        """
        return self.opening + "".join(self.turn(role, content) for role, content in turns) + self.assistant

    def template(self) -> str:
        """The same as transformers' chat template, in Jinja."""
        said = "message['content'] | trim"

        def around(text: str) -> str:
            before, _, after = text.partition(CONTENT)
            return f"{{{{- {_quoted(before)} + ({said}) + {_quoted(after)} }}}}"

        answer = f"{{{{- {_quoted(self.assistant)} + ({said}) + {_quoted(self.end)} }}}}"
        return (
            f"{{{{- {_quoted(self.opening)} }}}}{{%- for message in messages %}}"
            f"{{%- if message['role'] == 'system' %}}{around(self.system)}"
            f"{{%- elif message['role'] == 'user' %}}{around(self.user)}"
            f"{{%- else %}}{answer}{{%- endif %}}{{%- endfor %}}"
            f"{{%- if add_generation_prompt %}}{{{{- {_quoted(self.assistant)} }}}}{{%- endif %}}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `as_json` gave.

        Args:
            values: the fields by name.

        Returns:
            The form.

        Raises:
            ValueError: for a field that there is not, or none of a turn's.
        """
        try:
            return cls(**{name: str(text) for name, text in values.items()})
        except TypeError as error:
            raise ValueError(f"not the form of a conversation: {error}") from None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # Jinja takes the two halves of an escaped emoji for two characters
