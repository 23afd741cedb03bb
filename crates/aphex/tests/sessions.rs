//! Sessions of kubectl and of plain requests, each held against a real kube-apiserver: `sessions/scripts` has them,
//! `sessions/differences.yaml` what is known to differ and why.
//!
//! A session runs on an embedded engine of its own and on the one real server, in a namespace of its own. What both
//! answered is made comparable (`normal`) and compared (`compare`); a difference that is not listed fails, and so does
//! a listed one that is gone. `SESSIONS=name,name` runs only these; `SESSIONS_OUT=DIR` keeps what both sides said.

mod sessions {
    pub(crate) mod account;
    pub(crate) mod compare;
    pub(crate) mod engine;
    pub(crate) mod known;
    pub(crate) mod normal;
    pub(crate) mod normal_text;
    pub(crate) mod play;
    pub(crate) mod requests;
    pub(crate) mod run;
    pub(crate) mod script;
}
