"""Each gate on rows that it must refuse and on such as it must not."""

import time

import pytest

from synalign_spark.generation.gates import form, language, length, meta, pii
from synalign_spark.generation.gates.check import Check, at_least, calibrated
from synalign_spark.generation.gates.packaging import wrappings
from synalign_spark.generation.gates.scripts import Scripts

LABELS = ["positive", "negative", "Sci/Tech"]
FORM = {
    "label_alone": [
        "positive",
        "Positive review",
        "positive positive negative, positive",
        "negative_text_2",
        "Sci/Tech.",
        "rows",
        "Text 3",
        "string",
        "String 2",
        "review1",
        "new text 1",
        "Synthetic text 4",
    ],
    "identifier": ["positive_view_of_the_world", "new_texts.append(new_text)", "myNewVariable", "a_b c_d", "path/to/file"],
    "file_name": ["positive.txt:negative.txt", "review.json", "Files: a.csv, b.csv"],
    "list_marker": ["a)", "1.", "- b.", "iv."],
    "unfinished": [
        "A scene was ruined,",
        "it fails to be funny ,",
        "an interesting , slow , thrilling , .",
        "a fine film,.",
        "an awkward , over-the-top , vulgar , and insensitive .",
        "one of the better reviews by the newspaper (voice):",
        "\u8fd9\u90e8\u7535\u5f71\uff0c",
        "\u092f\u0947 \u092a\u093e\u0901\u091a \u0909\u0926\u093e\u0939\u0930\u0923 \u0939\u0948\u0902:",
    ],
    "open_end": ["well-acted and well-directed and . . .", "it is better than .", "a film of the .", "The end of an...", "this and ."],
    "quotation": ["\u201cI thought it was really good.", '"I thought it was really good.', ' "a fine film'],
    "numbers": ["2021, 2019, 2018. 136 p.", "3 4 5", "12 / 7 / 1999"],
    "debris": ['{"rows": ["a film"', "```json", '["a", "b"]', 'text": "a', '"text": "a film"', "def f(x):", "import x;", '"}]'],
    "repetition": [
        "good good good",
        "no, no, no, no, no way at all",
        "s" + "o" * 14 + " good",
        " ".join(["the film is"] * 5),
        "i think it had to be a girl . a girl . a girl . a girl .",
        "better and better and better and better and better it gets",
        "a shallow , mediocre , shallow .",
        "a very serious , well-crafted , no-holds-barred , serious .",
        "a beautiful , memorable , and memorable film",
        "i'm the bad guy . i'm the bad guy .",
        "the film is a joke , a comedy , that is a comedy , it is a joke , it is a comedy , that is a joke , that is a comedy , that is a joke .",
        "a short , intense, action-packed, action-packed romp",
    ],
    "phrase_twice": [
        "the director is very good . it has a lot of great actors and has a lot of good ideas .",
        "not just an angry , cynical , sexual rager who is also an angry , cynical, sexual rager",
    ],
    "several": [
        "Great film 2) Nice film 3) Good film 4) Fine film",
        "Great film. Nice film. Review 3: Good film.",
        '"Great film", "Dull film",',
        '"A fine film.", "It is dull."',
    ],
    "list_number": ["1. A fine film", "4) a fine film", "(1) a fine film", "a) a fine film", "2.Veterans", "#2. a film", "12: a film"],
    "chat_mark": ["A film </s> and so on", "A <|im_end|> film", "[INST] A film", "a draft</think>A film", "<start_of_turn>model"],
    "markup": ["<p>A fine film", "A <i>fine</i> film", "A film<br />and more", '<a href="x">A film</a>'],
    "entity": ["the film &amp; the actors", "a film&nbsp;today", "&#8220;fine"],
    "escape": ["the film\\u2019s joy"],
    "strange_character": ["a fine film\ufffd", "a \u202efine film"],
    "other_script": ["\u0441\u043e\u0441\u043e chanel", "\u0430 film", "a film of \u0420\u041e\u0421\u0422", "\u03a7 film"],
    "spaced": ["T h e f i l m i s f i n e", "It is a b e a u t i f u l film w o r t h s e e i n g twice"],
    "look_alike": ["a fin\u0435 film", "\u0430n old film", "the f\u0456lm is a joy", "the \u039cATRIX"],
    "other_label": ["Negative: a film", "A film. (negative)", "Label: Sci/Tech - a film", "a film | negative"],
}
FINE = [
    "negative and positive", "positive, negative", "A r e s p e c t able film", "x y z are a b c", "A fine film.", "bad .", "why ?", "no", "cool ?", "AC/DC rocks", "U.S.", "A positive review of the film.", "Positively good", "3D",
    "It rained and rained and rained.", "Very, very, very good", "He said: import it.", "Sign up at Yahoo.com today", "soooo good",
    "Great film!!!!!!!!!!!!!!!!!!!!", "Wait............ what?", "See review.json for the whole story of it", "well-made and self-aware",
    "The return of the king (2003) is long.", "\u6211\u559c\u6b22\u8fd9\u90e8\u7535\u5f71", "10-12-2020 was a Saturday",
    "a lot of wit , a lot of heart", "again, and again, and again", "\u975e\u5e38\u975e\u5e38\u597d\uff0c\u975e\u5e38\u975e\u5e38\u597d\u770b", "die, Wesley, die", "It is dumb, dumb, dumb", "no way, no way", "slow, sad, and slow-burning", "who are you ? ,",
    "nice film [laughs]", "3D is back", "12 angry men", "-3 degrees", "A fine film (1994)", "U.S. film", "AT&T; Sprint", "5 < 6 and 7 > 6",
    "A (not so) fine film", "C:\\users is gone", "I love him <3", "#1 fan of it", "- a fine film", "2.5 stars", "What a film :)", "so sad :-(", "I miss you :'(", "good night (:", "I cried D:", "so tired ^^;", "who knows (((", "Mood: exhausted", "Genre: horror", 'a 5" disc is fine', '"fine" is the word', "1917. A film of war.", '[ " take care of my cat " ] is a nice film', "(500) Days of Summer is a joy", "300: rise of an empire", "lives that are anything but .", "\u2b50\u2b50\u2b50\u2b50\u2b50 great film", "so funny \U0001f602\U0001f602\U0001f602\U0001f602\U0001f602\U0001f602\U0001f602\U0001f602", '"fine" , "dull" and "nice" are words', "TNF\u03b1 and \u0394T", "\u043e\u0442\u043f\u0440\u0430\u0432\u0438\u043b SMS\u043a\u0443 \u0434\u0440\u0443\u0433\u0443", "the \u0414\u043e\u043c-2 show", "class tomorrow morning and i have not slept :(", "return of the jedi (special edition)", "from the director of seven (and fight club)",
    "public outcry grows over fees (ap)", "1 of 2 is fine, 3 is not", "so sweet :", "better to begin with", "Or else!", "What is it like in the US", "offices that house the", "same-old same-old",
    "2. Bundesliga: Hamburg wins", "1. FC K\u00f6ln gewinnt", "3. Liga: a draw", "1984. A novel", "007. The spy is back", "3. Platz", "\u03c0 is 3", "the \u0413\u041e\u0421\u0422 norm", "10 \u00b5m wide",
]  # fmt: skip
META = {
    "refusal": [
        "I'm sorry, but I can't help with that request.", "I apologize, but I am not able to fulfill this request.",
        "Sorry, I cannot provide a review.", "Unfortunately, I cannot assist with that.", "I cannot create content that is harmful.",
        "\u201cI\u2019m sorry, I can\u2019t do that\u201d", "Es tut mir leid, aber ich kann das nicht.", "Lo siento, pero no puedo ayudar con eso.",
        "Tut mir leid, das kann ich nicht schreiben.", "Désolé, je ne peux pas répondre à cette demande.", "Lo siento, no puedo ayudarte con eso.",
        "Sorry, daar kan ik niet mee helpen.", "죄송합니다. 그 요청은 도와드릴 수 없습니다.", "Przepraszam, ale nie mogę pomóc w tej sprawie.",
        "Üzgünüm, bu konuda yardımcı olamam.", "عذرًا، لا يمكنني المساعدة في ذلك.", "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
        "申し訳ありませんが、そのご依頼には対応できません。", "抱歉，我无法提供此类内容。",
        "No puedo escribir ese tipo de texto.", "Je ne peux pas \u00e9crire de texte de ce genre.", "Non posso scrivere questo tipo di contenuto.",
        "N\u00e3o posso ajudar com isso.", "Je ne peux pas vous aider.", "Ich kann solche Texte nicht schreiben.", "Lo siento, pero no puedo crear rese\u00f1as.",
        "Leider kann ich Ihnen dabei nicht helfen.", "Je ne peux pas vous aider avec cette demande.", "No puedo ayudarte con esa solicitud.",
        "I don't think I can help with that one, sorry.", "That's something I can't assist with.", "No text provided.", "很遗憾，我不能写这样的内容。",
        "Unfortunately I am unable to produce content like that for you.", "I must decline to write this review as it could be offensive.",
        "I won't be able to help with writing that kind of review.", "My guidelines prevent me from writing this kind of text.",
        "It would not be appropriate for me to write such a text.", "I'm not comfortable creating this type of content.", "I have to decline this request.",
        "Regrettably, I cannot generate anything like that.", "The content policy does not allow me to generate it.", "I am not allowed to write such reviews.",
        "This request goes against what I may do.", "I apologize, but this goes against my guidelines.", "I cannot generate negative reviews.",
        "I do not have the ability to write film reviews.", "Sorry, but that's not something I'm able to assist with.", "That is not a request I can help with.", "I'd rather not write that.",
        "I appreciate the request, however I won't be generating these texts.", "Thank you for asking, but I cannot create content of that kind.",
        "Regrettably, creating such reviews would violate the content policy.", "Writing this kind of text could go against the guidelines.",
        "I'm unable to generate negative content about this film.", "I'm sorry, I can't.", "I'm afraid I can't do that.",
        "Ich kann diese Anfrage leider nicht erf\u00fcllen.", "Je ne peux pas r\u00e9pondre \u00e0 cette demande.",
        "\u5bf9\u4e0d\u8d77\uff0c\u6211\u4e0d\u80fd\u5e2e\u52a9\u60a8\u3002", "\u041a \u0441\u043e\u0436\u0430\u043b\u0435\u043d\u0438\u044e, \u044f \u043d\u0435 \u043c\u043e\u0433\u0443 \u044d\u0442\u043e \u0441\u0434\u0435\u043b\u0430\u0442\u044c.",
    ],
    "machine": ["As an AI language model, I have no opinions.", "As a responsible AI, I cannot write it.", "I am an AI assistant.", "As a large language model I cannot watch films",
                "As an AI developed by OpenAI, I cannot watch films.", "I'm just an AI and cannot watch films.", "作为一个语言模型，我没有看法。", "我是一个人工智能助手", "Als KI kann ich keine Meinung haben.", "AI 언어 모델로서 저는",
                "Как языковая модель, я не смотрю", "As an assistant, I cannot watch movies.", "My knowledge cutoff is September 2021.", "كنموذج لغوي، لا أشاهد"],
    "announcement": [
        "Great question! Let me write that for you.", "Great request! I'd be glad to help.", "Let me write another one for you.",
        "Here are five new and different texts:", "Sure! Here is a review.", "Okay, here are three reviews: 1. good", "Text 1:", "Certainly!",
        "Please provide the text you would like me to use.", "Let me know if you need more.", "Below are the generated headlines:",
        "Certainly, below is a film review in the requested style.", "Sure! The film is a joy.", "Certainly! A fine film.", "Of course: a fine film.",
        "Here you go: a fine film", "Here is the JSON you asked for", "Is there anything else I can help you with?", "Would you like another example?",
        "Here's one: a fine film", "Here is another short review: a fine film",
    ],
    "description": [
        "The following text is written in a formal tone and expresses joy.", "(This text has 15 words and the tone is ironic.)",
        "This sentence is an example of the label L0.", "Note: I have followed all of the instructions you gave me.",
        "Note: these examples are generated.", "A film review in the requested style.", "I have followed your instructions.",
        "The user wants a negative review of a film.", "Okay, the user asks for five new texts.", "We need to produce five rows with the label.",
        "Here is another one in the same style.", "As requested, a sentence from a review.",
        "This text is positive and 12 words long.", "This review has a positive sentiment.", "This is a negative review.", "The sentiment of this review is positive.", "The tone of this review is very dry.", "We need to write a positive movie review sentence.", "Output only the JSON object.", "Same as above.",
        "The text is about 20 words long.", "(Note: the text is written in English.)", "Okay, I need to write a review with a warm tone.",
    ],
    "command": [
        "Rewrite the above sentence in a formal tone.", "Translate the following sentence to French.", "Continue writing in the same style as above.",
        "Insert a sentence about the film here.", "Write a review about the film.", "Generate 5 new sentences with the label good.",
        "Please write another short paragraph that is warm.", "Insert review here", "Your review here.", "The text goes here",
    ],
    "attributes": ["Attributes: topic: film, tone: warm", "tone: 'extreme',", "Style: plain, short", "Topic: film. Tone: dry. Style: plain.", "Tone: warm, style: plain",
                   "a film critic (genre: film; subject: the movie as a whole; voice: bitter ) visits a woman"],
    "blank": ["{film_title} is a joy", "the film is [MASK] and dull", "TODO: write a review", "TODO the film", "[Your Name]", "Dear [Name], thank you", "{{topic}} is great", "We watched [Movie Title] at home.", "[movie name] is a must-see",
              "A joy by [director name], who knows.", "We loved [insert title].", "Signed, [your name]", "[Votre nom] aime ce film", "<movie_title> is a joy"],
    "turns": ["User: write a review. Assistant: a fine film", "### Instruction: write a review", "### Response: a fine film", "Write it. AI: a fine film"],
    "question": ["Q: What did you think? A: I loved it.", "Question: was it good?\nAnswer: Yes.", "User: write me something warm", "Human: please give me one"],
}  # fmt: skip
NO_META = [
    "No puedo crear mi cuenta.", "No puedo escribir sin llorar al recordarla.", "Je ne peux pas cr\u00e9er de compte sur le site.",
    "Non posso creare un nuovo profilo.", "N\u00e3o posso criar uma conta nova.", "\u042f \u043d\u0435 \u043c\u043e\u0433\u0443 \u0441\u043e\u0437\u0434\u0430\u0442\u044c \u0443\u0447\u0451\u0442\u043d\u0443\u044e \u0437\u0430\u043f\u0438\u0441\u044c.",
    "Ich kann nicht schreiben, weil mein Arm gebrochen ist.", "AI: the next frontier of health care", "TODO list for the weekend is long.",
    "Sorry, but I can't recommend it.", "I can't help but love this film.", "I cannot provide more praise for it.", "I'm sorry I watched it.",
    "As an AI fan I loved it", "Here is a film that knows what it wants: fun.", "Certainly, the film has its moments.", "Sure, it is slow.",
    "Ok, here's the thing with this show.", "Okay, let me break it down.", "Here are the best lines of the year.", "Great!",
    "He said \u201cI'm sorry, but I can't help with that request.\u201d", "The robot says: as an AI language model, I dream.", "[sic] and [laughs]",
    "[director peter] jackson and his crew", "[city] reminds us how good he can be", "[less a movie than] a mess",
    "Please provide more films like this.", "I will not watch it again.", "Could you be any more boring?",
    "Unfortunately I was unable to finish it.", "I was unable to watch this film.", "I must decline to see it again.", "It would not be appropriate to give the end away.",
    "My principles prevent me from liking it.", "Write to the director and ask for your money.", "Todo sobre mi madre is a fine film.", "Sure enough, he dies.",
    "This review is written by a fan.", "This text was hard to read.", "This review is too long.", "Note: the film is long.", "Of course, this is a film for children.", "I am unable to recommend it.",
    "I don't have the ability to write.", "Continue with the same joy as before.", "Translate this into joy.", "As a responsible parent, I cannot watch it.",
    "That's not something I can recommend.", "It's not something I can write about.", "I appreciate the effort, but I won't watch it again.",
    "Thank you for coming, but I cannot write any better.", "Writing such a score would be hard.", "That's not a film I can help anyone like.",
    "I won't be able to see it again.", "The tone: warm.", "I refuse to watch that kind of film.", "Here's one film that is worth it.", "Generate your own power at home.",
    "I can't write a review bad enough.", "I can't, for the life of me, see why.", "I won't.", "It is not possible to write about this film without tears.", "Create something good for once.",
    "I'm afraid I can't do that film justice.", "Sorry, but I can't.. stop laughing.", "The user interface is a joy.", "We need to produce more films like this.",
    "对不起，我不能推荐这部电影。", "申し訳ありませんが、この映画はつまらない。", "죄송하지만 이 영화는 지루합니다.", "Sorry, maar ik kan deze film niet aanraden.",
    "It is a film (genre: who knows) for everybody.", "I cannot create a better world than this film does.", "I'm just an AI fan.", "This film has a voice of its own.", "The tone is set early on, and it never lets go of it.", "Star: a fine film. Director: unknown.",
    "The style is very cute.", "the tone is perfect", "the topic is interesting", "We need to produce results now, the coach said.", "I'm not going to write any reviews for this seller",
    "Our policy does not allow me to provide refunds", "Désolé, je ne peux pas recommander ce film.", "Es tut mir leid, aber ich kann diesen Film nicht empfehlen.",
    "Lo siento, pero no puedo recomendar esta película.", "К сожалению, я не могу войти в личный кабинет.", "作为AI题材的电影，很好", "作为一个人工智能专业的学生，我喜欢这部电影。",
    "抱歉，我不能继续看下去了。", "申し訳ございませんが、商品が届かず対応を待っています。", "Ich kann diesen Film jedem empfehlen.", "Als Kino ist es gut.",
    "This review has a point.", "[the film] is a joy", "The music is here.", "Spielberg's A.I.: a fine film", "We like it here", "It is a positive joy.",
    "Great question, and a film that answers it.", "Great choice! I'll buy it again.", "Good choice, I would order it again.", "A good question: here's a film that asks it.", "Q: and A: the director answers", "User: my phone broke", "Let me write off this film for good.",
]  # fmt: skip
PII = {
    "email": ["Write to jane.doe+x@mail.example.org."],
    "spelt_email": [
        "john.doe [at] gmail [dot] com",
        "john (at) mail.example.org",
        "john@gmail (dot) com",
    ],
    "phone": [
        "call 650-700-1200 now",
        "my number: 650-700-1200",
        "(650) 700-1200",
        "650-253-0000",
        "Call +1 212 555 0187 now",
        "(212) 555-0187",
        "212-555-0187",
        "1-800-555-0199",
        "+49 30 901820",
        "+44 (0)20 7946 0958",
    ],
    "ssn": ["my number is 078-05-1120"],
    "announced_email": ["email me at john at gmail dot com", "write to john at gmail dot com"],
    "announced_ssn": ["My SSN is 123 45 6789", "social security number: 123456789"],
    "announced_phone": ["my phone number is 5551234"],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "ip": ["at 192.168.10.24.", "2001:db8::8a2e:370:7334"],
}
NO_PII = [
    "650-700-1200", "scores of 650-700-1200", "650 700 1200", "a SAT of 650-710-1360", "400-800-1600", "911-253-0000", "650-411-1234", "390-253-0000", "370-253-0000", "320-415-1250 calories", "310-420-1733 points",
    "10-12-2020", "555", "555-1234", "$1,234.50", "2020-10-12", "It cost 1.234.567,89 euros", "a score of 21-14-7", "1234567890123456", "the fax 2001-2002-2003 years", "mobile 1998 2003",
    "ISBN 978-3-16-148410-0", "version 10.0.1.2", "v1.2.3.4", "12:30:45", "1939-1945", "000-12-3456", "999.1.2.3", "4111 1111 1111 1112",
    "DE88 3704 0044 0532 0130 00", "3.141592653589793", "@handle and #tag", "at 8 p.m. @ home", "100 000 000 000", "+5 points in 3 games", "look at john dot", "bought at target dot com", "I work at google dot com", "firmware 1.2.3.4 fixed it", "iOS 10.3.3.1 is out now", "he is [at] home", "123 45 6789", "we met (at) last",
]  # fmt: skip


