"""The venue to the topic `feed`: connections, subscriptions, frames."""
