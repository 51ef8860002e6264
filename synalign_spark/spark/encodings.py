"""Encodings of text files, told from their first block by rule, and by the language that the text would be in."""

import codecs
import re

from synalign_spark.detector import detector
from synalign_spark.errors import DataError
from synalign_spark.spark.readings import readings, shown

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
SPARK_ENCODINGS = {"utf-8": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32", "latin-1": "ISO-8859-1", "windows-1252": "ISO-8859-1"}
# What windows-1252 has where Latin-1 has control characters, which no text holds.
WESTERN = 0.8  # of the bytes that are not ASCII, in Western text
STRAY = 0.2  # of them, that make characters of UTF-8 by chance, or that no Western word has within
C1 = "".join(map(chr, range(0x80, 0xA0)))
WINDOWS = bytes(range(0x80, 0xA0)).decode("cp1252", errors="replace")
_VALID = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# Beside a letter, a digit or a mark; and, with none of its kind beside it, what stands alone in Western text: words such as "à", "é" and "ö", and signs.
_ALONE = "àÀáÁèÈéÉìÌíÍòÒóÓôÔöÖùÙúÚåÅýÝ€…‘’“”•–—™£§©«®°±»¼½¾×÷".encode("cp1252")
_WESTERN = re.compile(
    rb"(?<=[A-Za-z0-9,.!?])[\x80-\xff]|[\x80-\xff](?=[A-Za-z0-9,.!?])|(?<![\x80-\xff])[" + re.escape(_ALONE) + rb"](?![\x80-\xff])"
)
# Signs within a word: letters of Central European encodings, and of those of DOS and of the Macintosh.
_NOT_WESTERN = re.compile(
    rb"(?<=[a-z])[\x81-\x84\x86-\x8b\x8d-\x91\x93\x94\x98\x99\x9b\x9d\x9f\xa1-\xa6\xa8-\xac\xae\xaf\xb1-\xb3\xb5\xb6\xb8\xb9\xbb-\xbf](?=[a-z])"
)
_SHIFTED = re.compile(rb"\x1b\$[@AB)]")  # by which ISO-2022 makes ASCII stand for other characters

# Languages that windows-1252 has not the letters of, by their codes, and what their texts in 8 bits are mostly written in.
OTHERS = {
    **dict.fromkeys(("cs", "sk", "pl", "hu", "ro", "hr", "sr", "bs", "sl"), "WINDOWS-1250"), "tr": "WINDOWS-1254", "lt": "WINDOWS-1257",
    "lv": "WINDOWS-1257", "vi": "WINDOWS-1258",
}  # fmt: skip
# What texts in other scripts are written in where they are not UTF-8: by Python's name, iconv's name, and the languages that it is for.
SCRIPTS = (
    ("gb18030", "GB18030", ("zh",)), ("big5hkscs", "BIG5-HKSCS", ("zh", "yue")), ("cp932", "CP932", ("ja",)), ("euc_jp", "EUC-JP", ("ja",)),
    ("cp949", "CP949", ("ko",)), ("cp1251", "WINDOWS-1251", ("ru", "uk", "bg", "be", "sr", "mk")), ("koi8_r", "KOI8-R", ("ru",)),
    ("cp866", "CP866", ("ru",)), ("cp1253", "WINDOWS-1253", ("el",)), ("cp1255", "WINDOWS-1255", ("he",)),
    ("cp1256", "WINDOWS-1256", ("ar", "fa", "ur")), ("cp874", "CP874", ("th",)),
)  # fmt: skip
LATIN = (("cp1250", "WINDOWS-1250"), ("mac_roman", "MACINTOSH"), ("cp850", "CP850"))  # of texts in Latin letters, which no rule tells apart
SURE = 0.9  # of the languages of one of these encodings together
LIKELY = 0.4  # of them, to be named beside others
LANGUAGE_CHARS = 5_000  # of lines that are not ASCII alone
SCRIPT_CHARS = 500  # that are not ASCII: they tell a script soon, and are looked at in many encodings
NULS = 0.1  # of the bytes: a tenth of them and more is UTF-16 or UTF-32 without its mark, or no text
SHOWN = 3
WORDS_SHOWN = 11  # characters
_IN_A_SCRIPT = re.compile(r"([A-Za-z]?)([^\x00-\x7f]+)(?=([A-Za-z]?))")


def encoding_of(block: bytes, name: str, field: str) -> str:
    """The encoding of a file by its first block.

    UTF-8 where most bytes that are not ASCII are of its characters (nearly all, where they read as text of another encoding), or there are none; windows-1252 where nearly all of them stand as in Western text
    and its language is none that windows-1252 lacks letters of. Raises DataError where it is another, or cannot be told.

    >>> encoding_of("naïve".encode(), "x", "source"), encoding_of("naïve".encode("latin-1"), "x", "source")
    ('utf-8', 'windows-1252')
    """
    if (found := mark_of(block)) is not None:
        return found
    if block.count(0) > NULS * len(block):
        raise DataError(
            f"{field}.encoding: {name!r} has NULs among its characters, as UTF-16 has, and no byte order mark that says so; convert it: "
            f"iconv -f {_unmarked(block)} -t UTF-8"
        )
    if _SHIFTED.search(block):
        raise DataError(
            f"{field}.encoding: {name!r} has the signs by which ISO-2022 makes ASCII stand for other characters; set {field}.encoding, or convert it: "
            "iconv -f ISO-2022-JP (or ISO-2022-KR, ISO-2022-CN-EXT) -t UTF-8"
        )
    high = sum(byte >= 0x80 for byte in block)
    valid = sum(len(found.group()) for found in _VALID.finditer(block))
    if valid >= (1 - STRAY) * high or (2 * valid >= high and not _in_scripts(block)):
        return "utf-8"
    if max(valid, len(_NOT_WESTERN.findall(block))) <= STRAY * high and len(_WESTERN.findall(block)) >= WESTERN * high:
        _refuse_other_languages(block, name, field)
        _refuse_other_readings(block, name, field)
        return "windows-1252"
    if high < 4:
        return "utf-8"  # a few broken bytes: rows of their own, to be rejected
    raise DataError(
        f"{field}.encoding: {name!r} is not UTF-8{_said_of(likely(block))}; set {field}.encoding, or convert it: iconv -f ENCODING -t UTF-8"
    )


def mark_of(block: bytes) -> str | None:
    """The encoding that a byte order mark names; None without one."""
    return next((found for mark, found in MARKS if block.startswith(mark)), None)


def require_mark(block: bytes, encoding: str, name: str, field: str) -> None:
    """Raises DataError for UTF-16 and UTF-32 without a byte order mark: which byte comes first would be guessed, and not by all readers alike."""
    if encoding in ("utf-16", "utf-32") and block and mark_of(block) != encoding:
        raise DataError(
            f"{field}.encoding: {name!r} has no byte order mark of {encoding}, as {field}.encoding says; convert it: "
            f"iconv -f {_unmarked(block, encoding)} -t UTF-8"
        )


def _unmarked(block: bytes, encoding: str | None = None) -> str:
    """iconv's name of UTF-16 or UTF-32 without a mark: its NULs are what is above ASCII, before the letters or behind them.

    >>> _unmarked("text".encode("utf-16-be")), _unmarked("text".encode("utf-16-le")), _unmarked("text".encode("utf-32-be"))
    ('UTF-16BE', 'UTF-16LE', 'UTF-32BE')
    """
    name = encoding or ("utf-32" if block.count(0) > len(block) / 2 else "utf-16")
    unit = 4 if name == "utf-32" else 2
    return f"{name.upper()}{'BE' if block[::unit].count(0) > block[unit - 1 :: unit].count(0) else 'LE'}"


def utf8_told(block: bytes, name: str, kind: str, field: str) -> dict[str, str]:
    """What there is to say of a file of a format that is read as UTF-8 alone: bytes of windows-1252, whose rows will be rejected.

    Raises DataError where it is in another encoding as a whole."""
    try:
        found = encoding_of(block, name, field)
    except DataError as err:
        raise DataError(str(err).replace(f"{field}.encoding:", f"{field}.path:").replace(f"set {field}.encoding, or ", "")) from err
    if found in ("utf-16", "utf-32"):
        raise DataError(f"{field}.path: {name!r} is {found}, and {kind} is read as UTF-8; convert it: iconv -f {found.upper()} -t UTF-8")
    if found == "utf-8":
        return {}
    others = "".join(f" (or {other}, as which they are of {words!r})" for other, words in readings(block)[0].items())
    return {"encoding": f"utf-8, though some bytes look like windows-1252{others}: iconv -f WINDOWS-1252 -t UTF-8"}


def western_told(block: bytes, text: str, field: str) -> dict[str, str]:
    """What there is to say of a text that is taken for windows-1252: some of its words, and what they would be in other encodings that fit as well."""
    told = {"encoding": "windows-1252"}
    if words := as_in(text):
        told["encoding_as_in"] = words
    if others := readings(block)[0]:
        told["encoding"] = "windows-1252, a guess"
        said = ", ".join(f"as {name} {words!r}" for name, words in others.items())
        told["encoding_guessed"] = (
            f"as windows-1252 it has {words!r}, {said}; where these are right, convert it (iconv -f {next(iter(others))} -t UTF-8), else set "
            f"{field}.encoding to windows-1252"
        )
    return told


def as_in(text: str) -> str:
    """The first words of a text that are not ASCII alone, by which a person sees whether its encoding is right.

    >>> as_in("a naïve café; so naïve, “no”")
    'naïve, café'
    """
    words = (found.group() for found in re.finditer(r"\w*[^\W\x00-\x7f]\w*", text))
    return shown(words)


def likely(block: bytes) -> dict[str, str]:
    """The encodings that a text may be in, the likeliest first, each with its first words in it: a person sees which are right.

    >>> likely("这家面馆的汤很鲜，老板也特别热情。".encode("gb18030"))["GB18030"]
    '这家面馆的汤很鲜，老板'
    """
    return _in_scripts(block) or {name: words for codec, name in LATIN if (words := as_in(_decoded(block, codec)))}


def _in_scripts(block: bytes) -> dict[str, str]:
    found: list[tuple[float, str, str]] = []
    for codec, name, languages in SCRIPTS:
        runs = _IN_A_SCRIPT.findall(_decoded(block, codec))
        if not runs or 2 * sum(bool(before or after) for before, _, after in runs) > len(runs):
            continue  # letters within Latin words are of no other script
        words = " ".join(run for _, run, _ in runs)[:SCRIPT_CHARS]
        share = sum(float(share) for code, share in detector().rank(words) if code in languages)
        if share >= LIKELY:
            found.append((share, name, words[:WORDS_SHOWN]))
    return {name: words for _, name, words in sorted(found, key=lambda one: -one[0])[:SHOWN]}


def _decoded(block: bytes, codec: str) -> str:
    """A block, which may end within a character, in an encoding; empty where it is none of it."""
    try:
        return codecs.getincrementaldecoder(codec)().decode(block)
    except UnicodeDecodeError:
        return ""


def _said_of(candidates: dict[str, str]) -> str:
    if not candidates:
        return ", and what it is cannot be told"
    read = ", ".join(f"as {name} it has {words!r}" for name, words in candidates.items())
    return f", and what it is cannot be told for sure: {read}"


def _refuse_other_readings(block: bytes, name: str, field: str) -> None:
    """Raises DataError where most of the words that windows-1252 and another encoding read otherwise are of no Western language, and all of the other's are
    of one language."""
    others, against = readings(block)
    if against:
        raise DataError(
            f"{field}.encoding: {name!r} is not UTF-8, and its words are not those of windows-1252{_said_of(others)}; convert it: iconv -f "
            f"{next(iter(others))} -t UTF-8, or set {field}.encoding to windows-1252 where it is that"
        )


def _refuse_other_languages(block: bytes, name: str, field: str) -> None:
    """Raises DataError for a text whose language is surely one that windows-1252 has not the letters of."""
    lines = [line for line in block.decode("cp1252", errors="replace").splitlines() if not line.isascii()]
    shares: dict[str, float] = {}
    for code, share in detector().rank("\n".join(lines)[:LANGUAGE_CHARS]):
        if code in OTHERS:
            shares[OTHERS[code]] = shares.get(OTHERS[code], 0.0) + float(share)
    likeliest = max(shares, key=lambda encoding: shares[encoding])
    if shares[likeliest] >= SURE:
        raise DataError(
            f"{field}.encoding: {name!r} is not UTF-8, and its language is one that is written in {likeliest} rather than in windows-1252; convert it: "
            f"iconv -f {likeliest} -t UTF-8, or set {field}.encoding to windows-1252 where it is that"
        )
