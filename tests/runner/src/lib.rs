//! Runs spin.toml on wasmtime where no Spin CLI is at hand; a development tool, not a server.