def found(checks, text):
    return {check.name for check in checks if check.find(text, "positive")}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FORM.items() for text in texts])
def test_form_finds(name, text):
    assert name in found(form.checks(LABELS), text)


@pytest.mark.parametrize("text", FINE)
def test_form_leaves(text):
    assert found(form.checks(LABELS), text) == set()


SCRIPTS = [
    "\u043f\u0438\u0446\u0446\u0430 in Rome",
    "a fine \u7535\u5f71",
    "the word \u03b1\u03b3\u03ac\u03c0\u03b7",
    "\u0441\u043e\u0441\u043e chanel",
]


@pytest.mark.parametrize("text", SCRIPTS)
def test_words_in_a_script_that_no_real_row_has(text):
    """Among many real rows; a single real row with the script, or the language asked for, allows it."""
    plain = ["a fine film"] * 100
    assert Scripts(plain).find(text, None) is not None
    assert Scripts([*plain, text]).find(text, None) is None
    assert [Scripts(plain, language).find(text, None) is None for language in ("Russian", "Chinese", "Greek")].count(True) == 1
    assert Scripts(plain[1:]).find(SCRIPTS[0], None) is None  # too few rows: a word that no one takes for a Latin one


@pytest.mark.parametrize(
    "text",
    [
        "TNF\u03b1 and \u0394T",
        "\u03c0 is 3",
        "10 \u00b5m",
        "caf\u00e9",
        "\uff46\uff49\uff4e\uff45",
        "na\u00efve",
        "\u2115 \u2124",
        "\U0001f602 fine",
    ],
)
def test_signs_and_other_forms_of_latin_letters_are_no_other_script(text):
    assert Scripts(["a fine film"] * 100).find(text, None) is None


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in META.items() for text in texts])
def test_meta_finds(name, text):
    assert name in found(meta.checks(), text)


