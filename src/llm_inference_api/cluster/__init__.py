"""Models that are served by a Ray cluster: the only room that imports Ray."""
