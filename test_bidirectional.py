"""End to end: text goes up while speech comes down.

Run by pytest with all other tests, or as a script that prints what it measured:

    python test_bidirectional.py [--url ws://127.0.0.1:8000/ws/tts]
"""

import asyncio
import random
import time
from typing import TypeVar

from duplex_tts import Audio, Cancelled, Context, Done, Error, Retracted, Session
from tests.support.end_to_end import (
    LLM_WORD_S,
    Figures,
    Speech,
    assert_accounted,
    checks_in,
    listen,
    run_as_script,
    speak,
    words_of,
    write,
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

Kind = TypeVar("Kind", Audio, Retracted)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


async def test_speech_begins_before_the_text_is_written(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        speech = await speak(await session.start(), words_of(STORY), LLM_WORD_S)
    assert_accounted(speech, len(STORY))
    before_s = speech.last_push_s - speech.first_sound_s
    assert before_s > 0
    assert speech.ttfa_s < 1.0
    figures.add("first sound after the first word", ms(speech.ttfa_s), "< 1000 ms")
    figures.add("first sound before the last word", ms(before_s), "> 0 ms")


async def test_words_are_told_with_their_place_and_time(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        speech = await speak(await session.start(mode="batch"), [STORY])
    told = [STORY[word.start : word.end].strip() for event in speech.audio for word in event.words]
    assert [word.strip(",.") for word in told] == [word.strip(",.") for word in STORY.split()]
    last = speech.audio[-1].words[-1]
    assert last.end_ms <= speech.duration_s * 1000 + 1


async def test_contexts_speak_side_by_side_each_in_order(url: str, figures: Figures) -> None:
    texts = [f"Number {number} speaks now. {STORY}" for number in ("one", "two", "three", "four")]
    async with Session.connect(url) as session:
        contexts = [await session.start() for _ in texts]
        speeches = await asyncio.gather(
            *(
                speak(context, words_of(text), LLM_WORD_S)
                for context, text in zip(contexts, texts, strict=True)
            )
        )
    for speech, text in zip(speeches, texts, strict=True):
        assert_accounted(speech, len(text))
    last_start_s = max(speech.first_sound_s for speech in speeches)
    first_end_s = min(speech.arrivals_s[-1] for speech in speeches)
    assert last_start_s < first_end_s
    worst_s = max(speech.ttfa_s for speech in speeches)
    figures.add(f"first sound, slowest of {len(texts)} at once", ms(worst_s))


async def test_characters_typed_are_spoken_in_whole_words(url: str, figures: Figures) -> None:
    typed = "Good morning, could I have a coffee please?"
    async with Session.connect(url) as session:
        speech = await speak(await session.start(), list(typed), period_s=0.08)
    assert_accounted(speech, len(typed))
    assert speech.first_sound_s < speech.last_push_s
    for event in speech.audio[:-1]:
        end = event.text[1]
        assert not (typed[end - 1].isalnum() and typed[end].isalnum()), typed[:end]
    figures.add("typed, 12 characters a second: first sound", ms(speech.ttfa_s))


async def test_a_pause_in_the_writing_is_not_waited_for(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        started_s = time.perf_counter()
        await context.push("Wait for it ")
        while (await next_audio(context)).text[1] < len("Wait for it"):
            pass
        figures.add(
            "written without an end, all of it spoken after", ms(time.perf_counter() - started_s)
        )
        await context.push("now.")
        await context.end()
        rest = await listen(context, Speech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == len("Wait for it now.")


async def test_a_flush_speaks_the_half_written_word(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("Hello there wor")
        started_s = time.perf_counter()
        await context.flush()
        while (await next_audio(context)).text[1] < len("Hello there wor"):
            pass
        figures.add("flushed and spoken after", ms(time.perf_counter() - started_s))
        await context.push("ld, this is the rest.")
        await context.end()
        rest = await listen(context, Speech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == len("Hello there world, this is the rest.")


async def test_text_that_is_not_spoken_yet_can_be_taken_back(url: str, figures: Figures) -> None:
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
        rest = await listen(context, Speech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == len(kept + " to come home.")


async def test_what_was_spoken_cannot_be_taken_back(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        context = await session.start()
        await context.push("This is said. And this is not finished")
        while (await next_audio(context)).text[1] < len("This is said."):
            pass
        await context.retract(0)
        answer = await next_of(Retracted, context)
        assert answer.to >= len("This is said.")
        await context.end()
        rest = await listen(context, Speech())
    assert isinstance(rest.end, Done)
    assert rest.end.characters == answer.to


async def test_a_cancel_is_followed_by_silence(url: str, figures: Figures) -> None:
    took_s = []
    async with Session.connect(url) as session:
        for _ in range(10):
            context = await session.start()
            for word in words_of(STORY):
                await context.push(word)
            heard = [await next_audio(context) for _ in range(2)]
            started_s = time.perf_counter()
            await context.cancel()
            rest = await listen(context, Speech())
            took_s.append(time.perf_counter() - started_s)
            heard += rest.audio
            assert isinstance(rest.end, Cancelled)
            assert rest.end.text_to == heard[-1].text[1]
            assert abs(rest.end.audio_ms - sum(event.duration_ms for event in heard)) < 1
            # The session raises for audio of a context that has ended; a pong comes after it.
            await session.ping()
        again = await speak(await session.start(mode="batch"), ["And now something else."])
    assert_accounted(again, len("And now something else."))
    assert max(took_s) < 0.5
    figures.add("cancel to its answer, slowest of 10", ms(max(took_s)), "goal: 20 ms")


async def test_speech_keeps_to_the_pace_of_its_listener(url: str, figures: Figures) -> None:
    sentences = words_of((STORY + " ") * 3)

    async def received_s(*, reports: bool) -> float:
        """Seconds of speech that have come after two seconds, the text not being ended."""
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

    silent_s, eager_s = await received_s(reports=False), await received_s(reports=True)
    assert silent_s < 20
    assert eager_s > silent_s
    figures.add("sent within 2 s to a listener who says nothing", f"{silent_s:.1f} s")
    figures.add("sent within 2 s to one who has heard it all", f"{eager_s:.1f} s", "more")


async def test_every_character_counts_however_it_comes(url: str, figures: Figures) -> None:
    chance = random.Random(2)
    async with Session.connect(url) as session:
        for _ in range(5):
            cuts = sorted(chance.sample(range(1, len(MESSY)), chance.randrange(1, 40)))
            bounds = zip([0, *cuts], [*cuts, len(MESSY)], strict=True)
            pieces = [MESSY[start:end] for start, end in bounds]
            assert_accounted(await speak(await session.start(mode="batch"), pieces), len(MESSY))
            assert_accounted(await speak(await session.start(), pieces, 0.002), len(MESSY))
    figures.add("messy text, random pieces, characters accounted for", "all", "all")


async def test_what_cannot_be_heard_is_accounted_for(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        for text in EMPTY:
            assert_accounted(await speak(await session.start(), [text]), len(text))


async def test_a_refusal_disturbs_nobody_else(url: str, figures: Figures) -> None:
    async with Session.connect(url) as session:
        good = await session.start()
        speech = Speech()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(good, words_of(STORY), 0.01, speech))
            tasks.create_task(listen(good, speech))
            refused = [event async for event in await session.start(voice="no such voice")]
    assert [event.code for event in refused if isinstance(event, Error)] == ["unknown_voice"]
    assert_accounted(speech, len(STORY))


async def next_audio(context: Context) -> Audio:
    return await next_of(Audio, context)


async def next_of(kind: type[Kind], context: Context) -> Kind:
    """The next event of a kind; others before it are dropped, errors fail."""
    async for event in context:
        assert not isinstance(event, Error), event
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the context ended without {kind.__name__}")


if __name__ == "__main__":
    run_as_script("Text up, speech down", checks_in(globals()))
