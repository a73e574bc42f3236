"""Models that are served by a Ray cluster: the only room that imports Ray."""

import os

# Ray reads these when it is imported. It ends the process where the cluster's head is away for longer than so many
# seconds; the server goes on, and says what is wrong.
os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "1000000")
# Calls go straight to a replica's gRPC server instead of through Ray's object store: 1.7 ms less.
os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")
