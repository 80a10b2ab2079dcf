//! Message IDs (RFC 7252, 4.4).

/// A counter of message IDs for one peer. The first value should be random; an ID must not be used again with the same
/// peer within EXCHANGE_LIFETIME, so at most 65 536 messages may go to it in that time.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct MessageIds(u16);

impl MessageIds {
    /// A counter whose first ID is `first`.
    pub const fn starting_at(first: u16) -> Self {
        MessageIds(first)
    }

    /// The next ID; wraps from 65 535 to 0.
    pub fn draw(&mut self) -> u16 {
        let id = self.0;
        self.0 = id.wrapping_add(1);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_and_wrap() {
        let mut ids = MessageIds::starting_at(u16::MAX);
        assert_eq!((ids.draw(), ids.draw(), ids.draw()), (u16::MAX, 0, 1));
    }
}
