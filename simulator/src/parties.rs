//! What those who take part in a run are called: in scenarios, in histories, in messages.

/// The broker among those whose clock is touched.
pub const REDIS: &str = "redis";

/// The back end among the instances.
pub const BACK_END: &str = "back-end";

/// The id of the instance with this index.
pub fn instance_id(index: u32) -> String {
    match u8::try_from(index) {
        Ok(small) if small < 26 => char::from(b'A' + small).to_string(),
        _ => format!("I{index}"),
    }
}
