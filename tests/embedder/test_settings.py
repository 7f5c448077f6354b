"""Settings that follow from one another."""

from embedder.settings import EmbedderSettings


def test_the_vector_store_is_dialled_where_it_listens_unless_told_otherwise() -> None:
    moved = EmbedderSettings(vectorstore_bind="127.0.0.1:7000")
    assert moved.vectorstore_address == "127.0.0.1:7000"
    told = EmbedderSettings(vectorstore_bind="0.0.0.0:7000", vectorstore_target="store:7000")
    assert told.vectorstore_address == "store:7000"
    assert EmbedderSettings().vectorstore_address == "127.0.0.1:50052"
