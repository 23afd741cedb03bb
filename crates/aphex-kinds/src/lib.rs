//! What Kubernetes knows of its own kinds: defaults, validation, printer columns; pure functions over JSON values.
