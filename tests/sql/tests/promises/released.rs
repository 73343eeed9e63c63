//! Installations of the versions that were released, as they were.

use std::path::Path;

use world::postgres::{Database, sql_files_in};

use crate::project::{Project, server};

/// What was released, oldest first: a folder of `released/` for each, kept from now on.
pub const VERSIONS: [&str; 3] = ["0.1.0", "0.2.0", "0.3.0"];

/// A database on which a version was installed.
pub async fn installed(version: &str) -> Project {
    // The first database of a server with everything in it lets the components in.
    server().await.database().await.unwrap();
    let database = server().await.bare_database().await.unwrap();
    install(&database, version).await;
    Project::of(database).await
}

/// Installs a version.
pub async fn install(database: &Database, version: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("released")
        .join(version);
    database
        .apply(sql_files_in(&folder).unwrap())
        .await
        .unwrap();
}
