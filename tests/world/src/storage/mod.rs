//! A simulated Supabase Storage.
