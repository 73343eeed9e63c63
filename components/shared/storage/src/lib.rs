//! The destination of bytes: Supabase Storage.
