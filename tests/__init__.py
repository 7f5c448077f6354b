"""All tests. The runtime comes before gRPC, which it tells to leave forks alone: half of the children crashed."""

import runtime  # noqa: F401
