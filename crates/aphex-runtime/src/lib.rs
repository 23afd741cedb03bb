//! What every long-running process needs: shutdown, logging, health, metrics, clock
