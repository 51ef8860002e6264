"""Meta-talk: a model that refuses, announces, or fills in no blanks, instead of writing a row.

Looked for at the start of a row or as the whole of it, since real rows quote such words in their midst.
"""

import re

from synalign_spark.generation.gates.check import Check, Find, Label

GATE = "meta"
ABLE = r"(?:can(?:not|'t| not)|could(?: not|n't)|am (?:not able|unable)(?: to)?|'m (?:not able|unable)(?: to)?|won't|will not)"
DO = "(?:help|assist|fulfil+|comply|provide|generate|create|write|continue|produce|engage|respond|answer|access|browse|complete|do)"
ASKED = "(?:with )?(?:you|(?:that|this|your|the) ?(?:request|question|prompt|task|text|texts|content|kind|type|sort)?|any|such|content|texts?|more)"
TEXTS = (
    "(?:texts?|sentences?|reviews?|examples?|rows?|paragraphs?|headlines?|samples?|versions?|variations?|options?|articles?|"
    "descriptions?|summar(?:y|ies)|outputs?|answers?|responses?|rewrites?|entries|items|json(?: object)?|lists?|results?)"
)
REFUSAL = (
    rf"(?:(?:i'm|i am|i|so|very|my|we're|we are)? ?(?:sorry|apologi[sz]e|apologies|regret)\b[,.!]? ?(?:but |that |for \S+(?: \S+)?[,.] ?)?i ?{ABLE} ?{DO})"
    rf"|(?:(?:unfortunately,? )?i ?{ABLE} ?{DO} {ASKED}[.,!]? ?(?:$|as |because |since |but |it |for |that ))"
    r"|(?:es tut mir leid,? (?:aber )?(?:ich|das) kann)|(?:je suis désolée?,? mais je ne p)|(?:lo siento,? pero no puedo)"
    r"|(?:(?:desculpe|sinto muito),? mas (?:eu )?não posso)|(?:mi dispiace,? ma non posso)|(?:(?:很)?抱歉.{0,4}我(?:无法|不能))|(?:申し訳(?:ありません|ございません)が)"
)
MACHINE = (
    r"(?:as|i am|i'm|being|since i am|since i'm) (?:just |only )?an? (?:(?:ai|artificial intelligence)(?:[- ](?:language )?(?:model|assistant|chatbot))|"
    r"(?:large )?language model|ai,? i |ai\.?$|virtual assistant)"
    r"|(?:als (?:ein )?ki[- ](?:sprach)?modell)|(?:作为一?[个名]?\s?(?:ai|人工智能))|(?:en tant qu[e'] ?(?:ia|modèle de langage))|(?:como (?:un )?modelo de lenguaje)"
)
COURTESY = "(?:(?:sure(?: thing)?|certainly|of course|absolutely|no problem|got it|understood)[,.!:]+ ?)"
CHATTY = "(?:(?:okay|ok|great|alright|yes)[,.!:]+ ?)"  # also how people begin: "Ok, here's the thing"
HERE = rf"(?:here (?:are|is)|here's|below (?:are|is)|the following (?:are|is)|these are|this is|i(?:'ve| have) (?:written|generated|created)) (?:\S+ ){{0,7}}?{TEXTS}\b"
ANNOUNCEMENT = (
    rf"(?:{COURTESY}(?:here(?:'s| is| are)|i(?:'d| would| can| will|'ll) (?:be (?:happy|glad)|help|write|provide|generate|create)|"
    rf"let me (?:help|write|provide|generate|create)))"
    rf"|(?:{CHATTY}?{HERE}[^.!?]{{0,80}}:(?:$| ?[\d\"'\u201c*-]))"
    rf"|(?:{TEXTS} ?\d*:$)|(?:{COURTESY}$)"
    r"|(?:(?:please )?let me know if (?:you|there|this|that)\b[^.]{0,80}[.!]?$)|(?:i hope (?:this|these|that) (?:helps?|meets?)\b[^.]{0,60}[.!]?$)"
    r"|(?:(?:please|could you|can you) (?:please )?provide (?:me )?(?:with )?(?:the|more|a|some|an|additional) (?:text|context|information|details|example)s?\b)"
)
OWNER = "(?:first|last|full|company|movie|film|author|actor|actress|director|product|city|book|brand|customer|recipient|sender)"
BLANK = (
    rf"\[(?:(?:your|insert)\b[^\]]{{0,30}}|(?:the )?(?:{OWNER}(?:'s)? )?(?:name|title)(?: here)?)\]"
    r"|\{\{[^}]{1,40}\}\}|<(?:your|insert) [^>]{1,30}>|\blorem ipsum\b"
)
WHOLE_BLANK = re.compile(rf"\W*(?:dear )?(?:{BLANK})", re.IGNORECASE)
CAPITAL_BLANK = re.compile(r"\[(?:(?:Your|Insert|The|Company|Movie|Film|Product|Actor|Director|First|Last|Author|City) ?)+(?:Name|Title|Here|Company|Movie|Film|Product|Link|City|Location|Date)\]")  # fmt: skip


def checks() -> list[Check]:
    """The checks of the gate.

    >>> [check.name for check in checks() if check.find("Sure! Here is a review:", None)]
    ['announcement']
    """
    starts = {"refusal": REFUSAL, "machine": MACHINE, "announcement": ANNOUNCEMENT}
    return [*(Check(GATE, name, _at_start(name, pattern)) for name, pattern in starts.items()), Check(GATE, "blank", _blank)]


def _at_start(name: str, pattern: str) -> Find:
    found = re.compile(rf"(?:{pattern})", re.IGNORECASE)
    words = {"refusal": "the model refuses", "machine": "the model speaks of itself", "announcement": "the model announces rows"}[name]

    def find(text: str, _label: Label) -> str | None:
        straight = text.lstrip("\"'*#-\u201c\u2018 ").replace("\u2019", "'")
        match = found.match(straight)
        return f'{words}: "{match.group()[:60]}"' if match else None

    return find


def _blank(text: str, _label: Label) -> str | None:
    match = WHOLE_BLANK.match(text) or CAPITAL_BLANK.search(text)
    return f'a blank that was not filled in: "{match.group().strip()[:60]}"' if match else None
