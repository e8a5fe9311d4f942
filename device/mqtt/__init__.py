"""MQTT: topics, discovery, and the publisher with its connection."""
