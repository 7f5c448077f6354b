"""What callers are answered, made of what the journeys found."""

from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2

from gateway.answers import search_response
from gateway.photo_urls import PhotoUrls
from gateway.records import Analysis, FoundFace, Neighbours
from gateway.search import SearchOutcome


def test_further_photos_of_a_person_can_be_shown_too() -> None:
    others = [vectorstore_pb2.Match(photo_id="second", face_id=2), vectorstore_pb2.Match(photo_id="third", face_id=3)]
    match = vectorstore_pb2.Match(photo_id="first", face_id=1, same_person=others)
    face = FoundFace(0, face_pb2.Face(), None)
    outcome = SearchOutcome(Analysis((face,), 100, 100), ((face, Neighbours((match,), ())),))
    twin = search_response(outcome, PhotoUrls(b"key", 60), None).results[0].twins[0]
    assert [other.match for other in twin.same_person] == others
    assert twin.same_person[0].face_url.startswith("/photos/second?size=thumb&face=2&")
    assert twin.same_person[1].image_url.startswith("/photos/third?size=large&")
