"""Parts of a service: a batcher in front of one model thread, live events, request shapes, a client."""
