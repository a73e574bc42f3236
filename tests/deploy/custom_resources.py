"""The fields of custom resources that the manifests use or are likely to, as their definitions (CRDs) have them.

From August 2026: sigs.k8s.io/gateway-api-inference-extension, commit 84436a9 (InferencePool), sigs.k8s.io/gateway-api,
commit 4564255 (Gateway, HTTPRoute), github.com/prometheus-operator/prometheus-operator, commit 6adcebc (the others).
"""

from tests.deploy.shapes import Shape

_LABELS: Shape = {"matchLabels": None, "matchExpressions": [{"key": None, "operator": None, "values": None}]}
_RELABELING: Shape = {
    "action": None,
    "regex": None,
    "replacement": None,
    "separator": None,
    "sourceLabels": None,
    "targetLabel": None,
}
_SCRAPE: Shape = {
    "honorLabels": None,
    "interval": None,
    "path": None,
    "port": None,
    "relabelings": [_RELABELING],
    "metricRelabelings": [_RELABELING],
    "scheme": None,
    "scrapeTimeout": None,
}
_BACKEND: Shape = {"group": None, "kind": None, "name": None, "namespace": None, "port": None, "weight": None}
_PARENT: Shape = {"group": None, "kind": None, "name": None, "namespace": None, "port": None, "sectionName": None}
_MATCH: Shape = {
    "path": {"type": {"Exact", "PathPrefix", "RegularExpression"}, "value": None},
    "headers": [{"type": {"Exact", "RegularExpression"}, "name": None, "value": None}],
    "method": None,
}
_LISTENER: Shape = {
    "name": None,
    "hostname": None,
    "port": None,
    "protocol": None,
    "tls": None,
    "allowedRoutes": {"namespaces": {"from": {"All", "Same", "Selector"}, "selector": _LABELS}, "kinds": None},
}
_RULE: Shape = {
    "alert": None,
    "record": None,
    "expr": None,
    "for": None,
    "keep_firing_for": None,
    "labels": None,
    "annotations": None,
}
SPECIFICATIONS: dict[tuple[str, str], Shape] = {
    ("inference.networking.k8s.io/v1", "InferencePool"): {
        "appProtocol": {"http", "kubernetes.io/h2c"},
        "endpointPickerRef": {
            "failureMode": {"FailOpen", "FailClose"},
            "group": None,
            "kind": None,
            "name": None,
            "port": {"number": None},
        },
        "selector": {"matchLabels": None},
        "targetPorts": [{"number": None}],
    },
    ("gateway.networking.k8s.io/v1", "Gateway"): {
        "addresses": None,
        "gatewayClassName": None,
        "infrastructure": {"annotations": None, "labels": None, "parametersRef": None},
        "listeners": [_LISTENER],
    },
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {
        "hostnames": None,
        "parentRefs": [_PARENT],
        "rules": [
            {
                "name": None,
                "backendRefs": [_BACKEND],
                "filters": None,
                "matches": [_MATCH],
                "timeouts": {"backendRequest": None, "request": None},
            }
        ],
    },
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {
        "endpoints": [_SCRAPE],
        "jobLabel": None,
        "namespaceSelector": None,
        "selector": _LABELS,
        "targetLabels": None,
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "jobLabel": None,
        "namespaceSelector": None,
        "podMetricsEndpoints": [_SCRAPE],
        "selector": _LABELS,
    },
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups": [{"name": None, "interval": None, "labels": None, "rules": [_RULE]}]
    },
}
"""Of each kind, by `apiVersion` and kind."""
