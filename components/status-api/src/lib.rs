//! status-api
