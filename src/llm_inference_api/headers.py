"""Names of the HTTP headers, which are gRPC metadata too, that the service and the Envoy in front of it share.

All are lower case, as gRPC wants its metadata keys and HTTP/2 its field names. Headers that only one of the two knows,
such as Envoy's own `x-envoy-original-path`, stand where they are used.
"""

AUTHORIZATION = "authorization"
"""Request: the API key, as a bearer token (RFC 6750)."""
REQUEST_ID = "x-request-id"
"""Request and response: one id for both processes' logs and spans. The caller's, else Envoy's."""
TRACEPARENT = "traceparent"
"""Request: the caller's trace (https://www.w3.org/TR/trace-context/#traceparent-header)."""
CALLER_ADDRESS = "x-caller-address"
"""Request, from Envoy to the service: the caller's address without its port. Envoy overwrites what callers send."""
CLIENT_CERTIFICATE = "x-forwarded-client-cert"
"""Request, from Envoy to the service: the client's certificate; Envoy's own format. It drops what callers send."""
SESSION_ID = "x-session-id"
"""Request: a caller's name for a conversation, all requests of which should go to the same replica."""
AFFINITY_KEY = "x-llm-affinity"
"""Request, within Envoy: from `envoy/affinity.lua` to the routes. Envoy drops what callers send."""

GRPC_STATUS = "grpc-status"
GRPC_MESSAGE = "grpc-message"
GRPC_STATUS_DETAILS = "grpc-status-details-bin"
"""Trailer: a serialized google.rpc.Status."""
RETRY_AFTER = "retry-after"
"""Response: whole seconds after which a new try makes sense (RFC 9110, 10.2.3)."""
RETRY_ELSEWHERE = "x-retry-elsewhere"
"""Response, from the service to Envoy: another replica may take the request at once."""
WWW_AUTHENTICATE = "www-authenticate"
"""Response: the scheme in which a key must be shown (RFC 9110, 11.6.1)."""

OPENAI_ERROR = {"type": "x-error-type", "param": "x-error-param", "code": "x-error-code"}
"""Response, from the service to Envoy: the fields of OpenAI's error object, and the header of each."""
