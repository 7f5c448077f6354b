"""Between protobuf and the embedder's own types; protobuf stops here."""

from twin.embedder.v1 import embedder_pb2
from twin.face.v1 import face_pb2

from embedder.faces import AnalyzedImage, Attributes, Face, FaceChoice, Floats, Quality, QualityIssue, Selection
from embedder.models.load import LoadedPack
from runtime.errors import InvalidField
from runtime.vectors import encode_vector

_CHOICES = {
    embedder_pb2.FACE_CHOICE_UNSPECIFIED: FaceChoice.PRIMARY,
    embedder_pb2.FACE_CHOICE_PRIMARY: FaceChoice.PRIMARY,
    embedder_pb2.FACE_CHOICE_ALL: FaceChoice.ALL,
    embedder_pb2.FACE_CHOICE_DETECT_ONLY: FaceChoice.DETECT_ONLY,
    embedder_pb2.FACE_CHOICE_PRIMARY_ONLY: FaceChoice.PRIMARY_ONLY,
}
_ISSUES = {issue: face_pb2.QualityIssue.Value(f"QUALITY_ISSUE_{issue.name}") for issue in QualityIssue}


def to_selection(request: embedder_pb2.EmbedRequest | embedder_pb2.EnrollRequest) -> Selection:
    """Reads which faces a request is about; raises InvalidField for a choice that is none."""
    choice = _CHOICES.get(request.faces)
    if choice is None:
        raise InvalidField("faces", f"{request.faces} is no FaceChoice")
    return Selection(choice, request.face_index if request.HasField("face_index") else None)


def to_embed_response(analyzed: AnalyzedImage, model_id: str) -> embedder_pb2.EmbedResponse:
    """Builds the answer for one image."""
    return embedder_pb2.EmbedResponse(
        faces=[to_face(face, model_id) for face in analyzed.faces],
        image_width=analyzed.width,
        image_height=analyzed.height,
    )


def to_face(face: Face, model_id: str) -> face_pb2.Face:
    """Builds one face, with its embedding where it has a vector."""
    box = face.box
    return face_pb2.Face(
        index=face.index,
        box=face_pb2.Box(left=box.left, top=box.top, width=box.width, height=box.height),
        landmarks=_landmarks(face.landmarks),
        detection_score=face.detection_score,
        quality=_quality(face.quality),
        primary=face.primary,
        embedding=None
        if face.vector is None
        else face_pb2.Embedding(float32_le=encode_vector(face.vector), model_id=model_id),
        attributes=None if face.attributes is None else _attributes(face.attributes),
    )


def to_model_response(pack: LoadedPack, execution_provider: str) -> embedder_pb2.GetModelResponse:
    """Describes the serving model."""
    calibration = pack.manifest.calibration
    return embedder_pb2.GetModelResponse(
        pack=pack.manifest.name,
        model_id=pack.model_id,
        dimension=pack.manifest.dimension,
        execution_provider=execution_provider,
        calibration=face_pb2.Calibration(
            same_person_similarity=calibration.same_person_similarity,
            duplicate_similarity=calibration.duplicate_similarity,
            percent_slope=calibration.percent_slope,
            percent_midpoint=calibration.percent_midpoint,
        ),
        license=pack.manifest.license,
    )


def _landmarks(points: Floats) -> face_pb2.Landmarks:
    left_eye, right_eye, nose, left_mouth, right_mouth = (face_pb2.Point(x=x, y=y) for x, y in points.tolist())
    return face_pb2.Landmarks(
        left_eye=left_eye, right_eye=right_eye, nose=nose, left_mouth=left_mouth, right_mouth=right_mouth
    )


def _attributes(attributes: Attributes) -> face_pb2.Attributes:
    return face_pb2.Attributes(
        age_years=attributes.age_years, female_score=attributes.female_score, male_score=attributes.male_score
    )


def _quality(quality: Quality) -> face_pb2.Quality:
    return face_pb2.Quality(
        score=quality.score,
        sharpness=quality.sharpness,
        brightness=quality.brightness,
        yaw_degrees=quality.yaw_degrees,
        roll_degrees=quality.roll_degrees,
        size_pixels=quality.size_pixels,
        issues=[_ISSUES[issue] for issue in quality.issues],
    )
