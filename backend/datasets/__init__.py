"""Folders of recorded clips to shards that networks train on: names, splits, preparation, reading."""
