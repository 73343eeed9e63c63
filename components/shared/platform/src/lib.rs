//! The thin Spin shell: outbound HTTP, Postgres, variables, clock, answers.
