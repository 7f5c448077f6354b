"""What every service needs to run: settings, server, health, errors, channels, telemetry."""
