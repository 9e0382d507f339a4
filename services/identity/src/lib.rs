//! Decentralised identifiers, password authentication, signed tokens.
