"""Checkpoints whose weights are already quantised: GPTQ and AWQ."""
