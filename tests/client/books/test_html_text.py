import pytest

from duplex_tts.books.html_text import extract_text


def text_of(body: str) -> str:
    return extract_text(f"<html><head><title>T</title></head><body>{body}</body></html>").text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>One\n  two</p><p>three</p>", "One two\n\nthree\n\n"),
        ("<h1>A <i>title</i></h1>text<div>more</div>", "A title\n\ntext\n\nmore\n\n"),
        ("a<b>b</b>c &amp; d&nbsp;e &mdash; &#233;", "abc & d e — é\n\n"),
        ("one<br/>two<br>three", "one\ntwo\nthree\n\n"),
        ("<ul><li>one</li><li>two</li></ul>", "one\n\ntwo\n\n"),
        ("<table><tr><td>a</td> <td>b</td></tr><tr><td>c</td></tr></table>", "a, b\n\nc\n\n"),
        ("<script>x</script><style>y</style><p>z</p>", "z\n\n"),
        ("<p>a<!-- <no> -->b</p><p></p><hr/>", "ab\n\n"),
        ("<p>unclosed<p>tags &unknown; <", "unclosed\n\ntags &unknown; <\n\n"),
        ("<ruby>漢<rt>かん</rt></ruby>字", "漢字\n\n"),
        ("<p hidden='hidden'>a</p><p style='display: none'>b</p><p>c</p>", "c\n\n"),
        ("<p aria-hidden='true'>a</p>b", "b\n\n"),
        ("<h1><img src='x' alt='Chapter One'/></h1><img alt='no'/>b", "Chapter One\n\nb\n\n"),
        ("<h²>a</h²><h99>b</h99>", "a\n\nb\n\n"),
        ("<![if x]>a<![endif]><![x[y]]> b", "a b\n\n"),
        ("<p>a <![CDATA[b < c]]> d</p>", "a b < c d\n\n"),
        ("مرحبا <b>بالعالم</b>", "مرحبا بالعالم\n\n"),
    ],
)
def test_paragraphs_become_text(body: str, text: str) -> None:
    assert text_of(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("end.<a href='#n1' epub:type='noteref'>1</a> Next", "end. Next"),
        ("end.<sup><a href='n.xhtml#n1'>12</a></sup> Next", "end. Next"),
        ("end<a href='#n1'><sup>*</sup></a> next", "end next"),
        ("end<a href='#n1'>[3]</a>, next", "end, next"),
        ("end.<sup>4</sup> Next", "end. Next"),
        ("see page <a href='#p12'>12</a>.", "see page 12."),
        ("x<sup>2</sup> and 10<sup>6</sup>", "x2 and 106"),
        ("see <a href='#c2'>Chapter 2</a>", "see Chapter 2"),
        ("a <span epub:type='pagebreak'>12</span>b", "a b"),
        ("a <span class='pagenum'>[Pg 12]</span>b", "a b"),
        ("a <span role='doc-pagebreak'>12</span>b", "a b"),
        ("a<aside epub:type='footnote'>1. note</aside>", "a"),
        ("<section id='pg-header'>Gutenberg</section>a", "a"),
    ],
)
def test_note_marks_and_page_numbers_are_not_read(body: str, text: str) -> None:
    assert text_of(body).strip() == text


def test_anchors_and_headings_have_text_offsets() -> None:
    html = extract_text("<p>one</p><h2 id='two'>Two <i>!</i></h2><p>a <a id='x'/>b</p>")
    assert html.text == "one\n\nTwo !\n\na b\n\n"
    assert html.anchors["two"] == 5
    assert html.text[html.anchors["x"] :].strip() == "b"
    assert [(each.offset, each.level, each.text) for each in html.headings] == [(5, 2, "Two !")]


def test_a_document_has_the_types_of_its_beginning() -> None:
    page = "<body><section epub:type='copyright-page'><p>©</p><p role='doc-tip'>x</p></section>"
    assert extract_text(page).types == ["copyright-page"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["<", "<!", "<a ", "<!--", "<![CDATA[", "<a href='", "&", "<p>", "<sup>1</sup>x"]
)
def test_damaged_documents_take_no_longer_than_others(piece: str) -> None:
    extract_text("<p>text</p>" + piece * 50_000)
