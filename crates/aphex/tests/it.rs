//! The built program, end to end.

mod it {
    pub(crate) mod bodies;
    pub(crate) mod clients;
    pub(crate) mod commands;
    pub(crate) mod completion;
    pub(crate) mod crash;
    pub(crate) mod doctor;
    pub(crate) mod examples;
    pub(crate) mod failures;
    pub(crate) mod floods;
    pub(crate) mod formats;
    pub(crate) mod gateway;
    pub(crate) mod hooks;
    pub(crate) mod install;
    pub(crate) mod issuer;
    pub(crate) mod kills;
    pub(crate) mod knowledge;
    pub(crate) mod kubelogin;
    pub(crate) mod leader;
    pub(crate) mod login;
    pub(crate) mod manifests;
    pub(crate) mod monitoring;
    pub(crate) mod openid;
    pub(crate) mod people;
    pub(crate) mod pipelines;
    pub(crate) mod plan;
    pub(crate) mod program;
    pub(crate) mod reading;
    pub(crate) mod runs;
    pub(crate) mod secrets;
    pub(crate) mod stranger;
    pub(crate) mod terminal;
    pub(crate) mod tunnel;
    pub(crate) mod versions;
    pub(crate) mod why;
}
