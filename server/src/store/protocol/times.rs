//! The times and sizes that both languages know, and how they must stand to each other.

use lwm2m::coap::TransmissionParameters;
use std::time::Duration;

/// EXCHANGE_LIFETIME (RFC 7252, 4.8.2): as long as a device may remember a message ID.
pub const EXCHANGE_LIFETIME: Duration = Duration::from_secs(247);
/// A device sends a message again for up to MAX_TRANSMIT_SPAN (45 s) after the one that was served, and each of them may be
/// under way for EXCHANGE_LIFETIME: for so long an uplink is known again.
pub const UPLINK_MEMORY: Duration = Duration::from_secs(45 + EXCHANGE_LIFETIME.as_secs());
/// How much longer than two leases a request may be replayed, and a member listens before it gets partitions.
pub const HORIZON_BEYOND_LEASES: Duration = Duration::from_secs(1);
/// The least and the longest lease.
pub const LEASES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// How much later than the lease (F) what is overdue may end.
pub const SLACK: Duration = Duration::from_millis(500);
/// The least time from one copy of an order to the next.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// After a silence of the broker, devices get so much longer.
pub const GRACE: Duration = Duration::from_secs(5);
/// No suspension of expiry is longer.
const LONGEST_SUSPENSION: Duration = Duration::from_secs(86_400);
/// Message IDs are never behind the broker's clock, at so much each.
const MESSAGE_ID: Duration = Duration::from_millis(5);
/// Beyond any time of the broker (ms): where the ended tickets begin in the order of the open ones.
const ENDED: u64 = 10_000_000_000_000;

/// How far back requests are replayed, with leases of this length.
pub const fn horizon(lease: Duration) -> Duration {
    lease.saturating_mul(2).saturating_add(HORIZON_BEYOND_LEASES)
}

/// How long a refusal is remembered: 10 s, or as long as the request may be replayed, so that what was refused is not
/// executed after all.
pub const fn refusal_memory(lease: Duration) -> Duration {
    let replayed = horizon(lease).saturating_add(SLACK);
    let least = Duration::from_secs(10);
    if replayed.as_millis() > least.as_millis() {
        replayed
    } else {
        least
    }
}

/// The shortest memory of outcomes with leases of this length: a request may be replayed as long as it is in the horizon,
/// and its ticket may have ended as late as F after that.
pub const fn least_retention(lease: Duration) -> Duration {
    horizon(lease).saturating_add(lease).saturating_add(SLACK)
}

const fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

const _: () = {
    let (shortest, longest) = LEASES;
    assert!(
        ms(refusal_memory(shortest)) > ms(horizon(shortest)),
        "a refusal is forgotten while it may be replayed"
    );
    assert!(
        ms(refusal_memory(longest)) > ms(horizon(longest)),
        "a refusal is forgotten while it may be replayed"
    );
    assert!(
        ms(UPLINK_MEMORY) >= ms(EXCHANGE_LIFETIME),
        "copies of uplinks come later than they are known"
    );
    assert!(
        ms(MESSAGE_ID) * 65_536 > ms(EXCHANGE_LIFETIME),
        "message IDs come again while devices remember them"
    );
    assert!(
        ENDED / 2 > 1_795_000_000_000,
        "open and ended tickets lie among each other"
    );
};

/// The table as Lua sees it; milliseconds, where the name says nothing else.
pub(super) const TABLE: (&str, &[(&str, u64)]) = (
    "Time",
    &[
        ("EXCHANGE_LIFETIME", ms(EXCHANGE_LIFETIME)),
        ("UPLINK_SECONDS", UPLINK_MEMORY.as_secs()),
        ("HORIZON_BEYOND_LEASES", ms(HORIZON_BEYOND_LEASES)),
        ("TELL_AGAIN", ms(TELL_AGAIN)),
        ("GRACE", ms(GRACE)),
        ("LONGEST_SUSPENSION", ms(LONGEST_SUSPENSION)),
        ("MESSAGE_ID", ms(MESSAGE_ID)),
        ("ENDED", ENDED),
        ("TOKEN_AND_COMMA", 17),
        ("MOST_ATTRIBUTES", 64),
    ],
);

/// Whether the store remembers for as long as devices do that are asked with these parameters; if not, why.
pub fn check_transmission(parameters: &TransmissionParameters) -> Result<(), String> {
    let lifetime = parameters.exchange_lifetime();
    if lifetime > EXCHANGE_LIFETIME {
        return Err(format!(
            "with this ACK_TIMEOUT and MAX_RETRANSMIT a device has to remember a message for {} s, and the cluster does \
             for {} s; expected smaller ones",
            lifetime.as_secs(),
            EXCHANGE_LIFETIME.as_secs()
        ));
    }
    Ok(())
}
