"""Names of the HTTP headers (gRPC metadata keys) that the service and its Envoy sidecar share.

All are lower case, as gRPC metadata keys and HTTP/2 field names must be. Headers that only one of the two uses, such as
Envoy's own `x-envoy-original-path`, are defined where they are used.
"""

AUTHORIZATION = "authorization"
"""Request: the API key, as a bearer token (RFC 6750)."""
REQUEST_ID = "x-request-id"
"""Request and response: correlation id in the logs and spans of both processes. Set by the caller, else by Envoy."""
TRACEPARENT = "traceparent"
"""Request: the caller's trace context (https://www.w3.org/TR/trace-context/#traceparent-header)."""
CALLER_ADDRESS = "x-caller-address"
"""Request, Envoy to service: the caller's address without its port. Envoy overwrites a value from the caller."""
CLIENT_CERTIFICATE = "x-forwarded-client-cert"
"""Request, Envoy to service: the client certificate in Envoy's XFCC format. Envoy drops a value from the caller."""
MESSAGE_CODEC = "x-message-codec"
"""Request, Envoy to service: `proto` or `json` for the Connect protocol's calls, by the form of their messages."""
SESSION_ID = "x-session-id"
"""Request: the caller's id of a conversation; requests with the same id are routed to the same replica."""
UNKNOWN_FIELD = "x-unknown-field"
"""Request, Envoy to service: place of a JSON field that the request's message does not have, percent-encoded; `!`
for a body that is no JSON, `+` for one of too many values; `?` or `&` and the name of a query parameter that the method
does not take, or that is given twice. See `envoy/fields.lua`. Envoy drops a value from the caller."""
AFFINITY_KEY = "x-llm-affinity"
"""Request, within Envoy: hash key that `envoy/affinity.lua` sets for the routes. Envoy drops a caller's value."""

GRPC_STATUS = "grpc-status"
GRPC_MESSAGE = "grpc-message"
GRPC_STATUS_DETAILS = "grpc-status-details-bin"
"""Trailer: a serialized google.rpc.Status."""
RETRY_AFTER = "retry-after"
"""Response: seconds to wait before a retry, a whole number (RFC 9110, 10.2.3)."""
RETRY_ELSEWHERE = "x-retry-elsewhere"
"""Response, service to Envoy: the request may be retried on another replica at once."""
WWW_AUTHENTICATE = "www-authenticate"
"""Response: the required authentication scheme (RFC 9110, 11.6.1)."""

API_KEY = "x-api-key"
"""Request: the API key, as Anthropic's clients send it."""
ANSWER_ID = "request-id"
"""Response: the correlation id, as Anthropic's clients look for it."""
ERROR_TYPE = "x-error-type"
"""Response, service to Envoy: the type of the error object of OpenAI's and Anthropic's wires."""
ERROR_CODE = "x-error-code"
"""Response, service to Envoy: the code in OpenAI's error object, and in the details of Anthropic's."""
OPENAI_ERROR = {"type": ERROR_TYPE, "param": "x-error-param", "code": ERROR_CODE}
"""Response, service to Envoy: the header that carries each field of OpenAI's error object."""
