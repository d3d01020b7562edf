"""Names from hell: what people, rigs and attackers call their files.  Strategies for Hypothesis.

`legal` are names that every store of ours must carry byte for byte; `illegal` are those that must be refused, by
name, before a byte moves.
"""

import re
import unicodedata

from hypothesis import strategies as st

LONGEST = 255  # bytes of a name on every disk we know

NASTY = [
    *(
        "$(touch x)",
        "`id`",
        "${HOME}",
        "$HOME",
        ";rm x",
        "&&",
        "|",
        "<",
        ">",
        "!!",
        "^",
        "~",
        "~root",
        "*",
        "?",
    ),
    *("[a-z]", "{a,b}", "'", '"', "''", '"$x"', "#", "%", "%2F", "%00", "%0a", "%%", "&", "+", "=", ",", "@"),
    *(
        "-rf",
        "--help",
        "-",
        " ",
        "  ",
        ".",
        "..",
        "...",
        ":",
        "::",
        "C",
        "file name (123 bytes)",
        "226 Done.",
    ),
    *(
        "🧠",
        "👩‍🔬",
        "é",
        "e\u0301",
        "Å",
        "A\u030a",
        "ﬁ",
        "ß",
        "İ",
        "数据",
        "Ω",
        "\u202e",
        "שלום",
        "\u200f",
        "\ufeff",
    ),
    *(
        "\u00a0",
        "\u2028",
        "\u2029",
        "\x85",
        "\u200b",
        "\u0300",
        "\uffff",
        "\U0010ffff",
        "type=dir; x",
        ".part",
    ),
]
FORBIDDEN = [
    "\n",
    "\r",
    "\r\n",
    "\0",
    "\t",
    "\x1b[31m",
    "\x07",
    "\x7f",
    "\\",
    "..\\",
    "/",
    "../",
    "/etc/passwd",
]

_PIECES = st.one_of(
    st.sampled_from(NASTY),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="/\\\x7f" + "".join(map(chr, range(32)))),
        min_size=1,
        max_size=8,
    ),
)


def _cut(name: str) -> str:
    """At most as long as a disk takes, cut between letters."""
    return name.encode()[:LONGEST].decode(errors="ignore")


def _is_one_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and re.match("[A-Za-z]:", name) is None


short = st.lists(_PIECES, min_size=1, max_size=5).map("".join).map(_cut).filter(_is_one_name)
long = (
    st.lists(_PIECES, min_size=1, max_size=5)
    .map(lambda some: _cut("".join(some) * LONGEST))
    .filter(_is_one_name)
)
legal = st.one_of(short, short, short, long)
twins = short.map(lambda name: [unicodedata.normalize(form, name) for form in ("NFC", "NFD")])


@st.composite
def illegal(draw: st.DrawFn) -> str:
    """A name with something in it that no part of a path may have."""
    return draw(short) + draw(st.sampled_from(FORBIDDEN)) + draw(short | st.just(""))


def batches(count: int = 20) -> st.SearchStrategy[list[str]]:
    """So many names that differ from one another, some of them only in how their accents are written."""
    some = st.lists(legal, min_size=count, max_size=count, unique=True)
    return st.tuples(some, twins).map(lambda pair: list(dict.fromkeys([*pair[1], *pair[0]])))
