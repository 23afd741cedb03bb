//! EventListeners of any shape: what they say is reported, and what they do harms nobody.
#![no_main]

use aphex_api::foreign::triggers::{EventListener, EventListenerSpec};
use aphex_gateway::problems::Checked as _;
use aphex_gateway::snapshot::{Objects, Snapshot};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<EventListenerSpec>(data) else { return };
    let mut listener = EventListener::new("l", spec);
    listener.metadata.namespace = Some("n".to_owned());
    let snapshot = Snapshot::of(Objects { listeners: vec![listener.clone()], ..Objects::default() });
    let _ = listener.problems();
    let _ = aphex_gateway::select::offers(&listener, &snapshot);
});
