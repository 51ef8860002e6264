"""Encodings told from bytes: Western text is read, what is in another encoding is refused with the words that it would have in likely ones."""

import pytest

from synalign_spark.errors import DataError
from synalign_spark.spark.encodings import encoding_of, likely, utf8_told, western_told
from tests.languages import ARABIC, CHINESE, JAPANESE, THAI

WESTERN = [
    "il va à Paris et à Rome\nsouvent « non » à 5 € – à voir", "il va à Paris", "questo è buono e quello è male\nè vero", "en ö i en å och ö",
    "uno ó otro ¿qué? ¡sí!", "20 ° C or 5 £ or 3 ½", "«CAFÉ» à côté, déjà vu, élève « ÉTÉ » naïve",
    "Der Film war schön, aber das Ende enttäuschte.", "O filme não é ruim, mas a atuação decepciona.", "Filmen er god, selv om slutningen på øen er lang.",
    "Elokuva on todella hyvä, vaikka loppu on hieman pitkä.", "Film on väga hea, kuigi lõpp on veidi liiga pikk.", "Jürgen met Zoë at the café",
]  # fmt: skip
ELSEWHERE = [
    ("zażółć gęślą jaźń, że łódź była żółta", "cp1250"), ("zażółć gęślą jaźń, że łódź była żółta", "iso-8859-2"),
    ("Film byl velmi dobrý, i když konec byl příliš dlouhý, řekl Jiří.", "cp1250"), ("Film çok iyiydi, ancak sonu biraz uzundu, dedi Işıl.", "cp1254"),
    ("A film nagyon jó volt, bár a vége túl hosszú, mondta Győző.", "cp1250"), ("Filmas buvo geras, nors pabaiga buvo per ilga, pasakė Jūratė.", "cp1257"),
    ("Filmul a fost foarte bun, deşi sfârşitul a fost prea lung.", "cp1250"), ("Film był dobry, chociaż zbyt długi, powiedział Łukasz.", "cp1250"),
    ("и а у в привет и а у друг", "cp1251"), ("и а у в привет и а у друг", "koi8-r"), ("η ο το καλό είναι", "iso-8859-7"),
]  # fmt: skip


@pytest.mark.parametrize("text", WESTERN)
def test_western_text_is_told_by_letters_that_stand_alone_too(text):
    found = {name: encoding_of(text.encode(name), "x", "source") for name in ("cp1252", "utf-8")}
    assert found == {"cp1252": "windows-1252", "utf-8": "utf-8"}


@pytest.mark.parametrize(("text", "encoding"), ELSEWHERE)
def test_text_of_other_encodings_is_not_taken_for_western(text, encoding):
    with pytest.raises(DataError, match=r"source.encoding: 'x' is not UTF-8"):
        encoding_of(text.encode(encoding), "x", "source")


SHORT = [("Příliš žluťoučký kůň", "cp1250"), ("dům", "cp1250"), ("café", "cp850")]


@pytest.mark.parametrize(("text", "encoding"), SHORT)
def test_a_few_words_that_no_western_language_has_are_refused_with_what_they_are(text, encoding):
    name = {"cp850": "CP850"}.get(encoding, "WINDOWS-1250")
    with pytest.raises(
        DataError, match=rf"not those of windows-1252.* as {name} it has '{text.split()[0]}.*iconv -f {name} .*set source.encoding"
    ):
        encoding_of(text.encode(encoding), "x", "source")


@pytest.mark.parametrize(
    ("text", "encoding", "other"),
    [("że źle mówią", "cp1250", "źle, mówią"), ("nő, erdő", "cp1250", "nő, erdő"), ("perché è così", "cp1252", "cosě")],
)
def test_a_few_words_that_may_be_of_two_encodings_are_said_in_both(text, encoding, other):
    block = text.encode(encoding)
    told = western_told(block, block.decode("cp1252"), "source")
    assert told["encoding"] == "windows-1252, a guess"
    assert f"as WINDOWS-1250 {other!r}" in told["encoding_guessed"]
    assert "set source.encoding to windows-1252" in told["encoding_guessed"]


