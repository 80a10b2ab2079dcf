//! What can be asked of a device: the kinds of requests that the load makes, and what a device takes a request for.

use serde::{Deserialize, Serialize};

/// The kinds of requests that the load can make, named as in the scenario file and in the history.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// Read
    Read,
    /// Write, mode REPLACE (PUT)
    Write,
    /// Write, mode UPDATE (POST): changes one resource of an instance
    WriteUpdate,
    /// Execute
    Execute,
    /// What is no request: JSON that ends too early, of which the ticket can be read (rule 7 of the contract)
    Malformed,
}

impl RequestKind {
    /// As in the scenario file.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Read => "read",
            RequestKind::Write => "write",
            RequestKind::WriteUpdate => "write-update",
            RequestKind::Execute => "execute",
            RequestKind::Malformed => "malformed",
        }
    }

    /// `kind` in the northbound interface, where the two writes differ in their `mode`, and what is malformed would be a read.
    pub fn northbound(self) -> &'static str {
        match self {
            RequestKind::WriteUpdate => "write",
            RequestKind::Malformed => "read",
            other => other.as_str(),
        }
    }

    /// False for kinds that may reach the device at most once (rule 4 of the contract).
    pub fn repeatable(self) -> bool {
        matches!(self, RequestKind::Read | RequestKind::Write)
    }

    /// The path that is meant when the scenario names none.
    pub fn default_path(self) -> &'static str {
        match self {
            RequestKind::Read | RequestKind::Malformed => "/3/0/0",
            RequestKind::Write => "/3/0/15",
            RequestKind::WriteUpdate => "/3/0",
            RequestKind::Execute => "/3303/0/5605",
        }
    }
}

/// What a device takes a request for, by its method and its path (OMA TS 1.1 Core, 6.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// Read
    Read,
    /// Discover
    Discover,
    /// Write-Attributes
    WriteAttributes,
    /// Write, in either mode
    Write,
    /// Execute
    Execute,
    /// Create
    Create,
    /// Delete
    Delete,
    /// Read-Composite
    ReadComposite,
    /// Write-Composite
    WriteComposite,
    /// None of them.
    Unknown,
}

impl Method {
    /// As in the northbound interface and in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Read => "read",
            Method::Discover => "discover",
            Method::WriteAttributes => "writeAttributes",
            Method::Write => "write",
            Method::Execute => "execute",
            Method::Create => "create",
            Method::Delete => "delete",
            Method::ReadComposite => "readComposite",
            Method::WriteComposite => "writeComposite",
            Method::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
