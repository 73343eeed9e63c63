//! What hosted Supabase has around Postgres: roles, auth, and stand-ins for missing extensions.
