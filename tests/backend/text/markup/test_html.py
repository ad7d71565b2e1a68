"""HTML's tags and reasoning are silent; entities are the characters they stand for."""

from __future__ import annotations

import pytest

from backend.text.markup.reader import MarkupReader
from tests.backend.text.markup.texts import said
from tests.support.reading import mask_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<b>bold</b> and <i>it</i>.", "bold and it."),
        ('a <a href="x > y">link</a>.', "a link."),
        ("H<sub>2</sub>O, x<b>y</b>z", "H2O, xyz"),
        ("m<sup>2</sup>, 10<sup>-6</sup>, 1<sup>st</sup> 2", "m², 10⁻⁶, 1st 2"),
        ("<3 a < b, <5%, x<y, x <= y, a<-b, </3", "<3 a < b, <5%, x<y, x <= y, a<-b, </3"),
        ("List<String> and vector<int> x", "List<String> and vector<int> x"),
        ("an answer<answer>42</answer> x<B>y</B>", "an answer 42 xy"),
        ("<emotion value='sad'/>Hello <unknown>there</unknown>.", "Hello there."),
        ("<script>if (a<b) { x }</script>ok", "ok"),
        ("<STYLE type='x'>p { } </style >ok", "ok"),
        ("<!-- note --> here <!-- a > b -- c --> too", "here too"),
        ("<!DOCTYPE html><html>x</html>", "x"),
        ("<?xml version='1.0'?>x", "x"),
        ("<!> <!-a <! b", "<!> <!-a <! b"),
        (
            "<https://x.example> and <me@x.org>, <www.x.org>.",
            "https://x.example and me@x.org, www.x.org.",
        ),
        ("<https://x.example not closed> b", "https://x.example not closed> b"),
        ("Tom &amp; Jerry, AT&T, R&D, a & b, a&b;", "Tom & Jerry, AT&T, R&D, a & b, a&b;"),
        ("&#39;x&#x27; &quot;y&quot; &copy; &eacute;", "'x' \"y\" © é"),
        ("&nbsp;here 100&nbsp;km 10&nbsp;000", "here 100 km 10_000"),
        ("&lt;b&gt; &shy;so&shy;ft &#0; &#xD800; &#9999999; x", "<b> soft x"),
        ("<a <b>x</b>", "<a x"),
        ("#include <stdio.h> and <sys/types.h>", "#include stdio.h and sys/types.h"),
        ("Done.<|im_end|> <|x y|> <|", "Done. < x y > <"),
        ("Line<br/>two<hr/>three", "Line two three"),
        ("open <b at the end", "open <b at the end"),
        ("open <b title='x> y", "open <b title='x> y"),
    ],
)
def test_tags_are_silent_and_text_is_not(text: str, spoken: str) -> None:
    assert said(text) == spoken


@pytest.mark.parametrize("tag", ["</p>", "<br>", "<br />", "</li>", "</h1>", "</div>", "</tr>"])
def test_a_block_ends_the_line(tag: str) -> None:
    mask = mask_text(f"one{tag}two")
    assert mask.count("\n") == 1
    assert mask.replace("\u2060", "") == "one\ntwo"


@pytest.mark.parametrize("name", ["think", "thinking", "reasoning", "THINK"])
def test_reasoning_is_silent_at_once_however_long(name: str) -> None:
    reader = MarkupReader()
    reader.push_text(f"<{name}>")
    thought = "Is 2 < 3? </b> so </thin " * 500
    assert reader.push_text(thought) == " " * len(thought)
    assert reader.push_text(f"</{name.lower()} > Yes.").strip() == "Yes."


def test_a_heading_behind_reasoning_begins_a_line() -> None:
    assert said("<think>Hm.</think># Title") == "Title"


@pytest.mark.parametrize("tag", ["<b>", "</b>", '<a href="x">', "<!-- a -->", "<br/>", "&amp;"])
def test_a_tag_split_over_messages_is_never_spoken(tag: str) -> None:
    reader = MarkupReader()
    reader.push_text("so ")
    for character in tag[:-1]:
        assert reader.push_text(character).strip() == ""
    assert reader.push_text(tag[-1]).strip(" \n\u2060") in ("", "&")
