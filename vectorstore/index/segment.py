"""Vectors as 4-bit codes, scanned whole: one codebook, and segments of rows that never change once they are made.

A product quantiser with one code of 4 bits for every two dimensions (Jégou et al. 2011), scanned with the tables in
registers (André et al. 2015; FAISS's FastScan): 256 bytes of arithmetic a vector become some shuffles for 32 of them.
"""

from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Vectors
from vectorstore.index.rows import Mask

# FAISS's Python layer replaces the constructors and methods that its stubs describe.
_FAISS: Final[Any] = faiss

# Rows of a full segment: 16 MiB of codes at 512 dimensions, scanned in a third of a millisecond.
SEGMENT_ROWS: Final = 131_072
# FAISS keeps the codes of so many rows interleaved; segments are made of whole ones so that they can be put together.
BLOCK_ROWS: Final = 32
_BITS: Final = 4
_CENTROIDS: Final = 2**_BITS
_DIMENSIONS_A_CODE: Final = 2
# A dimension's mean square over the mean of all, up to which they count as even. Of 195 faces' vectors by the starter
# pack the highest is 1.9.
_EVEN_SPREAD: Final = 3.0
# FAISS looks at the codes once for so many queries. For more than two its sums leave the registers: each of 16 takes
# 0.52 ms of processor then, and 0.39 in pairs (100,000 vectors, AVX2 kernels).
_QUERIES_A_PASS: Final = 2

Codes = npt.NDArray[np.uint8]
# (queries, k): approximate cosines, and rows within the segment, -1 where there are no more.
Candidates = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def can_compress(dimension: int) -> bool:
    """Tells whether vectors of this dimension can be coded: two values a code, and codes in pairs."""
    return dimension % (2 * _DIMENSIONS_A_CODE) == 0


class Codebook:
    """The centroids (codes a vector, 16, 2) float32 that vectors are coded by, after a rotation where there is one.

    Every two dimensions get the same four bits and the same scale in the tables. Where some dimensions vary much more
    than others, all are rotated first, so that each carries as much.
    """

    def __init__(self, centroids: npt.NDArray[np.float32], rotation: Vectors | None = None) -> None:
        """rotation: (dimension, dimension), orthogonal. Raises ValueError for other shapes."""
        if centroids.ndim != 3 or centroids.shape[1:] != (_CENTROIDS, _DIMENSIONS_A_CODE):
            raise ValueError(f"a codebook is (codes, {_CENTROIDS}, {_DIMENSIONS_A_CODE}), not {centroids.shape}")
        self.centroids = np.ascontiguousarray(centroids, dtype=np.float32)
        if rotation is not None and rotation.shape != (self.dimension, self.dimension):
            raise ValueError(f"a rotation of {self.dimension} dimensions is not {rotation.shape}")
        self.rotation = rotation

    @classmethod
    def trained(cls, vectors: Vectors) -> "Codebook":
        """Returns the codebook that fits a sample (n, dimension) of the vectors; blocking, about a second."""
        dimension = vectors.shape[1]
        spread = (vectors * vectors).mean(axis=0)
        rotation = None
        if spread.max() > _EVEN_SPREAD * spread.mean():
            # The same one each time; any that mixes all dimensions will do.
            noise = np.random.default_rng(dimension).standard_normal((dimension, dimension))
            rotation = np.linalg.qr(noise)[0].astype(np.float32)
            vectors = vectors @ rotation
        code_count = dimension // _DIMENSIONS_A_CODE
        quantizer = _FAISS.ProductQuantizer(dimension, code_count, _BITS)
        quantizer.train(np.ascontiguousarray(vectors))
        centroids = faiss.vector_to_array(quantizer.centroids)
        return cls(centroids.reshape(code_count, _CENTROIDS, _DIMENSIONS_A_CODE), rotation)

    def rotated(self, vectors: Vectors) -> Vectors:
        """Returns vectors or queries (n, dimension) as they are coded and looked up."""
        return np.ascontiguousarray(vectors if self.rotation is None else vectors @ self.rotation)

    @property
    def dimension(self) -> int:
        """Values of a vector."""
        return len(self.centroids) * _DIMENSIONS_A_CODE

    @property
    def code_bytes(self) -> int:
        """Bytes of one vector's codes."""
        return len(self.centroids) * _BITS // 8

    def packed_bytes(self, count: int) -> int:
        """Returns the bytes that the codes of so many vectors take, packed in whole blocks."""
        return -(-count // BLOCK_ROWS) * BLOCK_ROWS * self.code_bytes

    def make_list(self) -> Any:
        """Returns an empty FAISS list of codes.

        One inverted list rather than a plain FastScan index: that one takes no selector.
        """
        coarse = _FAISS.IndexFlatIP(self.dimension)
        coarse.add(np.zeros((1, self.dimension), np.float32))
        codes = _FAISS.IndexIVFPQFastScan(
            coarse, self.dimension, 1, len(self.centroids), _BITS, faiss.METRIC_INNER_PRODUCT
        )
        codes.by_residual = False
        codes.nprobe = 1
        codes.qbs2 = _QUERIES_A_PASS
        faiss.copy_array_to_vector(self.centroids.ravel(), codes.pq.centroids)
        codes.is_trained = True
        return codes

    def encode(self, vectors: Vectors) -> Codes:
        """Returns the codes of vectors (n, dimension) as FAISS packs them, whole blocks of rows."""
        codes = self.make_list()
        codes.add(self.rotated(vectors))
        return _packed(codes).copy()


class Segment:
    """The codes of some rows that follow one another; never changed."""

    def __init__(self, codebook: Codebook, packed: Codes, count: int) -> None:
        """packed: what ``Codebook.encode`` returned for count rows; raises ValueError when it is of another size."""
        if len(packed) != codebook.packed_bytes(count):
            raise ValueError(f"{len(packed)} bytes are not the codes of {count} vectors")
        self.count = count
        self._codes = codebook.make_list()
        ids = np.arange(count, dtype=np.int64)
        content = np.ascontiguousarray(packed)
        self._codes.invlists.add_entries(0, count, faiss.swig_ptr(ids), faiss.swig_ptr(content))
        self._codes.ntotal = count

    @property
    def packed(self) -> Codes:
        """The codes as FAISS packs them: a view that lives as long as the segment."""
        return _packed(self._codes)

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes: the codes, and FAISS's own number for each row."""
        return len(self.packed) + 8 * self.count

    def search(self, queries: Vectors, k: int, mask: Mask | None) -> Candidates:
        """Returns the k best by the codes, for each rotated query (n, dimension), in no order, of rows it allows."""
        parameters = None
        if mask is not None:
            bits = np.packbits(mask, bitorder="little")
            parameters = _FAISS.SearchParametersIVF(sel=_FAISS.IDSelectorBitmap(bits), nprobe=1)
        cosines, rows = self._codes.search(queries, min(k, self.count), params=parameters)
        return cosines, rows


def _packed(codes: Any) -> Codes:
    blocks = -(-int(codes.ntotal) // BLOCK_ROWS)
    size = blocks * BLOCK_ROWS * codes.M2 * _BITS // 8
    if not size:
        return np.empty(0, np.uint8)
    view: Codes = faiss.rev_swig_ptr(codes.invlists.get_codes(0), size)
    return view
