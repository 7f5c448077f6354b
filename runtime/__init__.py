"""What every service needs to run: settings, server, health, errors, channels, telemetry."""

import os

# Processes are only ever started by fork and exec at once; gRPC's fork handlers would do nothing then but complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# gRPC's own lines on standard error are no JSON, and tell again what its exceptions and statuses say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
