"""grpc-web clients that this project did not write call every method that a browser can call."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.stack import Stack

WEB = Path(__file__).resolve().parents[2] / "web"


def test_connect_web_and_googles_grpc_web_call_every_method(own_stack: Stack, newton_photo: Path) -> None:
    npx = shutil.which("npx")
    assert npx is not None
    inbox = own_stack.data_dir / "photos" / "inbox"
    inbox.mkdir(parents=True)
    answer = subprocess.run(
        [npx, "--no-install", "vitest", "run", "--config", "vitest.contract.config.ts"],
        cwd=WEB,
        env={
            **os.environ,
            "TWIN_GATEWAY_HTTP_TARGET": own_stack.addresses["gateway_http"],
            "TWIN_ADMIN_KEY": (own_stack.data_dir / "admin.key").read_text().strip(),
            "TWIN_CONTRACT_PHOTO": str(newton_photo),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-2000:]
