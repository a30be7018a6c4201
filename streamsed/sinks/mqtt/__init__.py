"""The MQTT sink: connection, topics, Home Assistant discovery."""
