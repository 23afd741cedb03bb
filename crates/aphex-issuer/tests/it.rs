//! The issuer over HTTP, with a real client and a clock that tests turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: what cannot be had ends the test"
)]

#[path = "it/world.rs"]
mod world;

#[path = "it/account.rs"]
mod account;
#[path = "it/browser.rs"]
mod browser;
#[path = "it/code.rs"]
mod code;
#[path = "it/devices.rs"]
mod devices;
#[path = "it/faces.rs"]
mod faces;
#[path = "it/logout.rs"]
mod logout;
#[path = "it/pages.rs"]
mod pages;
#[path = "it/refresh.rs"]
mod refresh;
#[path = "it/restart.rs"]
mod restart;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/tokens.rs"]
mod tokens;
#[path = "it/wishes.rs"]
mod wishes;