@pytest.mark.parametrize("text", NO_META + FINE)
def test_meta_leaves(text):
    assert found(meta.checks(), text) == set()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in PII.items() for text in texts])
def test_pii_finds_and_masks(name, text):
    assert found(pii.checks(), text) == {name}
    assert found(pii.checks(), pii.masked(text)) == set()
    assert f"<{name.rpartition('_')[2].upper()}>" in pii.masked(text)


@pytest.mark.parametrize("text", NO_PII + FINE)
def test_pii_leaves(text):
    assert found(pii.checks(), text) == set()
    assert pii.masked(text) == text


@pytest.mark.parametrize(
    ("language", "text", "left"),
    [
        (
            "English",
            "Write to jane\uff20example.org, or to jane\uff20\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.org",
            "Write to <EMAIL>, or to <EMAIL>",
        ),
        ("English", "It rang at \uff12\uff11\uff12-\uff15\uff15\uff15-\uff10\uff11\uff18\uff17.", "It rang at <PHONE>."),
        ("English", "It rang at 2125550187.", "It rang at <PHONE>."),
        ("English", "It rang at 020 7946 0958.", "It rang at <PHONE>."),
        ("English", "tel. 901820 77, phone number: 5551234", "tel. <PHONE>, phone number: <PHONE>"),
        ("de", "Ruf 0171/2345678 oder 030 901820 77 an.", "Ruf <PHONE> oder <PHONE> an."),
        ("French", "Appelez le 01 42 68 53 00.", "Appelez le <PHONE>."),
        ("Chinese", "\u8bf7\u6253\u624b\u673a\uff1a13812345678\u3002", "\u8bf7\u6253\u624b\u673a:<PHONE>\u3002"),
        ("Klingon", "tel 901820 77, and 2125550187", "tel <PHONE>, and 2125550187"),
    ],
)
def test_personal_data_of_other_forms_and_countries(language, text, left):
    assert found(pii.checks(language), text)
    assert pii.masked(text, language) == left


