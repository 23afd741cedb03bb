//! The command as people call it, with real engines.

#[cfg(test)]
mod it {
    mod cluster;
}
