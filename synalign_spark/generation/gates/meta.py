"""Meta-talk: a model that refuses, announces, or fills in no blanks, instead of writing a row.

Looked for at the start of a row or as the whole of it, since real rows quote such words in their midst.
"""

import re

from synalign_spark.generation.gates.check import Check, Find, Label

GATE = "meta"
ABLE = r"(?:can(?:not|'t| not)|could(?: not|n't)|am (?:not able|unable)(?: to)?|'m (?:not able|unable)(?: to)?|won't|will not)"
DECLINE = r"(?:(?:must|have to|will have to|'ll have to|need to)(?: respectfully| politely)? (?:decline|refuse))"
UNABLE = (
    rf"(?:{ABLE}|(?:won't|will not|would not|wouldn't) be able to|(?:am|'m) not (?:allowed|permitted|programmed|designed|comfortable)(?: to)?|"
    rf"(?:do not|don't) feel comfortable|{DECLINE}(?: to)?|(?:would|'d) (?:rather|prefer) not(?: to)?|(?:refuse|decline) to)"
)
DO = "(?:help|assist|fulfil+|comply|provide|generate|create|write|continue|produce|engage|respond|answer|access|browse|complete|do)"
DOING = "(?:(?:help|assist|fulfil+|comply|provid|generat|creat|writ|continu|produc|engag|respond|complet)(?:e|ing)?)"
ASKED = "(?:with )?(?:you|(?:that|this|your|the) ?(?:request|question|prompt|task|text|texts|content|kind|type|sort)?|any|such|content|texts?|more)"
TEXTS = (
    "(?:texts?|sentences?|reviews?|examples?|rows?|paragraphs?|headlines?|samples?|versions?|variations?|options?|articles?|"
    "descriptions?|summar(?:y|ies)|outputs?|answers?|responses?|rewrites?|entries|items|json(?: object)?|lists?|results?)"
)
KIND = rf"(?:(?:that|this|such|these|those) (?:(?:kind|type|sort)s? of |an? )?|any (?:such )?)(?:{TEXTS}|content|material|requests?|tasks?|things?)"
LIKE = rf"(?:an? |any )?(?:{TEXTS}|content|material|something|anything) (?:like|such as|of) (?:that|this)(?: (?:kind|type|sort|nature))?"
RULES = r"(?:my (?:\S+ ){0,3}|(?:the |our )?(?:content|safety|usage|ethical) )(?:guidelines?|polic(?:y|ies)|programming|instructions|principles|training|rules|restrictions)"
SORRY = r"(?:(?:(?:i'm |i am |so )?sorry|unfortunately|regrettably|i'm afraid)[,.]? (?:but )?(?:that )?)"
THANKS = r"(?:(?:i (?:appreciate|understand|see|recogni[sz]e)|thank(?:s| you)(?: (?:so|very) much)? for)\b[^.!?]{0,80}?[,;.]? (?:(?:but|however|yet),? )?)"
AGAINST = r"(?:violat|breach|(?:go|be|run) (?:against|counter to)|conflict with|contraven)"
# In other scripts and languages, where a word for "sorry" alone begins many a genuine row.
ELSEWHERE = (
    r"(?:对不起|很?(?:抱歉|遗憾)).{0,4}我(?:无法|不能)(?:为您|为你|向您|向你)?(?:帮|协助|提供|回答|生成|创作|满足|写|撰写|处理|这样做)"
    r"|申し訳(?:ありません|ございません)が.{0,30}(?:できません|いたしかね|お手伝い|お答え|対応(?:でき|いたし|しか))"
    r"|죄송(?:합니다|하지만|스럽지만).{0,30}(?:도와드릴|드릴|할|작성할|제공할) 수 없"
    r"|(?:het spijt me|sorry),? (?:maar )?(?:(?:ik|daar|dat) kan (?:ik )?)(?:(?:je|u|dat|dit|daar|hier) )*(?:niet|geen)\b[^.]{0,40}(?:help|schrijv|doen|voldoen|genereren)"
    r"|(?:przepraszam|przykro mi),? (?:ale )?nie mogę (?:pomóc|napisać|spełnić|wygenerować|tego)"
    r"|(?:üzgünüm|maalesef),? (?:ama )?[^.]{0,40}(?:yardımcı olam|yapam|oluşturam|yazam)"
    r"|(?:عذرًا|عذرا|آسف|أعتذر)[،,]? ?(?:ولكن |لكن )?(?:لا يمكنني|لا أستطيع) (?:المساعدة|مساعدتك|كتابة|تقديم|إنشاء|تلبية)"
    r"|(?:क्षमा करें|मुझे खेद है|माफ़ करें)[,।]? ?[^।]{0,50}(?:मदद नहीं|नहीं कर सक|नहीं लिख सक|असमर्थ)"
)
# Apology, "I cannot", what, and of which things a model says so; without an apology it must be one of them: "no puedo crear mi cuenta" is a
# customer's question.
CANNOT = (
    (
        r"(?:je suis )?désolée?,? (?:mais )?",
        r"je ne peux (?:malheureusement )?pas (?:vous |t'|te )?",
        "(?:aider|répondre|accéder|donner suite|écrire|rédiger|générer|créer|fournir|produire|satisfaire|faire)",
        "demandes?|contenus?|textes?|critiques?|avis|cela|ça|ce (?:type|genre)",
    ),
    (
        r"(?:к сожалению|извините|простите),? (?:но )?",
        r"я не могу (?:вам |тебе |это )*",
        "(?:помочь|написать|создать|выполнить|сделать|ответить|сгенерировать|предоставить)",
        r"запрос\w*|просьб\w*|контент\w*|так(?:ой|ого|ие) текст\w*|этого|этим|это",
    ),
    (
        r"lo siento,? (?:pero )?",
        "no puedo ",
        "(?:ayudar(?:te|le|los)?|escribir|generar|crear|cumplir|proporcionar|responder|redactar|hacer)",
        "solicitud(?:es)?|petición|contenidos?|textos?|reseñas?|eso|(?:est?e|es[ea]) (?:tipo|clase)",
    ),
    (
        r"(?:desculpe|sinto muito),? (?:mas )?",
        r"(?:eu )?não posso ",
        "(?:ajudar|escrever|gerar|criar|fornecer|atender|responder|fazer)",
        "solicitaç(?:ão|ões)|pedidos?|conteúdos?|textos?|resenhas?|isso|[ed]?sse tipo",
    ),
    (
        r"mi dispiace,? (?:ma )?",
        "non posso ",
        "(?:aiutar|scriver|generar|crear|fornir|soddisfare|risponder|farlo)",
        "richiest[ae]|contenut[oi]|test[oi]|recension[ei]|questo (?:tipo|genere)",
    ),
)


