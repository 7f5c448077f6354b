"""What files beside photos are taken to say."""

import pytest

from runtime.photo_metadata import NOTHING, PhotoFacts, PhotoMetadata, is_metadata


def said(files: dict[str, bytes], photo: str) -> PhotoFacts:
    metadata = PhotoMetadata()
    for path, data in files.items():
        assert is_metadata(path)
        metadata.add(path, data)
    return metadata.facts_of(photo)


@pytest.mark.parametrize(
    ("info", "collection"),
    [
        (b'{"name": "CelebA"}', "CelebA"),
        (b"{}", "faces"),
        (b"[1]", "faces"),
        (b"{", "faces"),
        (b'{"name": 3}', "faces"),
    ],
)
def test_a_source_names_the_collection_of_its_images(info: bytes, collection: str) -> None:
    files = {"data/faces/source_info.json": info}
    assert said(files, "data/faces/images/a/b.jpg") == PhotoFacts(collection=collection)
    assert said(files, "data/faces/other/b.jpg") == NOTHING
    assert said(files, "data/faces/b.jpg") == NOTHING


def test_a_table_names_people_and_collections() -> None:
    table = b"\xef\xbb\xbfFilename, Person, Collection\r\none.jpg, Ada,\r\nsub/two.jpg, ,Family\r\n,Nobody,\r\n"
    files = {"album/people.csv": table, "album/source_info.json": b'{"name": "Album"}'}
    assert said(files, "album/images/one.jpg") == PhotoFacts("Ada", "Album")
    assert said(files, "album/sub/two.jpg") == PhotoFacts("", "Family")
    assert said(files, "album/else/two.jpg") == NOTHING
    assert said(files, "one.jpg") == NOTHING


def test_a_table_about_something_else_says_nothing() -> None:
    assert said({"a.csv": b"path,reason,message\none.jpg,NO_FACE,none\n"}, "one.jpg") == NOTHING
    assert said({"a.csv": b'\x00\xff\n"unfinished'}, "one.jpg") == NOTHING


def test_celebas_identities_are_persons_of_its_pictures() -> None:
    files = {"celeba/Anno/identity_CelebA.txt": b"000001.jpg 2880\n000002.jpg 2937\nno line\n"}
    assert said(files, "celeba/Img/img_align_celeba/000002.jpg") == PhotoFacts(person="CelebA 2937")
    assert said({"identity_CelebA.txt": b"000001.jpg 2880"}, "img/000001.jpg") == PhotoFacts(person="CelebA 2880")
    assert said(files, "elsewhere/000002.jpg") == NOTHING
