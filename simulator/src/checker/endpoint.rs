//! What is known of one endpoint: its registration as announced, its device as it says itself, its open tickets.

/// The index of a ticket in the book.
pub type TicketId = u32;
/// The index of an endpoint in the book.
pub type EndpointId = u32;

/// What the announcements say of an endpoint.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub enum Registered {
    /// Nothing, in this era.
    #[default]
    Never,
    /// A registration has been in force since; a replacement is no interruption.
    Since {
        /// The first announcement of it.
        from_us: u64,
        /// The last one.
        heard_us: u64,
    },
    /// The last one ended.
    Ended,
}

/// One endpoint.
#[derive(Debug, Default)]
pub struct Endpoint {
    pub name: Box<str>,
    /// The tickets that have no outcome, in the order in which they were first sent.
    pub open: Vec<TicketId>,
    /// When the last outcome was heard.
    pub ended_us: u64,
    pub registered: Registered,
    /// When the last timeout of all that was ever asked of it is over.
    pub deadline_us: u64,
    /// Until then what a broker that forgot had ended may be open again, and stand before all else.
    pub ghosts_until_us: u64,
    /// Its device is off, has taken leave, or is behind an address that nobody has heard of.
    away: bool,
    /// When it slept, came back, or registered anew last; in the future while it sleeps.
    hindered_us: u64,
    /// When it last rejected a request.
    pub rejected_us: Option<u64>,
}

impl Endpoint {
    /// One of which nothing else is known.
    pub fn named(name: &str) -> Endpoint {
        let name = name.into();
        Endpoint {
            name,
            ..Endpoint::default()
        }
    }

    /// Its device goes, to come back with [`Endpoint::is_back`].
    pub fn goes_away(&mut self, at_us: u64) {
        self.away = true;
        self.is_hindered(at_us);
    }

    /// The cluster and its device have spoken.
    pub fn is_back(&mut self, at_us: u64) {
        self.away = false;
        self.is_hindered(at_us);
    }

    /// Until then nobody could reach its device, or not by the same exchange.
    pub fn is_hindered(&mut self, until_us: u64) {
        self.hindered_us = self.hindered_us.max(until_us);
    }

    /// When something last stood between the cluster and its device.
    pub fn hindered_us(&self) -> u64 {
        self.hindered_us
    }

    /// Since when its device can be reached, if it can.
    pub fn reachable_since(&self, at_us: u64) -> Option<u64> {
        (!self.away && self.hindered_us <= at_us).then_some(self.hindered_us)
    }

    /// It is announced that it is registered.
    pub fn announced(&mut self, at_us: u64) {
        let from_us = match self.registered {
            Registered::Since { from_us, .. } => from_us,
            Registered::Never | Registered::Ended => at_us,
        };
        let heard_us = at_us;
        self.registered = Registered::Since { from_us, heard_us };
    }
}