def _in_other_words() -> str:
    """Refusals in the languages of CANNOT, as a pattern."""
    whole = (
        rf"(?:{sorry}{cannot}{do})|(?:{cannot}{do}\w*(?:[.!]?$|[^.!?]{{0,40}}\b(?:{things})\b))|(?:{cannot}(?:{things})\b[^.!?]{{0,20}}{do})"
        for sorry, cannot, do, things in CANNOT
    )
    return "|".join(whole)


REFUSAL = (
    rf"(?:(?:i'm|i am|i|so|very|my|we're|we are)? ?(?:sorry|apologi[sz]e|apologies|regret)\b[,.!]? ?(?:but |that |for \S+(?: \S+)?[,.] ?)?i ?{ABLE} ?{DO})"
    rf"|(?:(?:unfortunately,? )?i ?{ABLE} ?{DO} {ASKED}[.,!]? ?(?:$|as |because |since |but |it |for |that ))"
    rf"|(?:(?:unfortunately,? |i'm afraid,? (?:that )?|regrettably,? |sorry,? (?:but )?)?i ?{UNABLE} {DOING}(?: (?:you )?(?:with )?{DOING})? (?:{KIND}|{LIKE})\b)"
    rf"|(?:i (?:do not|don't) have the (?:ability|capability|capacity) to {DOING} (?:{KIND}|{LIKE}|(?:\S+ )?{TEXTS})\b)"
    rf"|(?:{THANKS}i ?{UNABLE} (?:be )?{DOING} (?:{KIND}|{LIKE})\b)|(?:i ?{UNABLE} (?:write|generate|create|produce) (?:that|this)[.!]?$)"
    rf"|(?:{SORRY}?(?:that|this)(?:'s| is)(?: not|n't) (?:something|an? (?:request|task|topic|prompt)) (?:that )?i(?:'m| am)? ?(?:can|could|able to|allowed to|"
    rf"permitted to|comfortable) {DOING}(?:[.!]?$| (?:you )?with\b| (?:{KIND}|{LIKE})\b))"
    rf"|(?:{SORRY}?(?:creating|writing|generating|producing|providing) (?:{KIND}|{LIKE}) (?:would|could|might|may) {AGAINST})"
    rf"|(?:i ?{DECLINE}(?:[.,!]| (?:this|that|your|the) (?:request|task|prompt)\b))"
    rf"|(?:{RULES} (?:\S+ )?(?:prevent|prohibit|forbid|stop|keep|restrict|(?:do(?:es)? not|don't|doesn't|won't) (?:allow|permit|let))s? me (?:from |to )?{DOING}\b)"
    rf"|(?:it (?:would|is|isn't|wouldn't)(?: not)?(?: be)?(?: not)? (?:in|un)?(?:appropriate|ethical|responsible|right|possible) (?:for me )?to {DOING} {KIND}\b)"
    rf"|(?:i ?{UNABLE} (?:generat(?:e|ing)|creat(?:e|ing)|produc(?:e|ing)|fulfil+(?:ing)?) (?:\S+ ){{0,3}}?(?:{TEXTS}|content|material|requests?)\b)"
    r"|(?:(?:i'm sorry|sorry|i'm afraid|i am sorry|i am afraid),? (?:but )?i (?:can't|cannot|can not)(?: do (?:that|this|so))?[.!]?$)"
    r"|(?:(?:i apologi[sz]e|(?:i'm |i am )?sorry),? but (?:this|that|it) (?:goes|is) against (?:my|our|the)\b)"
    r"|(?:this (?:request|prompt|task) (?:goes against|violates|is against|asks (?:me )?for|cannot be|can't be))"
    rf"|(?:{ELSEWHERE})"
    r"|(?:(?=[^.!?,]{0,60}\b(?:leid|leider|das|dabei|damit|hierbei|dies\w*|solche\w*|so etwas|anfragen?|texte?|ihnen|dir)\b)"
    r"(?:(?:es )?tut mir leid,? (?:aber )?|leider )?(?:(?:ich|das|dabei|damit|hierbei|dies|diese[nrs]?|ihre|deine|anfrage|text|kann|ihnen|dir|leider) )*kann (?:ich )?"
    r"(?:(?:ich|das|dabei|damit|hierbei|dies|diese[nrs]?|solche[nrs]?|so|etwas|ihre|deine|anfragen?|texte?|ihnen|dir|leider|keine[nrs]?) )*(?:nicht(?:[.!]?$| ))?"
    r"(?:nicht )?(?:helfen|schreiben|erfüllen|beantworten|erstellen|generieren|verfassen|bearbeiten|tun|machen)\b)|(?:es tut mir leid,? aber ich kann das nicht[.!]?$)"
    rf"|{_in_other_words()}"
    rf"|(?:(?:i (?:do not|don't) think i can|that's (?:something|one thing) i (?:can't|cannot)|i'm not able to) {DO}\b)"
    r"|(?:no (?:text|review|prompt|input|label) (?:was |has been |is )?(?:provided|given)[.!]?$)"
)
MACHINE = (
    r"(?:as|i am|i'm|being|since i am|since i'm) (?:just |only )?an? (?:responsible |helpful |ethical |harmless )?(?:(?:ai|artificial intelligence)(?:[- ](?:language )?(?:model|assistant|chatbot))|"
    r"(?:large )?language model|ai,? i |ai\.?$|ai (?:developed|created|trained|built|made) by|ai(?:,? and|,? so) (?:i )?(?:can|do|am)|virtual assistant)"
    r"|(?:als (?:eine? )?(?:ki\b|künstliche intelligenz|sprachmodell)(?:[- ](?:sprach)?modell|[- ]assistent)? ?(?:,|kann|habe|bin|darf))"
    r"|(?:(?:作为|我是)(?:一[个名])?\s?(?:(?:ai|人工智能)(?:语言)?(?:模型|助手|助理)|语言模型))|(?:en tant qu[e'] ?(?:une? )?(?:ia|intelligence artificielle|modèle de langage|assistant))"
    r"|(?:como (?:una? )?(?:modelo de lenguaje|modelo de linguagem|ia,|inteligencia artificial|asistente))|(?:как (?:языковая модель|искусственный интеллект|ии,))"
    r"|(?:aiとして|aiの言語モデル|言語モデルとして)|(?:ai(?: 언어)? ?모델로서|언어 모델로서|인공지능으로서)|(?:كنموذج لغوي|بصفتي (?:نموذج|مساعد))"
    r"|(?:as (?:an|your) assistant,? i (?:can|am|do|have))|(?:my (?:knowledge cut-?off|training data)\b)"
)
COURTESY = "(?:(?:sure(?: thing)?|certainly|of course|absolutely|no problem|got it|understood)[,.!:]+ ?)"
CHATTY = "(?:(?:okay|ok|great|alright|yes)[,.!:]+ ?)"  # also how people begin: "Ok, here's the thing"
HERE = rf"(?:here (?:are|is)|here's|below (?:are|is)|the following (?:are|is)|these are|this is|i(?:'ve| have) (?:written|generated|created)) (?:\S+ ){{0,7}}?{TEXTS}\b"
NEAR = "(?:one|another(?: one)?|(?:(?:a|an|the|my|your|another|one) )(?:\\S+ ){0,4}(?:text|sentence|review|example|sample|paragraph|headline|version))"
WHOLE = "(?:text|sentence|review|example|sample|paragraph|passage|row|response|output|headline)"
ASPECT = "(?:tone|style|voice|sentiment|formality|perspective|register|label|attributes?|language)"
ANNOUNCEMENT = (
    rf"(?:{COURTESY}(?:here(?:'s| is| are)|i(?:'d| would| can| will|'ll) (?:be (?:happy|glad)|help|write|provide|generate|create)|"
    rf"let me (?:help|write|provide|generate|create)))"
    rf"|(?:{CHATTY}?{HERE}[^.!?]{{0,80}}:(?:$| ?[\d\"'\u201c*-]))"
    rf"|(?:(?:here is|here's) {NEAR}(?: for you)?:)"
    rf"|(?:(?:(?:that's |what )?an? )?(?:great|good|excellent|interesting) (?:(?:question|request|prompt)[!.,]+ ?i(?:'d| would|'ll| will| can)|(?:question|request|prompt|choice)[!.,]+ ?(?:let me|here(?:'s| is| are)|sure|certainly))\b)"
    rf"|(?:{CHATTY}?let me (?:write|generate|create|compose|produce) (?:(?:that|this|it|one|some|another|an? \S+|the \S+) )(?:(?:{TEXTS}|one) )?for you\b)"
    rf"|(?:{COURTESY}(?:below|the following)\b)|(?:(?:sure(?: thing)?|certainly|of course|understood)[!:])"
    rf"|(?:{TEXTS} ?\d*:$)|(?:{COURTESY}$)|(?:here you (?:go|are)[:!.])|(?:here(?:'s| is) the json\b)"
    r"|(?:is there anything else (?:i can|you)\b)|(?:would you like (?:me to|another (?:one|example|review|text|version))\b)"
    r"|(?:(?:please )?let me know if (?:you|there|this|that)\b[^.]{0,80}[.!]?$)|(?:i hope (?:this|these|that) (?:helps?|meets?)\b[^.]{0,60}[.!]?$)"
    r"|(?:(?:please|could you|can you) (?:please )?provide (?:me )?(?:with )?(?:the|more|a|some|an|additional) (?:text|context|information|details|example)s?\b)"
)
# Of the row instead of the row: what it is like, that it was asked for, that it is still to be written.
DESCRIPTION = (
    rf"(?:(?:(?:the following|this|the above|each|the) (?:\S+ )?{WHOLE} (?:\S+ ){{0,3}}?(?:written|composed|phrased|expressed) (?:in|with|from|to)\b[^.!?]{{0,40}}\b{ASPECT}\b)"
    rf"|(?:(?:the following|this|the above|each) {WHOLE} (?:is|serves as) (?:an? )?(?:\S+ )?(?:example|instance|sample) (?:of|for) (?:the|a|an) (?:\S+ )?{ASPECT}\b)"
    rf"|(?:(?:this|the) {WHOLE} (?:has|contains|is) (?:about |approximately |around |roughly |exactly )?\d+ (?:words|characters|sentences)\b)"
    rf"|(?:this {WHOLE} is [^.!?]{{0,40}}\b\d+ (?:words|characters|sentences) long\b)"
    rf"|(?:[^.!?]{{0,80}}\bin (?:the|your) (?:requested|specified|given|desired|required|indicated) (?:{ASPECT}|format|length)\b)"
    r"|(?:(?:(?:please )?note(?: that)?|disclaimer|explanation|n\.b\.)[:,]? (?:i(?: have|'ve)? (?:followed|written|generated|created|tried|ensured|kept|used|avoided|adhered)\b"
    rf"|(?:this|these|the (?:above|following)) (?:\S+ )?{TEXTS} (?:is|are|was|were|has|have)\b"
    rf"|the (?:\S+ )?{TEXTS} (?:is|are|was|were) (?:all )?(?:written|generated|created|composed|made up|invented|fictional|synthetic)\b))"
    rf"|(?:(?:{CHATTY}?(?:so )?the user (?:wants|asks|asked|requests|requested|is asking|would like) (?:me |for |us )?)(?:to |an? |\d+ |\w+ ){{1,3}})"
    rf"|(?:{CHATTY}?(?:so,? )?(?:we|i) (?:need|have|should|must)(?: to)? (?:produce|generate|output|write) (?:\S+ ){{0,4}}?(?:texts?|sentences?|reviews?|examples?|rows?|paragraphs?|headlines?|json)\b)|(?:as (?:you )?requested[,:])"
    rf"|(?:here(?: is|'s) another (?:one|{TEXTS}) (?:in|with|of|for)\b)"
    rf"|(?:(?:this|the(?: above)?) (?:\S+ )?{WHOLE} (?:has|have|shows|conveys|expresses|carries|reflects) (?:an? |the )?(?:\S+ ){{0,2}}?(?:sentiment|label|tone|style|voice|class|category)\b)"
    rf"|(?:(?:this is|this {WHOLE} is|it is) (?:an? |the )?(?:example of )?(?:an? )?(?:positive|negative|neutral|mixed) (?:\S+ )?{WHOLE}[.!]?$)"
    rf"|(?:the (?:(?:sentiment|label)|(?:tone|style|category|class|topic) of (?:this|the) (?:\S+ )?{WHOLE})(?: of (?:this|the) (?:\S+ )?{WHOLE})? is:? (?:\S+ ){{0,2}}?\S+$)"
    r"|(?:output only (?:the |a )?json\b)|(?:same as (?:the )?above[.!]?$)"
    r"|(?:i(?: have|'ve) (?:followed|adhered to|met) (?:all )?(?:of )?(?:the|your) (?:instructions|guidelines|requirements|prompt)))"
)
COMMAND = (
    rf"(?:please )?(?:insert|write|generate|create|compose|produce|rewrite|paraphrase|add) (?:me )?(?:(?:\d+|an?|one|another|two|three|five|some|your|more) )"
    rf"(?:(?!of )\S+ ){{0,3}}?{TEXTS}(?: (?:here|about|with|that|for|from|based|which|in)\b|[.:]?$)"
    rf"|(?:please )?(?:rewrite|paraphrase|translate|summari[sz]e|rephrase) (?:the|this|that|each) (?:(?:above|following|given|previous) )?{TEXTS}(?: above| below)?"
    r" (?:in|into|to|using|with|from|so)\b|(?:please )?continue (?:writing|the (?:list|text|series)) (?:in|with|from|as)\b[^.!?]{0,40}\b(?:above|same|before)\b"
    rf"|(?:please )?(?:insert|enter|put|type|paste|add|write) (?:\S+ ){{0,3}}?{TEXTS} here[.!:]?$"
    rf"|(?:your|the|an?) (?:\S+ ){{0,3}}?{TEXTS} (?:goes |comes )?here[.!:]?$"
)
ATTRIBUTE = "(?:topic|subject|tone|style|formality|sentiment(?: intensity)?|perspective|length|label|genre|mood|voice|language)"
OF_STYLE = (
    "(?:topic|tone|style|formality|sentiment(?: intensity)?|perspective)"  # of a text; "Mood: exhausted" and "Genre: horror" are rows
)
ATTRIBUTES = rf"(?:attributes? ?: ?)?(?:[^(\[]{{0,300}}[(\[] ?)?{ATTRIBUTE}: [^:]{{1,80}}?[.,;|] ?{ATTRIBUTE}:|{OF_STYLE}: [^.!?:]{{1,60}}$"
OWNER = "(?:first|last|full|company|movie|film|author|actor|actress|director|product|city|book|brand|customer|recipient|sender)"
BLANK = (
    rf"\[(?:(?:your|insert|ihr|dein|votre|su|tu|您的|你的)\b[^\]]{{0,30}}|(?:the )?(?:{OWNER}(?:'s)? )?(?:name|title)(?: here)?)\]"
    r"|\{\{[^}]{1,40}\}\}|\{[a-z]+(?:[_ ][a-z]+)+\}|<(?:your|insert) [^>]{1,30}>|<[a-z]+(?:_[a-z]+)+>|\blorem ipsum\b"
)
# A conversation or its template in place of a row, wherever it begins: what stands before "Assistant:" may be a whole order.
TURNS = re.compile(
    r"(?<!#)#{2,6} ?(?:instructions?|responses?|inputs?|outputs?|user|assistant|system|question|answer|prompt|task)\b"
    r"|(?:^|[.!?:\"\u201d)] ?)(?:assistant|chatgpt|chatbot|(?<!^)ai|ai assistant|bot|llm|system prompt)(?: ?\(\w{1,20}\))? ?:(?=\s)",
    re.IGNORECASE,
)
# An order that a chat's user gives, and a question with its answer: rows of some corpora, where the real rows switch the check off.
ORDERS = re.compile(r"\W*(?:user|human|prompt) ?: (?:please |can you |could you )?(?:write|generate|create|compose|give me|provide|tell me|rewrite)\b", re.IGNORECASE)  # fmt: skip
ANSWERED = re.compile(
    r"\W*q(?:uestion)?(?: ?\d+)?[:.)] .{3,400}?(?:[?.!\"\u201d] ?|\n)a(?:nswer)?(?: ?\d+)?[:.)](?=\s)", re.IGNORECASE | re.DOTALL
)
TO_DO = re.compile(r"\W*(?:(?:TODO(?! lists?\b)|TBD|FIXME)\b|(?:[Tt]odo|[Tt]o[- ]do|[Pp]laceholder) ?:)")
WHOLE_BLANK = re.compile(rf"\W*(?:dear )?(?:{BLANK})", re.IGNORECASE)
ANYWHERE_BLANK = re.compile(
    rf"\[(?:(?:insert|enter|your) [^\]]{{1,40}}|(?:the |a )?{OWNER}(?:'s)? (?:name|title)(?: here)?)\]", re.IGNORECASE
)
CAPITAL_BLANK = re.compile(r"\[MASK\]|\[(?:(?:Your|Insert|The|Company|Movie|Film|Product|Actor|Director|First|Last|Author|City) ?)+(?:Name|Title|Here|Company|Movie|Film|Product|Link|City|Location|Date)\]")  # fmt: skip


