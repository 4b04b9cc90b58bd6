"""Changes pushed to who listens: server-sent events and WebSockets on the change feed."""
