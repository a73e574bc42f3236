"""Models that are served by a Ray cluster: the only room that imports Ray."""

import os

# Ray ends the process where the cluster's head is away for longer, and reads the variable when it is imported. In
# seconds; the server goes on, and says what is wrong.
os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "1000000")
