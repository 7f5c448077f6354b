"""The made-up galleries have the figures that they claim, and are the same for everybody."""

import numpy as np
import pytest

from benchmarks.galleries import PHOTOS_EACH, Distribution, MadeUpGallery, Rows


def _filled(gallery: MadeUpGallery) -> Rows:
    rows = np.empty((gallery.face_count, 512), np.float32)
    gallery.fill(rows)
    return rows


def _strangers_spread(rows: Rows) -> float:
    return float((rows @ rows.T)[np.triu_indices(len(rows), 1)].std())


@pytest.mark.parametrize(("distribution", "spread"), [("iso", 0.044), ("aniso", 0.085)])
def test_strangers_are_as_alike_as_the_distribution_says(distribution: Distribution, spread: float) -> None:
    assert _strangers_spread(MadeUpGallery(1000, distribution).unseen(2000)) == pytest.approx(spread, abs=0.0015)


@pytest.mark.parametrize("distribution", ["iso", "aniso"])
def test_a_seen_probe_has_five_photos_at_two_thirds_and_strangers_far_below(distribution: Distribution) -> None:
    gallery = MadeUpGallery(10_000, distribution)
    cosines = np.sort(gallery.seen(200) @ _filled(gallery).T, axis=1)
    own = cosines[:, -PHOTOS_EACH:]
    assert own.mean() == pytest.approx(0.66, abs=0.005)
    assert own.min() > cosines[:, -PHOTOS_EACH - 1].max()


@pytest.mark.parametrize("distribution", ["iso", "aniso"])
def test_nobody_in_the_gallery_is_the_person_of_an_unseen_probe(distribution: Distribution) -> None:
    gallery = MadeUpGallery(10_000, distribution)
    assert (gallery.unseen(200) @ _filled(gallery).T).max() < 0.5


def test_the_gallery_is_drawn_from_its_seed_alone() -> None:
    first, again, other = (_filled(MadeUpGallery(2001, "aniso", seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert np.array_equal(MadeUpGallery(2001, "aniso").seen(7), MadeUpGallery(2001, "aniso").seen(7))


def test_photos_of_one_identity_do_not_lie_side_by_side() -> None:
    rows = _filled(MadeUpGallery(5000, "iso"))
    assert ((rows[1:] * rows[:-1]).sum(axis=1) > 0.5).mean() < 0.01


def test_every_row_is_a_unit_vector() -> None:
    rows = _filled(MadeUpGallery(21_003, "iso"))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
