"""Packages as other people write them; each is installed before it is tried, and brings tests of its own."""

collect_ignore_glob = ["stibgate-sink-*"]
