"""Ray's environment, which it reads when it is imported."""

import os
import secrets

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    # Ray runs a node's processes with the niceness 15, which a busy machine starves.
    "RAY_worker_niceness": "0",
}
