//! The client of a labelling server (X-AnyLabeling-Server) on another machine: pictures and prompts go there, objects come
//! back. And the webhook and the broker that records are told to. Nothing else in the crate begins to speak to another machine, and this
//! does so only with the one that it is given.

mod agent;
mod client;
mod exemplar;
#[cfg(feature = "line")]
pub mod mqtt;
mod prompts;
mod resolve;
mod shapes;
mod webhook;
mod wire;

pub use client::{Client, Failure, Key, Options};
pub use exemplar::{Widened, with_exemplars};
pub use prompts::Prompts;
pub use shapes::{Found, LeftOut};
pub use webhook::Webhook;
pub use wire::{Ask, Picture, Wanted, mime};
