import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize(("name", "package"), [("livekit", "livekit"), ("pipecat", "pipecat")])
def test_a_missing_framework_is_reported_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    for module in [package, "livekit.agents", "pipecat.services.tts_service"]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"duplex_tts.{name}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'duplex-tts\[{name}\]'"):
        import_module(f"duplex_tts.{name}")