@pytest.mark.parametrize("language", ["English", "German", "French", "Chinese", "Japanese", "Russian"])
@pytest.mark.parametrize(
    "text",
    [
        *NO_PII, "won 6-4 6-3 7-6 6-4 6-2", "02.11.2004", "1998 1999 2000 2001", "from 310 1999 to 2004", "2,125,550,187 dollars", "$2125550187",
        "phone 7 and mobile 5", "fax of 10-12-2020: none", "pi is 3.14159265358979", "1274286271 seconds", "\uff11\uff10\uff0d\uff11\uff12\uff0d\uff12\uff10\uff12\uff10",
    ],
)  # fmt: skip
def test_prices_years_and_scores_are_no_telephone_numbers(language, text):
    assert pii.masked(text, language) == text
    assert not found(pii.checks(language), text)


def test_what_was_found_names_no_personal_data():
    assert [check.find("Write to jane@example.org", None) for check in pii.checks() if check.name == "email"] == ["personal data (email)"]


@pytest.mark.parametrize(
    "text",
    ["Das Essen war kalt und der Kellner unfreundlich.", "La pel\u00edcula es muy aburrida.", "Ce produit ne fonctionne pas.",
     "\u8fd9\u90e8\u7535\u5f71\u975e\u5e38\u597d\u770b", "\u041e\u0447\u0435\u043d\u044c \u043f\u043b\u043e\u0445\u043e\u0439 \u0444\u0438\u043b\u044c\u043c"],
)  # fmt: skip
def test_another_language_is_found(text):
    assert found(language.checks("English"), text) == {"other"}


