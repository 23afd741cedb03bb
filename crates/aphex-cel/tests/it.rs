//! What expressions give, limits included.

mod it {
    pub(crate) mod bounds;
    pub(crate) mod caller;
    mod conformance;
    pub(crate) mod kubernetes;
    pub(crate) mod language;
    pub(crate) mod triggers;
}
