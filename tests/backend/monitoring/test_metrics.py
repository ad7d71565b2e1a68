"""The metrics that `/metrics` exports."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.monitoring.gap_causes import CAUSES
from backend.monitoring.metrics import GapFigures, Metrics


def read(metrics: Metrics) -> dict[str, float]:
    """The samples as a scraper reads them, by name and labels."""
    return {
        sample.name + "".join(f" {k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_connections_and_contexts_are_gauges() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.connection_opened()
        metrics.context_opened()
    metrics.connection_closed()
    metrics.context_closed()
    metrics.context_closed()
    figures = read(metrics)
    assert figures["duplex_tts_connections"] == 2
    assert figures["duplex_tts_contexts"] == 1


def test_queue_depths_are_the_last_values_set() -> None:
    metrics = Metrics()
    metrics.set_queue_depths(text=80, engine=7, outgoing=3)
    assert read(metrics)["duplex_tts_queue_depth queue=text"] == 80
    assert read(metrics)["duplex_tts_queue_depth queue=engine"] == 7
    assert read(metrics)["duplex_tts_queue_depth queue=outgoing"] == 3
    metrics.set_queue_depths(text=0, engine=0, outgoing=4)
    assert read(metrics)["duplex_tts_queue_depth queue=engine"] == 0
    assert read(metrics)["duplex_tts_queue_depth queue=outgoing"] == 4


def test_first_sound_buckets_range_from_5_ms_to_5_s() -> None:
    metrics = Metrics()
    for seconds in (0.004, 0.12, 0.14, 4.0, 9.0):
        metrics.observe_first_sound(seconds)
    figures = read(metrics)
    name = "duplex_tts_first_sound_seconds"
    assert [figures[f"{name}_bucket le={le}"] for le in ("0.005", "0.125", "0.15", "3.0")] == [
        1,
        2,
        3,
        3,
    ]
    assert figures[f"{name}_bucket le=5.0"] == 4
    assert figures[f"{name}_count"] == 5
    assert figures[f"{name}_sum"] == pytest.approx(13.264)


def test_a_step_records_audio_compute_time_and_rtf() -> None:
    metrics = Metrics()
    metrics.count_step(audio_s=2.0, busy_s=0.1)
    metrics.count_step(audio_s=0.0, busy_s=0.3)  # spaces only: nothing to divide by
    figures = read(metrics)
    assert figures["duplex_tts_audio_seconds_total"] == 2.0
    assert figures["duplex_tts_compute_seconds_total"] == pytest.approx(0.4)
    assert figures["duplex_tts_rtf_count"] == 1
    assert figures["duplex_tts_rtf_sum"] == pytest.approx(0.05)


def test_events_are_counted() -> None:
    metrics = Metrics()
    metrics.count_text(12)
    metrics.count_text(30)
    metrics.count_gap("rendered_late", 0.3)
    metrics.count_cancel()
    metrics.count_error("bad_json")
    metrics.count_error("bad_json")
    metrics.count_error("text_limit")
    figures = read(metrics)
    assert figures["duplex_tts_characters_total"] == 42
    assert figures["duplex_tts_underruns_total cause=rendered_late"] == 1
    assert figures["duplex_tts_cancels_total"] == 1
    assert figures["duplex_tts_errors_total code=bad_json"] == 2
    assert figures["duplex_tts_errors_total code=text_limit"] == 1


def test_gaps_are_counted_by_cause_and_exported_as_zero_before() -> None:
    metrics = Metrics()
    metrics.count_gap("text_late", 2.0)
    metrics.count_gap("text_late", 0.5)
    metrics.count_gap("slow_reader", 0.1)
    figures = read(metrics)
    name = "duplex_tts_gap_seconds"
    counts = {cause: figures[f"duplex_tts_underruns_total cause={cause}"] for cause in CAUSES}
    assert counts == dict.fromkeys(CAUSES, 0) | {"text_late": 2, "slow_reader": 1}
    assert figures[f"{name}_sum cause=text_late"] == 2.5
    assert figures[f"{name}_bucket cause=text_late le=0.5"] == 1
    assert metrics.figures().gaps["text_late"] == GapFigures(2, 2.5)
    assert metrics.figures().underruns == 1  # gaps waiting for text do not count


def test_two_instances_in_one_process_count_separately() -> None:
    first, second = Metrics(), Metrics()
    first.count_gap("slow_reader", 1.0)
    assert read(second)["duplex_tts_underruns_total cause=slow_reader"] == 0


def test_process_memory_is_exported() -> None:
    assert read(Metrics())["process_resident_memory_bytes"] > 1e6


def test_device_memory_is_exported_if_there_is_a_device() -> None:
    metrics = Metrics()
    assert not any("device" in name for name in read(metrics))
    metrics.set_device_memory("a card", 3, 24)
    metrics.set_device_memory("a card", 5, 24)
    assert read(metrics)["duplex_tts_device_memory_used_bytes device=a card"] == 5
    assert read(metrics)["duplex_tts_device_memory_total_bytes device=a card"] == 24


def test_the_content_type_is_prometheus_text() -> None:
    assert Metrics.content_type.startswith("text/plain")
