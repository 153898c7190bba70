"""Kafka topics of the project: definitions, creation, checks at start."""
