//! Service-account tokens: signed claims that bind an account to an audience, a time, an object.
//!
//! A token is one of ours when its issuer is; then it is valid as long as its signature, audience
//! and times are. Whether the account and the object it is bound to still exist is for the API
//! server to look up: [`Verified`] names them with their uids.

mod claims;
mod signer;

pub use claims::{BoundTo, Claims, KubernetesClaims, ObjectRef};
pub use signer::{Issued, Request, Signer, TokenError, Verified};