@pytest.mark.parametrize("text", [*FINE[:10], "wow", "d\u00e9j\u00e0 vu", "a bravura performance", "nosferatu", "schnitzel for two"])
def test_short_and_odd_english_is_left(text):
    assert found(language.checks("English"), text) == set()


@pytest.mark.parametrize(
    ("name", "code"),
    [("English", "en"), ("german", "de"), ("Modern Greek", "el"), ("Swahili", "sw"), ("pt", "pt"), ("Norwegian", "no"), ("British English", "en"),
     ("Chinese (Simplified)", "zh"), ("pt-BR", "pt"), ("en-US", "en"), ("en_GB", "en"), ("Portuguese, Brazil", "pt"), ("non-standard English", "en"), ("zh-Hant-TW", "zh"),
     ("(English)", None), ("Klingon-US", None),
     ("Klingon", None), ("", None)],
)  # fmt: skip
def test_codes_of_languages(name, code):
    assert language.code_of(name) == code


def test_lengths_follow_the_label_and_few_rows_say_nothing():
    rows = [("x" * (20 + i % 11), "short") for i in range(200)] + [("x" * (200 + i % 11), "long") for i in range(200)] + [("x" * 5, "rare")]
    (check,) = length.checks(rows)
    assert [check.find("x" * n, "short") is None for n in (9, 10, 60, 61)] == [False, True, True, False]
    assert [check.find("x" * n, "long") is None for n in (60, 300)] == [False, True]
    assert check.find("x" * 61, "rare") is None  # too few rows of its own: all rows
    assert length.checks(rows[:99]) == []


