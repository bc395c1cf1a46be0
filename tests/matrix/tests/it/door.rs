//! What arrives at the door is hostile.
