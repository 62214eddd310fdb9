"""Gets readable prose out of a model of 135 million parameters.

It writes well only when it can do little else: a grammar leaves it whole sentences without lists, headings or code, and
points are put to it one by one after examples. A sentence that lost what its point says gives way to the point itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from soma_providers.smollm.engine import ChatMessage

WRITER = (
    "You are a technical writer. You answer with one paragraph of plain prose in the present tense. "
    "You never use lists, headings, code or examples, and you state only what the topic says."
)
_SENTENCES = "You turn notes into one formal sentence. You keep every fact and number of the note and add nothing."
_EXAMPLES = (
    ("purpose - defines what the billing module does, for accountants",
     "This document defines what the billing module does, and it is written for accountants."),
    ("orders older than 90 days are archived", "Orders that are older than 90 days are archived."),
    ("out of scope: printing and faxing", "Printing and faxing are out of scope."),
    ("after 2 missed payments the customer is blocked for 7 days",
     "After 2 missed payments, the customer is blocked for 7 days."),
    ("invoices are stored as PDF files, never as images", "Invoices are stored as PDF files and never as images."),
    ("90 % of exports finish within 5 s", "The system shall finish 90 % of exports within 5 s."),
    ("admins export reports as PDF or CSV", "Administrators export reports as PDF or CSV files."),
)  # fmt: skip
ONE_SENTENCE = 'root ::= [A-Z] [A-Za-z0-9 ,;:()/%\'-]{20,240} "."'
_WORD = re.compile(r"[a-z0-9]+(?:[.,][0-9]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_KEPT_SHARE = 0.7
_NEW_SHARE = 0.5
_SMALL = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "for", "from", "has", "have", "in", "into", "is", "it",
    "its", "must", "never", "no", "not", "of", "on", "or", "out", "shall", "should", "system", "than", "that",
    "the", "their", "then", "they", "this", "to", "was", "what", "when", "which", "who", "will", "with", "without",
    "after", "before",
))  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """A sentence for a point; `is_original` when it is the point itself."""

    text: str
    is_original: bool


def paragraph_grammar(sentences: int) -> str:
    """Give a GBNF grammar for `sentences` or one more whole sentences on one line."""
    return (
        f'root ::= sentence (" " sentence){{{sentences - 1},{sentences}}}\n'
        'sentence ::= [A-Z] [A-Za-z0-9] ( [A-Za-z0-9] | [ ,\'-] [A-Za-z0-9] | ", " [A-Za-z0-9] ){30,170} "."'
    )


def paragraph_messages(prompt: str, system: str) -> list[ChatMessage]:
    """Give the conversation that asks for a paragraph."""
    return [ChatMessage("system", system or WRITER), ChatMessage("user", prompt)]


def point_messages(point: str) -> list[ChatMessage]:
    """Give the conversation that asks for one sentence; all but its last message is always the same."""
    messages = [ChatMessage("system", _SENTENCES)]
    for note, sentence in _EXAMPLES:
        messages += [ChatMessage("user", f"Note: {note}"), ChatMessage("assistant", sentence)]
    return [*messages, ChatMessage("user", f"Note: {point}")]


def accept_or_keep_original(point: str, written: str) -> Sentence:
    """Take the written sentence if it keeps the point's numbers and words and adds little; else the point."""
    numbers = _NUMBER.findall(point)
    given, written_words = _content(point), _content(written)
    share = len(given & written_words) / len(given) if given else 0.0
    added = len(written_words - given) / len(written_words) if written_words else 1.0
    if numbers == _NUMBER.findall(written) and share >= _KEPT_SHARE and added <= _NEW_SHARE:
        return Sentence(written, is_original=False)
    text = " ".join(point.split())
    return Sentence(text[:1].upper() + text[1:].rstrip(".") + ".", is_original=True)


def whole_sentences(text: str) -> str:
    """Cut a text that ran out of budget back to its last whole sentence; a lone fragment stays."""
    text = text.strip()
    end = max(text.rfind(mark) for mark in (". ", "! ", "? ", ".\n"))
    if text.endswith((".", "!", "?")) or end < 0:
        return text
    return text[: end + 1]


def fix_comma_spacing(text: str) -> str:
    """Mend spacing around commas."""
    text = re.sub(r"\s+([,.])", r"\1", text)
    return re.sub(r"([,])(?=[A-Za-z])", r"\1 ", text).strip()


def _content(text: str) -> set[str]:
    words = {word.rstrip("s") for word in _WORD.findall(text.lower())}
    return {word for word in words if word not in _SMALL and len(word) > 1}
