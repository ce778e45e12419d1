//! The examples, run as a user would run them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/http_client.rs"]
mod http_client;

mod channels;
mod chunked_body;
mod crawl;
mod dump;
mod echo_server;
mod fetch;
mod find_bugs;
mod graceful_shutdown;
mod http_idle;
mod http_load;
mod http_server;
mod listed;
mod per_worker;
mod race;
mod tour;
mod tree_walk;
mod watchdog;
