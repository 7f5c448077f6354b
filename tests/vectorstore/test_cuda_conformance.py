"""The CUDA kinds in the suite of all kinds: on a fake device, and on a real one where there is one."""

import numpy as np
import pytest

from tests.vectorstore.cuda_cases import make
from tests.vectorstore.index_conformance import DIMENSION, IndexConformance, Kind
from vectorstore.index import cuda_index
from vectorstore.index.base import Arrays
from vectorstore.index.cuda_device import CudaDevice
from vectorstore.index.cuda_index import CudaIndex


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


# The float32 kind differs from the float16 one in nothing but that.
@pytest.fixture(params=["cuda-flat-f16", "cuda-sq8"])
def kind(request: pytest.FixtureRequest, device: CudaDevice, monkeypatch: pytest.MonkeyPatch) -> Kind:
    # Galleries as small as these would otherwise be compared on the host.
    monkeypatch.setattr(cuda_index, "_GATHER_ROWS", 8)
    monkeypatch.setattr("vectorstore.index.cuda_quantized._LIST_COUNT_SMALL", 16)
    name: str = request.param

    def restore(arrays: Arrays) -> CudaIndex:
        index = make(name, device, DIMENSION)
        index.adopt(arrays["ids"], arrays["vectors"])
        return index

    return Kind(
        name,
        empty=lambda: make(name, device, DIMENSION),
        restore=restore,
        always_exact=name != "cuda-sq8",
        tolerance=1e-5,
    )


class TestCudaKinds(IndexConformance):
    """Each kind, all of the suite."""
