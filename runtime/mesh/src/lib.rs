//! Calls between services: connections over Unix sockets and mutual TLS.
