"""What llm-d-router takes: its plugins and their parameters, and its charts' values, as far as they are used here.

Taken from github.com/llm-d/llm-d-router v0.10.0, commit 71f4f0999f95b96c49a9d0c4afbd18dfdb943c26: types and
stability from cmd/epp/runner/runner.go, parameters from the `json` tags of each plugin, the configuration from
apix/config/v1alpha1/endpointpickerconfig_types.go, the values from config/charts.
"""

from tests.deploy.shapes import Shape

STABLE_ENOUGH: dict[str, Shape] = {
    "queue-scorer": {},
    "running-requests-size-scorer": {},
    "kv-cache-utilization-scorer": {},
    "prefix-cache-scorer": {
        "prefixMatchInfoProducerName": None,
        "matchLengthWeight": None,
        "matchLengthScaleTokens": None,
    },
    "approx-prefix-cache-producer": {
        "autoTune": None,
        "blockSizeTokens": None,
        "maxPrefixBlocksToMatch": None,
        "maxPrefixTokensToMatch": None,
        "lruCapacityPerServer": None,
    },
    "active-request-scorer": {},
    "max-score-picker": {"maxNumOfEndpoints": None},
    "random-picker": {"maxNumOfEndpoints": None},
    "weighted-random-picker": {"maxNumOfEndpoints": None},
    "metrics-data-source": {
        "scheme": None,
        "path": None,
        "port": None,
        "insecureSkipVerify": None,
        "caCertPath": None,
        "clientCertPath": None,
        "clientKeyPath": None,
        "interval": None,
    },
    "core-metrics-extractor": {
        "engineLabelKey": None,
        "defaultEngine": None,
        "engineConfigs": [
            {
                "name": None,
                "queuedRequestsSpec": None,
                "runningRequestsSpec": None,
                "kvUsageSpec": None,
                "loraSpec": None,
                "cacheInfoSpec": None,
                "cacheBlockSizeSpec": None,
                "cacheNumBlocksSpec": None,
            }
        ],
    },
    "openai-parser": {},
    "anthropic-parser": {},
    "passthrough-parser": {},
}
"""Parameters of Beta plugins, by type."""
ALPHA: dict[str, Shape] = {
    "session-affinity-scorer": {
        "strategy": None,
        "profileName": None,
        "encodedEndpointHeaderConfig": {"header": None},
        "sessionIdConfig": {
            "sources": [{"header": None, "attribute": None}],
            "evictionTtlSeconds": None,
            "evictionSweepSeconds": None,
        },
    }
}
"""Those of Alpha plugins, which the picker refuses without `--allow-experimental-plugins`."""
CONFIG: Shape = {
    "apiVersion": None,
    "kind": None,
    "plugins": [{"name": None, "type": None, "parameters": None}],
    "schedulingProfiles": [{"name": None, "plugins": [{"pluginRef": None, "weight": None}]}],
    "dataLayer": {
        "injectDefaults": None,
        "sources": [{"pluginRef": None, "extractors": [{"pluginRef": None}]}],
    },
    "requestHandler": {"parsers": [{"pluginRef": None}]},
}
"""`EndpointPickerConfig`."""
VALUES: Shape = {
    "provider": {"name": None},
    "httpRoute": {"create": None, "requestTimeout": None},
    "router": {
        "modelServers": {"matchLabels": None, "targetPorts": [{"number": None}], "protocol": None, "type": None},
        "inferencePool": {"create": None, "failureMode": None},
        "epp": {
            "image": {"registry": None, "repository": None, "tag": None, "pullPolicy": None},
            "flags": {"allow-experimental-plugins": None, "secure-serving": None},
            "pluginsConfigFile": None,
            "pluginsCustomConfig": None,
        },
        "proxy": {
            "enabled": None,
            "proxyType": None,
            "mode": None,
            "image": None,
            "args": None,
            "resources": None,
            "configMap": {"name": None, "data": {"envoy.yaml": None}},
        },
    },
}
"""Values of the charts llm-d-router-gateway and llm-d-router-standalone."""
