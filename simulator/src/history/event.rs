//! The vocabulary of a history: everything that the checker and the report are made from, and nothing else.
//!
//! Both worlds write these events, in the order in which the harness saw them. Times are microseconds since the start
//! of the run. A history alone is enough to judge a run again (`simulator replay`).

use std::collections::BTreeMap;

use lwm2m::time::Time;
use serde::{Deserialize, Serialize};

use super::words::{CoapCode, ExitStatus, LossReason};
use crate::fault::FaultKind;
use crate::operation::{Method, RequestKind};

/// One event with the time at which the harness saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Microseconds since the start of the run.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Entry {
    /// The time of the event, on the run's clock.
    pub fn at(&self) -> Time {
        Time::from_micros(self.at_us)
    }
}

/// What a history can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The back end published a request: the first copy of a ticket (`attempt` 1) or a repeat of it.
    Sent {
        /// The endpoint client name of the device.
        ep: String,
        /// The ticket, unique per request in a run.
        ticket: String,
        /// What was asked.
        kind: RequestKind,
        /// The path, as sent: `/3/0/0`.
        path: String,
        /// False for kinds that may reach the device at most once (rule 4 of the contract).
        repeatable: bool,
        /// What the device is to see: the written value or the `execute` argument, unique per ticket.
        argument: Option<String>,
        /// The request's timeout in milliseconds.
        timeout_ms: u64,
        /// When the load generator meant to send it: latency counts from here.
        intended_us: u64,
        /// 1 for the first publication, 2 for the first repeat …
        attempt: u32,
        /// True for a read that the harness adds after a fault, to measure when the device answers again.
        probe: bool,
        /// False if the back end knows that its publication failed (its broker connection was down).
        published: bool,
    },
    /// The back end read a message on the response channel. `message` is the text as received.
    Heard {
        /// The JSON as published.
        message: String,
    },
    /// The back end read a registration event.
    Registration {
        /// `new`, `up` or `del`.
        channel: RegistrationChannel,
        /// The JSON as published.
        message: String,
    },
    /// The back end's broker connection went up (subscriptions confirmed) or down.
    BackEnd {
        /// True when it can publish and hears.
        connected: bool,
    },
    /// An instance (or the back end, `back-end`) lost a connection to the broker, whether it knows it or not, or has
    /// both of its connections again. Only the virtual world sees that.
    Link {
        /// Whose.
        id: String,
        /// True: both stand.
        up: bool,
    },
    /// The broker has no memory left, so that it refuses what begins something, or it has some again.
    BrokerFull {
        /// True: none left.
        full: bool,
    },
    /// A device got 2.01 for its Register.
    DeviceRegistered {
        /// The endpoint client name.
        ep: String,
        /// The registration id from Location-Path.
        registration: String,
        /// True if the device had been registered before in this run.
        again: bool,
        /// How long it took from the moment in which the Register was due, in microseconds.
        after_us: u64,
    },
    /// A device got 2.04 for its Update.
    DeviceUpdated {
        /// The endpoint client name.
        ep: String,
        /// How long it took from the moment in which the Update was due, in microseconds.
        after_us: u64,
    },
    /// A device that believed to be registered learned that it is not (4.04, or silence to the end).
    DeviceLostRegistration {
        /// The endpoint client name.
        ep: String,
        /// From what.
        reason: LossReason,
        /// How long it took from the moment in which its Update was due, in microseconds.
        after_us: u64,
    },
    /// A device heard nothing to the end in answer to its Register.
    DeviceUnanswered {
        /// The endpoint client name.
        ep: String,
        /// How long that took from the moment in which the Register was due, in microseconds.
        after_us: u64,
    },
    /// A device's Register or Update was answered with an error other than 4.04, such as 5.03.
    DeviceRefused {
        /// The endpoint client name.
        ep: String,
        /// True if it was an Update.
        update: bool,
        /// The code, `5.03`.
        code: CoapCode,
        /// How long it took from the moment in which the request was due, in microseconds.
        after_us: u64,
    },
    /// A device that does not recognise copies (RFC 7252, 4.5): each is a new request to it. Said at the start.
    DeviceForgetful {
        /// The endpoint client name.
        ep: String,
    },
    /// A device sent a De-register.
    DeviceDeregistered {
        /// The endpoint client name.
        ep: String,
    },
    /// A device was switched off and on, and lost its memory: a copy that comes later is a new request to it.
    DeviceRebooted {
        /// The endpoint client name.
        ep: String,
    },
    /// A device neither hears nor says anything for a while.
    DeviceAsleep {
        /// The endpoint client name.
        ep: String,
        /// When it wakes, microseconds since the start of the run.
        until_us: u64,
    },
    /// A device rejected a request with a Reset (RFC 7252, 4.2), and executed nothing.
    DeviceRejected {
        /// The endpoint client name.
        ep: String,
        /// The CoAP message ID of the request.
        message_id: u16,
    },
    /// A device executed a request from the server: an entry of its ledger. A copy that the device's own
    /// de-duplication answered is not an execution.
    DeviceExecuted {
        /// The endpoint client name.
        ep: String,
        /// What it was.
        kind: Method,
        /// The path of the request.
        path: String,
        /// The CoAP message ID.
        message_id: u16,
        /// The CoAP token, in hexadecimal.
        token: String,
        /// The written value or the `execute` argument.
        argument: Option<String>,
        /// The CoAP code of the answer, `2.05`.
        code: CoapCode,
        /// The value as text that a read of one resource returned.
        value: Option<String>,
        /// The values as text that a read of several returned, by their path below that of the request: `0/6/1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        values: Option<BTreeMap<String, String>>,
        /// True if the answer was nonsense: content that nobody can read.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        nonsense: bool,
        /// The id of the instance that sent the request, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// A fault was injected.
    Fault {
        /// Which.
        action: FaultKind,
        /// The ids of the instances it hit; empty for faults of other things.
        instances: Vec<String>,
        /// The endpoints that it hit, by their owner or themselves; of a harmful one the recovery is measured.
        affected: Vec<String>,
        /// True if it takes service of the cluster away (kill, pause, cut …), false if it gives it back (restart, resume,
        /// heal) or happens to something else (the devices, their network).
        harmful: bool,
        /// How long it lasts by itself, in microseconds; none: to the end, until another fault undoes it, or no time at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts_us: Option<u64>,
    },
    /// An instance's process was started (or started again).
    InstanceStarted {
        /// The instance id.
        id: String,
        /// The process id; 0 in the virtual world.
        pid: u32,
    },
    /// An instance said that it is ready.
    InstanceReady {
        /// The instance id.
        id: String,
    },
    /// An instance's process ended, as wanted by a fault or not.
    InstanceExited {
        /// The instance id.
        id: String,
        /// What the operating system said: `signal 9`, `exit 3`.
        status: ExitStatus,
        /// True if a fault asked for it.
        expected: bool,
    },
    /// The balancer's health check changed its mind about an instance.
    Health {
        /// The instance id.
        id: String,
        /// True: gets traffic.
        healthy: bool,
    },
    /// A new era began: the broker forgot something (or the first one, at the start).
    Era {
        /// What was seen.
        reason: String,
    },
    /// A clock was touched, and shows another time than the run's from now on.
    Clock {
        /// `redis`, or the id of an instance.
        of: String,
        /// How far ahead it is now, in microseconds.
        ahead_us: i64,
        /// What it gains in a million microseconds.
        rate_ppm: i64,
    },
    /// The load stopped; what is open now may still end. Nothing is sent after it but repeats.
    LoadStopped,
    /// All faults are over, and every device begins anew: from now on everything has to become well (`calm`).
    Calm,
    /// At the end of the calm something was not well.
    NotRecovered {
        /// Of which endpoint, if it is about one.
        ep: String,
        /// Of which ticket, if it is about one.
        ticket: String,
        /// A sentence.
        what: String,
    },
    /// The last entry: nothing was heard between the one before and this. Absent if the harness died.
    Ended {
        /// True if a person ended the run early: tickets that are still open say nothing then. False: the drain is
        /// over, every ticket has ended or had its timeout and F.
        interrupted: bool,
    },
}

/// The three registration channels.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationChannel {
    /// `LESHAN_REG_NEW`
    New,
    /// `LESHAN_REG_UP`
    Up,
    /// `LESHAN_REG_DEL`
    Del,
}
