//! The platform's vocabulary: custom resources, names, labels, conditions; no IO
