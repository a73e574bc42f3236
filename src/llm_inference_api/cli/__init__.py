"""The command line: serve, chat, generate, models, health, settings, envoy-config."""