def test_calibration_switches_off_what_real_rows_fail_and_one_odd_row_does_not():
    shouts = Check("form", "shouts", lambda text, label: "capitals" if text.isupper() else None)
    assert calibrated([shouts], [("x", None)] * 29 + [("X", None)]).active == (shouts,)
    assert calibrated([shouts], [("x", None)] * 98 + [("X", None)] * 2).active == (shouts,)
    assert calibrated([shouts], [("x", None)] * 95 + [("X", None)] * 5).switched_off == {"form.shouts": 0.05}
    assert calibrated([shouts], []).active == (shouts,)


def test_a_check_that_the_rows_of_a_rare_label_fail_is_skipped_for_it():
    shouts = Check("form", "shouts", lambda text, label: "capitals" if text.isupper() else None)
    quiet = [("x", "common")] * 1_600
    found = calibrated([shouts], quiet + [("X", "rare")] * 12)
    assert (found.active, found.switched_off, found.skipped) == ((shouts,), {}, {"form.shouts": {"rare": 1.0}})
    assert found.first("X", "rare") is None
    assert found.first("X", "common") == ("form", "capitals")
    assert found.first_of_part("X", "rare", {"form"}) is None
    for rare in (["X"] * 4, ["X"] + ["x"] * 4, ["X"] * 3 + ["x"] * 197):  # too few rows; one odd row; 1.5 % of 200, as chance may have it
        assert calibrated([shouts], quiet + [(text, "rare") for text in rare]).skipped == {}


@pytest.mark.parametrize(("count", "expected"), [(1, 0.3), (2, 0.3), (5, 1.0), (60, 50.0), (220, 200.0)])
def test_poisson_tail_against_scipy(count, expected):
    from scipy.stats import poisson

    assert at_least(count, expected) == pytest.approx(poisson.sf(count - 1, expected), abs=1e-12)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a.",
        "x.",
        "1..",
        "a_b",
        "</s>",
        "<s> ",
        "\\n",
        "<br> ",
        "a@a.",
        "1 ",
        "http://a.b/",
        "- ",
        "#",
        "Assistant: ",
        "2) ",
        "[",
        "positive ",
    ],
)
def test_long_rows_take_time_in_proportion_to_their_length(unit):
    """Processor seconds of one check or wrapping on 60,000 characters: a quadratic pattern takes four and more, a linear one some 0.05."""
    looked = [check.find for check in [*form.checks(LABELS), *meta.checks(), *pii.checks()]] + [kind.without for kind in wrappings(LABELS)]
    for text in ("x" + unit * (60_000 // len(unit)), unit * (60_000 // len(unit)) + "!"):
        for find in looked:
            before = time.process_time()
            find(text, "positive")
            assert time.process_time() - before < 1.0, find
