//! Transmission parameters and the times that follow from them (RFC 7252, 4.8).

use std::time::Duration;

/// The parameters of RFC 7252, 4.8, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct TransmissionParameters {
    /// ACK_TIMEOUT: the shortest time until the first retransmission.
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR: the first timeout is up to this many times ACK_TIMEOUT. Values below 1 count as 1.
    pub ack_random_factor: f64,
    /// MAX_RETRANSMIT: retransmissions after the first transmission.
    pub max_retransmit: u8,
    /// NSTART: outstanding requests per peer; what goes beyond waits. `usize::MAX` switches the queue off.
    pub nstart: usize,
    /// MAX_LATENCY: the longest a datagram is expected to be on its way.
    pub max_latency: Duration,
    /// PROCESSING_DELAY: the longest a node takes to turn a confirmable message into an acknowledgement.
    pub processing_delay: Duration,
}

impl Default for TransmissionParameters {
    fn default() -> Self {
        TransmissionParameters {
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
            max_latency: Duration::from_secs(100),
            processing_delay: Duration::from_secs(2),
        }
    }
}

impl TransmissionParameters {
    /// ACK_TIMEOUT × ACK_RANDOM_FACTOR: the longest time until the first retransmission.
    pub fn longest_ack_timeout(&self) -> Duration {
        let micros = self.ack_timeout.as_micros() as f64 * self.ack_random_factor.max(1.0);
        Duration::from_micros(micros.round() as u64)
    }

    /// MAX_TRANSMIT_SPAN: from the first transmission to the last retransmission, at most. 45 s by default.
    pub fn max_transmit_span(&self) -> Duration {
        self.doublings(self.max_retransmit)
    }

    /// MAX_TRANSMIT_WAIT: from the first transmission until the sender gives up, at most. 93 s by default.
    pub fn max_transmit_wait(&self) -> Duration {
        self.doublings(self.max_retransmit.saturating_add(1))
    }

    /// MAX_RTT: there, processing, and back. 202 s by default.
    pub fn max_rtt(&self) -> Duration {
        self.max_latency
            .saturating_mul(2)
            .saturating_add(self.processing_delay)
    }

    /// EXCHANGE_LIFETIME: from the first transmission of a confirmable message until its message ID may be used again.
    /// 247 s by default.
    pub fn exchange_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_rtt())
    }

    /// NON_LIFETIME: the same for a non-confirmable message. 145 s by default.
    pub fn non_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_latency)
    }

    /// The longest first timeout, doubled `n` − 1 times and summed up: × (2ⁿ − 1).
    fn doublings(&self, n: u8) -> Duration {
        let factor = 1u32.checked_shl(u32::from(n)).map_or(u32::MAX, |power| power - 1);
        self.longest_ack_timeout().saturating_mul(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_give_the_times_of_the_rfc() {
        let parameters = TransmissionParameters::default();
        assert_eq!(parameters.max_transmit_span(), Duration::from_secs(45));
        assert_eq!(parameters.max_transmit_wait(), Duration::from_secs(93));
        assert_eq!(parameters.max_rtt(), Duration::from_secs(202));
        assert_eq!(parameters.exchange_lifetime(), Duration::from_secs(247));
        assert_eq!(parameters.non_lifetime(), Duration::from_secs(145));
    }

    #[test]
    fn absurd_parameters_saturate() {
        let parameters = TransmissionParameters {
            max_retransmit: u8::MAX,
            ack_random_factor: f64::NAN,
            ack_timeout: Duration::MAX,
            max_latency: Duration::MAX,
            ..TransmissionParameters::default()
        };
        assert_eq!(parameters.exchange_lifetime(), Duration::MAX);
    }
}