@pytest.mark.parametrize("text", ["¿cómo está el niño?", "jalapeño crème brûlée", "smörgåsbord", "voilà à côté où déjà", "Grüße, müde"])
def test_words_of_one_language_alone_are_no_guess(text):
    block = text.encode("cp1252")
    assert western_told(block, text, "source")["encoding"] == "windows-1252"


KOREAN = [("이 식당 음식은 정말 맛있고 직원도 친절해요.", "good"), ("배송이 사흘이나 걸렸고 포장도 찢어졌어요.", "bad")]
TAIWANESE = [("這家餐廳的菜很好吃，服務員也很熱情。", "good"), ("快遞三天才到，包裝也破了。", "bad")]
RUSSIAN = [("Еда в этом ресторане очень вкусная.", "good"), ("Фильм слишком длинный, я уснул.", "bad")]
OF_SCRIPTS = [
    (CHINESE, "gbk", "GB18030"), (CHINESE, "gb18030", "GB18030"), (TAIWANESE, "big5", "BIG5-HKSCS"), (JAPANESE, "shift_jis", "CP932"),
    (JAPANESE, "euc_jp", "EUC-JP"), (KOREAN, "euc_kr", "CP949"), (RUSSIAN, "cp1251", "WINDOWS-1251"), (RUSSIAN, "koi8_r", "KOI8-R"),
    (RUSSIAN, "cp866", "CP866"), (THAI, "cp874", "CP874"), (ARABIC, "cp1256", "WINDOWS-1256"),
]  # fmt: skip


@pytest.mark.parametrize("shape", ["csv", "short", "beside English", "cut"])
@pytest.mark.parametrize(("rows", "codec", "name"), OF_SCRIPTS)
def test_text_of_another_script_is_refused_with_its_words_in_the_encoding_that_it_is_in(rows, codec, name, shape):
    written = {
        "csv": "".join(f"{text},{label}\n" for text, label in rows),
        "short": rows[0][0],
        "beside English": "".join(f"I have seen {i} films: {text},{label}\n" for i, (text, label) in enumerate(rows)),
        "cut": "".join(text for text, _ in rows * 9),
    }[shape]
    block = written.encode(codec, errors="replace")[: -1 if shape == "cut" else None]  # as the first megabyte of a file may be
    with pytest.raises(DataError, match=rf"source.encoding: 'x' is not UTF-8, .* as {name} it has '.*iconv -f ENCODING"):
        encoding_of(block, "x", "source")
    seen = likely(block)[name]
    assert seen in " ".join("".join(one if one > "\x7f" else " " for one in written).split())


@pytest.mark.parametrize("codec", ["mac_roman", "cp850"])
def test_western_text_of_the_macintosh_and_of_dos_is_refused_with_its_words(codec):
    block = "Le thé était très bon, déjà préféré à côté.".encode(codec)
    name = {"mac_roman": "MACINTOSH", "cp850": "CP850"}[codec]
    with pytest.raises(DataError, match=f"as {name} it has 'thé, était, très'"):
        encoding_of(block, "x", "source")


@pytest.mark.parametrize("codec", ["iso2022_jp", "iso2022_kr"])
def test_text_that_is_written_in_ascii_alone_is_told_by_its_signs(codec):
    block = {"iso2022_jp": JAPANESE, "iso2022_kr": KOREAN}[codec][0][0].encode(codec)
    assert block.isascii()
    with pytest.raises(DataError, match=r"source.encoding: 'x' has the signs by which ISO-2022 .*iconv -f ISO-2022-JP"):
        encoding_of(block, "x", "source")
    with pytest.raises(DataError, match=r"source.path: 'x' has the signs by which ISO-2022") as caught:
        utf8_told(block, "x", "jsonl", "source")
    assert "set source.encoding" not in str(caught.value)
    assert encoding_of(b"\x1b[31mred\x1b[0m costs \x1b$5", "x", "source") == "utf-8"


def test_utf_8_of_which_a_few_bytes_are_broken_is_utf_8():
    for rows in (CHINESE, JAPANESE, THAI, RUSSIAN):
        block = "".join(f"{text},{label}\n" for text, label in rows).encode()
        assert encoding_of(block, "x", "source") == "utf-8"
        assert encoding_of(block[:40] + b"\xff\xfe" + block[41:], "x", "source") == "utf-8"
