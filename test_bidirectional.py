"""End to end: text is sent while speech is received.

Run by pytest with all other tests, or as a script that prints its measurements:

    python test_bidirectional.py [--url ws://127.0.0.1:8000/ws/tts]
"""

import asyncio
import random
import time
from typing import TypeVar

from duplex_tts import Audio, Cancelled, Context, Done, Error, Retracted, Session
from tests.support.end_to_end import (
    LLM_WORD_S,
    FigureTable,
    ReceivedSpeech,
    assert_accounted,
    find_checks,
    receive_speech,
    run_as_script,
    speak_text,
    split_words,
    write_text,
)

STORY = (
    "When the last train had left the station, the old clock above the door began to strike "
    "again, although nobody had wound it for years. Two children who were waiting for their "
    "uncle looked up, counted thirteen strokes, and decided to tell no one about it."
)
MESSY = (
    "  Dr. Smith's e-mail is dr.smith@example.org… He paid $3.2 billion at 9:30 a.m. on "
    "**Monday**, or 3.14 % less!\n\n🙂👩‍👩‍👧 ... \u200b— «ça va»? 你好。 3rd, 4/5/2021 etc.\t"
)
EMPTY = ["", "   ", "\n\n", "🙂", "...", "*** ---", "\u0007\u200b"]

EventType = TypeVar("EventType", Audio, Retracted)


def format_ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


