"""Where originals are kept, and what is to be known for Google Drive: read by the gateway and by the command."""

from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from runtime.settings import ServiceSettings

GOOGLE_ENDPOINT: Final = "https://www.googleapis.com/"


class DriveSettings(ServiceSettings):
    """Settings of the photo store; names in the environment carry the prefix TWIN_."""

    photo_store: Literal["local", "drive"] = "local"
    # One of these says who signs in: a service account's key file, or the token that `twin drive login` leaves.
    google_service_account_file: Path | None = None
    google_token_json: SecretStr | None = None
    # "google-token.json" in the data folder when unset.
    google_token_file: Path | None = None
    # The OAuth client that signs in, unless the token names it.
    google_client_id: str = ""
    google_client_secret: SecretStr | None = None

    # The application's own folder, made when there is none.
    drive_folder: str = "Find Your Twin"
    # Id of the shared drive that the folder lies in; the account's own drive when unset.
    drive_shared_drive: str = ""
    # Whether the owner's own files may be read too, for imports.
    drive_imports: bool = False
    # Whether the account's whole Drive may be read and written: for shared drives that the narrow scope does not reach.
    drive_full_access: bool = False
    # Where the interface answers; for tests.
    drive_endpoint: str = GOOGLE_ENDPOINT

    @property
    def token_path(self) -> Path:
        """Where the sign-in's token is kept."""
        return (self.google_token_file or self.data_path("google-token.json")).expanduser()
