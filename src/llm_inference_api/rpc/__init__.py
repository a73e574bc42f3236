"""Common handling of all RPCs: interceptor, authentication, admission, error mapping and health."""
