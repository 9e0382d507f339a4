//! What a service links: the Service trait, serve(), health, graceful drain.
