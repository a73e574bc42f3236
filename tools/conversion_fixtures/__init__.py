"""Generation of tests/models/convert/fixtures with the programs whose results conversion must reproduce."""
