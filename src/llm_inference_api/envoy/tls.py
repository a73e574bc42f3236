"""Envoy's TLS: downstream to clients, and upstream to a service in another pod.

The certificate and the client CA are SDS secrets in files of their own, because Envoy reloads only those on change.
"""

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from llm_inference_api.config.addresses import is_ip
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.security.tls import TlsFiles

Json = dict[str, Any]

_SERVER, _CLIENTS = "server", "clients"
"""Names of the secrets."""
_TLS = "extensions.transport_sockets.tls.v3"
_OLDEST = {"tls_minimum_protocol_version": "TLSv1_2"}


@dataclass(frozen=True, slots=True)
class EdgeTls:
    """TLS of the listener."""

    directory: str = "/etc/envoy"
    """Directory of the files of `secrets`, on Envoy's machine."""
    needs_client_certificate: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS of connections to the service's gRPC port."""

    authority: str
    """Path of the PEM file with the CAs of the service's certificate, on Envoy's machine."""
    names: tuple[str, ...]
    """Host names and addresses; the certificate must be valid for one of them."""


def secrets(files: TlsFiles, watched: str | None = None) -> dict[str, str]:
    """Returns the contents of the SDS secret files, by file name.

    Args:
        files: The PEM files.
        watched: Directory that Envoy watches: it reloads the secrets when a file is moved into it. None for the PEM
            files' own directories, which is how Kubernetes updates secrets.
    """
    certificate = {
        "certificate_chain": {"filename": str(files.certificate)},
        "private_key": {"filename": str(files.key)},
        "watched_directory": {"path": watched or _directory(files.certificate)},
    }
    found = {_file(_SERVER): _resource(_SERVER, tls_certificate=certificate)}
    if files.client_ca is not None:
        authorities = {
            "trusted_ca": {"filename": str(files.client_ca)},
            "watched_directory": {"path": watched or _directory(files.client_ca)},
        }
        found[_file(_CLIENTS)] = _resource(_CLIENTS, validation_context=authorities)
    return found


def downstream_transport(tls: EdgeTls) -> Json:
    """Returns the transport socket of the listener."""
    common: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": _OLDEST,
        "tls_certificate_sds_secret_configs": [_secret(_SERVER, tls.directory)],
    }
    if tls.needs_client_certificate:
        common["validation_context_sds_secret_config"] = _secret(_CLIENTS, tls.directory)
    context = typed(
        f"{_TLS}.DownstreamTlsContext",
        common_tls_context=common,
        require_client_certificate=tls.needs_client_certificate,
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def upstream_transport(tls: UpstreamTls) -> Json:
    """Returns the transport socket of the clusters that connect to the service."""
    names = [{"san_type": "IP_ADDRESS" if is_ip(name) else "DNS", "matcher": {"exact": name}} for name in tls.names]
    only_name = {"sni": tls.names[0]} if len(tls.names) == 1 and not is_ip(tls.names[0]) else {}
    context = typed(
        f"{_TLS}.UpstreamTlsContext",
        **only_name,
        common_tls_context={
            "alpn_protocols": ["h2"],
            "tls_params": _OLDEST,
            "validation_context": {
                "trusted_ca": {"filename": tls.authority},
                "match_typed_subject_alt_names": names,
            },
        },
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _secret(name: str, directory: str) -> Json:
    source = {"path_config_source": {"path": f"{directory}/{_file(name)}"}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


def _resource(name: str, **secret: Json) -> str:
    return json.dumps({"resources": [typed(f"{_TLS}.Secret", name=name, **secret)]}, indent=2) + "\n"


def _file(name: str) -> str:
    return f"tls-{name}.json"


def _directory(path: PurePath) -> str:
    return str(path.parent)
