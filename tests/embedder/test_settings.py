"""Settings that follow from one another."""

import pytest

from embedder.settings import EmbedderSettings
from runtime.errors import StartupError
from runtime.settings import load_settings


def test_the_vector_store_is_dialled_where_it_listens_unless_told_otherwise() -> None:
    moved = EmbedderSettings(vectorstore_bind="127.0.0.1:7000")
    assert moved.vectorstore_address == "127.0.0.1:7000"
    told = EmbedderSettings(vectorstore_bind="0.0.0.0:7000", vectorstore_target="store:7000")
    assert told.vectorstore_address == "store:7000"
    assert EmbedderSettings().vectorstore_address == "127.0.0.1:50052"


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_half_precision_is_refused_where_no_provider_has_it(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_EMBEDDER_PROVIDER", provider)
    monkeypatch.setenv("TWIN_EMBEDDER_DETECTOR_HALF_PRECISION", "false")
    assert not load_settings(EmbedderSettings).embedder_detector_half_precision
    monkeypatch.setenv("TWIN_EMBEDDER_DETECTOR_HALF_PRECISION", "true")
    with pytest.raises(StartupError) as caught:
        load_settings(EmbedderSettings)
    assert str(caught.value) == (
        f"TWIN_EMBEDDER_DETECTOR_HALF_PRECISION='true': the provider {provider} has no half precision; unset it, or set"
        " TWIN_EMBEDDER_PROVIDER to openvino or tensorrt"
    )


@pytest.mark.parametrize("provider", ["openvino", "tensorrt"])
def test_half_precision_is_taken_where_the_provider_has_it(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWIN_EMBEDDER_PROVIDER", provider)
    monkeypatch.setenv("TWIN_EMBEDDER_DETECTOR_HALF_PRECISION", "true")
    assert load_settings(EmbedderSettings).embedder_detector_half_precision
