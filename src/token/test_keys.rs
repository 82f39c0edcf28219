//! Keys and signed tokens for tests.
