from duplex_tts.cli.book.progress import BookProgress


def test_progress_estimates_the_time_left_from_this_run() -> None:
    now_s = 100.0
    progress = BookProgress(10_000, 4_000, "words", lambda: now_s)
    progress.update(4_001)
    assert str(progress) == "4,001 words done, 5,999 left"
    now_s = 160.0
    progress.update(6_000)
    assert str(progress) == "6,000 words done, 4,000 left · 2:00 to go"
    progress.update(10_000)
    assert progress.left_s == 0