def checks() -> list[Check]:
    """The checks of the gate.

    >>> [check.name for check in checks() if check.find("Sure! Here is a review:", None)]
    ['announcement']
    """
    starts = [Check(GATE, name, _at_start(words, pattern)) for name, (words, pattern) in STARTS.items()]
    said = [Check(GATE, "turns", _turns, of_template=True), Check(GATE, "question", _question, of_template=True)]
    return [*starts, *said, Check(GATE, "blank", _blank)]


STARTS = {
    "refusal": ("the model refuses", REFUSAL),
    "machine": ("the model speaks of itself", MACHINE),
    "announcement": ("the model announces rows", ANNOUNCEMENT),
    "description": ("the model speaks of the row", DESCRIPTION),
    "command": ("the model is told to write", COMMAND),
    "attributes": ("attributes in place of a row", ATTRIBUTES),
}


def declines(answer: str) -> str | None:
    """What an answer in plain text says in place of rows, where it refuses; None where it does not.

    >>> declines("Sorry, but I cannot help with that."), declines("I would rather not write JSON today.")
    ('the model refuses: "Sorry, but I cannot help"', None)
    """
    return next((found for find in (_REFUSES, _SPEAKS_OF_ITSELF) if (found := find(answer, None))), None)


def _at_start(words: str, pattern: str) -> Find:
    found = re.compile(rf"(?:{pattern})", re.IGNORECASE)

    def find(text: str, _label: Label) -> str | None:
        straight = text.lstrip("\"'*#([-\u201c\u2018 ").replace("\u2019", "'")
        match = found.match(straight)
        return f'{words}: "{match.group()[:60]}"' if match else None

    return find


_REFUSES, _SPEAKS_OF_ITSELF = (_at_start(*STARTS[name]) for name in ("refusal", "machine"))


def _turns(text: str, _label: Label) -> str | None:
    return f'a conversation in place of a row: "{found.group().strip()[:60]}"' if (found := TURNS.search(text)) else None


def _question(text: str, _label: Label) -> str | None:
    found = ORDERS.match(text) or ANSWERED.match(text)
    return f'a question or an order in place of a row: "{found.group().strip()[:60]}"' if found else None


def _blank(text: str, _label: Label) -> str | None:
    match = WHOLE_BLANK.match(text) or ANYWHERE_BLANK.search(text) or CAPITAL_BLANK.search(text) or TO_DO.match(text)
    return f'a blank that was not filled in: "{match.group().strip()[:60]}"' if match else None
