"""How the house talks: MQTT to the home's dashboards, a Unix socket to `doorbell`."""
