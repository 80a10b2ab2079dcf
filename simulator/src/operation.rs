//! What can be asked of a device: the one table of the kinds of requests that the load makes, and what a device takes a
//! request for.

use std::sync::Arc;

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

/// What a request of a kind carries for the device to see, unique for its ticket.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Nothing.
    Nothing,
    /// A value to write, in this mode of the northbound interface.
    Value(&'static str),
    /// An argument.
    Argument,
}

/// What is to be known of a kind of request.
#[derive(Debug)]
pub struct Declaration {
    /// Of which kind.
    pub kind: RequestKind,
    /// As in the scenario file and in the history.
    pub name: &'static str,
    /// `kind` in the northbound interface, where the two writes differ in their mode, and what is malformed would be a read.
    pub northbound: &'static str,
    /// What the device takes it for; none: it never gets there.
    pub method: Option<Method>,
    /// What it carries.
    pub carries: Carries,
    /// False for kinds that may reach the device at most once (rule 4 of the contract).
    pub repeatable: bool,
    /// The path that is meant when the scenario names none.
    pub default_path: &'static str,
    /// Whether it can be made for this path.
    fits: fn(&[u16]) -> bool,
    /// What a path must be.
    expects: &'static str,
}

/// All kinds of requests, in the order of [`RequestKind`].
pub const REQUESTS: [Declaration; 5] = [
    Declaration {
        kind: RequestKind::Read,
        name: "read",
        northbound: "read",
        method: Some(Method::Read),
        carries: Carries::Nothing,
        repeatable: true,
        default_path: "/3/0/2",
        fits: |path| (1..=4).contains(&path.len()),
        expects: "a path such as \"/3\", \"/3/0\" or \"/3/0/0\" for read",
    },
    Declaration {
        kind: RequestKind::Write,
        name: "write",
        northbound: "write",
        method: Some(Method::Write),
        carries: Carries::Value("REPLACE"),
        repeatable: true,
        default_path: "/3/0/15",
        fits: |path| path.len() == 3,
        expects: "the path of a resource, such as \"/3/0/15\", for write",
    },
    Declaration {
        kind: RequestKind::WriteUpdate,
        name: "write-update",
        northbound: "write",
        method: Some(Method::Write),
        carries: Carries::Value("UPDATE"),
        repeatable: false,
        default_path: "/3/0",
        fits: |path| matches!(path, &[object, _] if writable_string(object).is_some()),
        expects: "the path of an instance with a string to change, \"/3/0\" or \"/3303/0\", for write-update",
    },
    Declaration {
        kind: RequestKind::Execute,
        name: "execute",
        northbound: "execute",
        method: Some(Method::Execute),
        carries: Carries::Argument,
        repeatable: false,
        default_path: "/3303/0/5605",
        fits: |path| path.len() == 3,
        expects: "the path of a resource, such as \"/3303/0/5605\", for execute",
    },
    Declaration {
        kind: RequestKind::Malformed,
        name: "malformed",
        northbound: "read",
        method: None,
        carries: Carries::Nothing,
        repeatable: false,
        default_path: "/3/0/2",
        fits: |_| true,
        expects: "a path",
    },
];

/// The names of all kinds of requests, as in the scenario file.
pub const REQUEST_NAMES: [&str; REQUESTS.len()] = {
    let mut names = [""; REQUESTS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = REQUESTS[index].name;
        index += 1;
    }
    names
};

/// The writable string resource of an object that an instance-level write changes: Timezone of Device (LwM2M core TS,
/// Annex E.4) and Application Type of Temperature (IPSO 3303).
const WRITABLE_STRINGS: [(u16, u16); 2] = [(3, 15), (3303, 5750)];

/// The string that can be written in an instance of this object, if there is one.
pub fn writable_string(object: u16) -> Option<u16> {
    let mut known = WRITABLE_STRINGS.iter();
    known
        .find(|(known, _)| *known == object)
        .map(|&(_, resource)| resource)
}

impl RequestKind {
    /// What is to be known of it.
    pub fn declaration(self) -> &'static Declaration {
        &REQUESTS[self as usize]
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<RequestKind> {
        let known = REQUESTS.iter().find(|request| request.name == name);
        known.map(|request| request.kind)
    }

    /// As in the scenario file and in the history.
    pub fn as_str(self) -> &'static str {
        self.declaration().name
    }

    /// Checks, when a scenario is read, that a request of this kind can be made for this path; else says what is expected.
    pub fn check_path(self, path: &[u16]) -> Result<(), &'static str> {
        let declaration = self.declaration();
        (declaration.fits)(path).then_some(()).ok_or(declaration.expects)
    }
}

/// What is asked of a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operation {
    /// What is asked.
    pub kind: RequestKind,
    /// Of what: `/3/0/0`. It passed [`RequestKind::check_path`].
    pub path: Arc<str>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_at_its_place_in_the_table_under_the_name_of_the_history() {
        for (index, request) in REQUESTS.iter().enumerate() {
            assert_eq!(request.kind as usize, index, "{}", request.name);
            let in_history = serde_json::to_value(request.kind).unwrap();
            assert_eq!(in_history, request.name);
            assert_eq!(RequestKind::named(request.name), Some(request.kind));
        }
    }

    #[test]
    fn a_path_that_does_not_fit_the_kind_is_refused_with_what_is_expected() {
        let expected = |kind: RequestKind, path: &[u16]| kind.check_path(path).unwrap_err();
        assert!(expected(RequestKind::WriteUpdate, &[3, 0, 15]).contains("\"/3/0\""));
        assert!(expected(RequestKind::WriteUpdate, &[5, 0]).contains("\"/3303/0\""));
        assert!(expected(RequestKind::Write, &[3, 0]).contains("\"/3/0/15\""));
        assert!(expected(RequestKind::Execute, &[3, 0]).contains("a resource"));
        assert!(expected(RequestKind::Read, &[3, 0, 0, 0, 0]).contains("for read"));
        assert_eq!(RequestKind::Read.check_path(&[3, 0, 6, 0]), Ok(()));
    }
}