async def test_first_audio_arrives_before_the_last_text(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        speech = await speak_text(await session.start(), split_words(STORY), LLM_WORD_S)
    assert_accounted(speech, len(STORY))
    lead_s = speech.last_push_s - speech.first_sound_s
    assert lead_s > 0
    assert speech.ttfa_s < 1.0
    figures.add_row("first sound after the first word", format_ms(speech.ttfa_s), "< 1000 ms")
    figures.add_row("first sound before the last word", format_ms(lead_s), "> 0 ms")


async def test_audio_has_word_offsets_and_times(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        speech = await speak_text(await session.start(mode="batch"), [STORY])
    spoken = [
        STORY[word.start : word.end].strip() for event in speech.audio for word in event.words
    ]
    assert [word.strip(",.") for word in spoken] == [word.strip(",.") for word in STORY.split()]
    last = speech.audio[-1].words[-1]
    assert last.end_ms <= speech.duration_s * 1000 + 1


async def test_contexts_speak_concurrently_each_in_order(url: str, figures: FigureTable) -> None:
    texts = [f"Number {number} speaks now. {STORY}" for number in ("one", "two", "three", "four")]
    async with Session.connect(url) as session:
        contexts = [await session.start() for _ in texts]
        speeches = await asyncio.gather(
            *(
                speak_text(context, split_words(text), LLM_WORD_S)
                for context, text in zip(contexts, texts, strict=True)
            )
        )
    for speech, text in zip(speeches, texts, strict=True):
        assert_accounted(speech, len(text))
    last_start_s = max(speech.first_sound_s for speech in speeches)
    first_end_s = min(speech.arrivals_s[-1] for speech in speeches)
    assert last_start_s < first_end_s
    worst_s = max(speech.ttfa_s for speech in speeches)
    figures.add_row(f"first sound, slowest of {len(texts)} at once", format_ms(worst_s))


async def test_typed_characters_are_spoken_in_whole_words(url: str, figures: FigureTable) -> None:
    typed = "Good morning, could I have a coffee please?"
    async with Session.connect(url) as session:
        speech = await speak_text(await session.start(), list(typed), period_s=0.08)
    assert_accounted(speech, len(typed))
    assert speech.first_sound_s < speech.last_push_s
    for event in speech.audio[:-1]:
        end = event.text[1]
        assert not (typed[end - 1].isalnum() and typed[end].isalnum()), typed[:end]
    figures.add_row("typed, 12 characters a second: first sound", format_ms(speech.ttfa_s))


async def test_a_writing_pause_releases_the_last_word(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        started_s = time.perf_counter()
        await context.push("Wait for it ")
        while (await next_audio(context)).text[1] < len("Wait for it"):
            pass
        figures.add_row(
            "text without an end: all spoken after", format_ms(time.perf_counter() - started_s)
        )
        await context.push("now.")
        await context.end()
        rest = await receive_speech(context, ReceivedSpeech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == len("Wait for it now.")


async def test_flush_speaks_a_half_written_word(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("Hello there wor")
        started_s = time.perf_counter()
        await context.flush()
        while (await next_audio(context)).text[1] < len("Hello there wor"):
            pass
        figures.add_row("flushed and spoken after", format_ms(time.perf_counter() - started_s))
        await context.push("ld, this is the rest.")
        await context.end()
        rest = await receive_speech(context, ReceivedSpeech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == len("Hello there world, this is the rest.")


async def test_unspoken_text_can_be_retracted(url: str, figures: FigureTable) -> None:
    first = "While this is heard, and it takes some seconds to hear all of it, the rest has time. "
    kept = first + "Please call Anna at once"
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push(kept + " and tell her")
        await context.retract(len(kept))
        answer = await next_of(Retracted, context)
        assert answer.to == len(kept)
        await context.push(" to come home.")
        await context.end()
        rest = await receive_speech(context, ReceivedSpeech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == len(kept + " to come home.")


async def test_spoken_text_cannot_be_retracted(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("This is said. And this is not finished")
        while (await next_audio(context)).text[1] < len("This is said."):
            pass
        await context.retract(0)
        answer = await next_of(Retracted, context)
        assert answer.to >= len("This is said.")
        await context.end()
        rest = await receive_speech(context, ReceivedSpeech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == answer.to


async def test_no_audio_follows_a_cancel(url: str, figures: FigureTable) -> None:
    cancel_times_s = []
    async with Session.connect(url) as session:
        for _ in range(10):
            context = await session.start()
            for word in split_words(STORY):
                await context.push(word)
            heard = [await next_audio(context) for _ in range(2)]
            started_s = time.perf_counter()
            await context.cancel()
            rest = await receive_speech(context, ReceivedSpeech())
            cancel_times_s.append(time.perf_counter() - started_s)
            heard += rest.audio
            assert isinstance(rest.end, Cancelled)
            assert rest.end.text_to == heard[-1].text[1]
            assert abs(rest.end.audio_ms - sum(event.duration_ms for event in heard)) < 1
            # The session raises for audio after a context's end; the pong would follow it.
            await session.ping()
        again = await speak_text(await session.start(mode="batch"), ["And now something else."])
    assert_accounted(again, len("And now something else."))
    assert max(cancel_times_s) < 0.5
    figures.add_row(
        "cancel to its answer, slowest of 10", format_ms(max(cancel_times_s)), "goal: 20 ms"
    )


async def test_audio_is_paced_by_played_reports(url: str, figures: FigureTable) -> None:
    sentences = split_words((STORY + " ") * 3)

    async def receive_2_s(*, reports: bool) -> float:
        """Seconds of speech received within two seconds, without an end of the text."""
        heard_s = 0.0
        async with Session.connect(url) as session:
            context = await session.start()
            for word in sentences:
                await context.push(word)
            try:
                async with asyncio.timeout(2):
                    async for event in context:
                        if isinstance(event, Audio):
                            heard_s += event.duration_ms / 1000
                            if reports:
                                await context.played(heard_s * 1000)
            except TimeoutError:
                await context.cancel()
        return heard_s

    unreported_s, reported_s = (
        await receive_2_s(reports=False),
        await receive_2_s(reports=True),
    )
    assert unreported_s < 20
    assert reported_s > unreported_s
    figures.add_row("sent within 2 s without `played`", f"{unreported_s:.1f} s")
    figures.add_row("sent within 2 s, all of it reported as played", f"{reported_s:.1f} s", "more")


async def test_characters_are_spoken_once_however_text_is_split(
    url: str, figures: FigureTable
) -> None:
    rng = random.Random(2)
    async with Session.connect(url) as session:
        for _ in range(5):
            split_points = sorted(rng.sample(range(1, len(MESSY)), rng.randrange(1, 40)))
            bounds = zip([0, *split_points], [*split_points, len(MESSY)], strict=True)
            pieces = [MESSY[start:end] for start, end in bounds]
            assert_accounted(
                await speak_text(await session.start(mode="batch"), pieces), len(MESSY)
            )
            assert_accounted(await speak_text(await session.start(), pieces, 0.002), len(MESSY))
    figures.add_row("messy text, randomly split: characters accounted for", "all", "all")


async def test_text_without_sound_is_accounted_for(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        for text in EMPTY:
            assert_accounted(await speak_text(await session.start(), [text]), len(text))


async def test_a_refused_context_leaves_others_undisturbed(url: str, figures: FigureTable) -> None:
    async with Session.connect(url) as session:
        good = await session.start()
        speech = ReceivedSpeech()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write_text(good, split_words(STORY), 0.01, speech))
            tasks.create_task(receive_speech(good, speech))
            refused = [event async for event in await session.start(voice="no such voice")]
    assert [event.code for event in refused if isinstance(event, Error)] == ["unknown_voice"]
    assert_accounted(speech, len(STORY))


async def next_audio(context: Context) -> Audio:
    return await next_of(Audio, context)


async def next_of(kind: type[EventType], context: Context) -> EventType:
    """The next event of a type; drops other events, fails on errors."""
    async for event in context:
        assert not isinstance(event, Error), event
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the context ended without {kind.__name__}")


if __name__ == "__main__":
    run_as_script("Bidirectional streaming", find_checks(globals()))
