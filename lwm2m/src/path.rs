//! Paths of the LwM2M resource tree: `/3` (object), `/3/0` (instance), `/3/0/1` (resource), `/3/0/7/1` (resource
//! instance). Text in, a typed path out, and back. OMA TS 1.1 Core, 7.3 (identifiers) and Transport, 6.4 (URIs).

use std::fmt;
use std::str::FromStr;

/// How deep a path reaches into the tree.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `/o`
    Object = 1,
    /// `/o/i`
    Instance = 2,
    /// `/o/i/r`
    Resource = 3,
    /// `/o/i/r/ri`
    ResourceInstance = 4,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Object => "object",
            Level::Instance => "object instance",
            Level::Resource => "resource",
            Level::ResourceInstance => "resource instance",
        })
    }
}

/// One to four identifiers of 0–65535. Paths order as a walk through the tree: `/3` < `/3/0` < `/3/0/1` < `/3/1`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Unused places are zero, so that the derived order and equality hold.
    ids: [u16; 4],
    level: Level,
}

impl Path {
    /// `/object`
    pub const fn object(object: u16) -> Self {
        Path {
            ids: [object, 0, 0, 0],
            level: Level::Object,
        }
    }

    /// `/object/instance`
    pub const fn instance(object: u16, instance: u16) -> Self {
        Path {
            ids: [object, instance, 0, 0],
            level: Level::Instance,
        }
    }

    /// `/object/instance/resource`
    pub const fn resource(object: u16, instance: u16, resource: u16) -> Self {
        Path {
            ids: [object, instance, resource, 0],
            level: Level::Resource,
        }
    }

    /// `/object/instance/resource/resource-instance`
    pub const fn resource_instance(object: u16, instance: u16, resource: u16, index: u16) -> Self {
        Path {
            ids: [object, instance, resource, index],
            level: Level::ResourceInstance,
        }
    }

    /// The path that these one to four identifiers make; `None` for any other number of them.
    pub fn from_ids(ids: &[u16]) -> Option<Self> {
        match *ids {
            [o] => Some(Path::object(o)),
            [o, i] => Some(Path::instance(o, i)),
            [o, i, r] => Some(Path::resource(o, i, r)),
            [o, i, r, ri] => Some(Path::resource_instance(o, i, r, ri)),
            _ => None,
        }
    }

    /// How deep this path reaches.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The one to four identifiers, outermost first.
    pub fn ids(&self) -> &[u16] {
        &self.ids[..self.level as usize]
    }

    /// The last identifier: that of the thing the path names.
    pub fn last_id(&self) -> u16 {
        self.ids[self.level as usize - 1]
    }

    /// The object identifier, which every path has.
    pub const fn object_id(&self) -> u16 {
        self.ids[0]
    }

    /// The object instance identifier, if the path reaches that far.
    pub fn instance_id(&self) -> Option<u16> {
        self.ids().get(1).copied()
    }

    /// The resource identifier, if the path reaches that far.
    pub fn resource_id(&self) -> Option<u16> {
        self.ids().get(2).copied()
    }

    /// The resource instance identifier, if the path reaches that far.
    pub fn resource_instance_id(&self) -> Option<u16> {
        self.ids().get(3).copied()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ids().iter().try_for_each(|id| write!(f, "/{id}"))
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

/// Why a text is not a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start with a slash.
    #[error("a path starts with a slash and looks like /3/0/1, found `{0}`")]
    NoSlash(String),
    /// The root, which names no object.
    #[error("a path names at least an object, like /3; found only a slash")]
    Root,
    /// More than four segments.
    #[error("a path has at most 4 segments (/object/instance/resource/resource instance), `{0}` has more")]
    TooDeep(String),
    /// A segment that is no identifier.
    #[error(
        "segment {position} of a path must be a number from 0 to 65535 without leading zeros, found `{found}`"
    )]
    BadSegment {
        /// Which one, counted from 1.
        position: usize,
        /// Its text, shortened.
        found: String,
    },
}

/// Enough of `text` to recognise it in an error message, whatever an outsider sent.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let Some(segments) = text.strip_prefix('/') else {
            return Err(PathError::NoSlash(shortened(text)));
        };
        if segments.is_empty() {
            return Err(PathError::Root);
        }
        let mut ids = [0; 4];
        let mut count = 0;
        for segment in segments.split('/') {
            let Some(place) = ids.get_mut(count) else {
                return Err(PathError::TooDeep(shortened(text)));
            };
            count += 1;
            *place = parse_id(segment).ok_or_else(|| PathError::BadSegment {
                position: count,
                found: shortened(segment),
            })?;
        }
        Ok(Path::from_ids(&ids[..count]).expect("one to four segments were counted"))
    }
}

/// An identifier in its one canonical spelling, so that two texts never mean one path.
pub(crate) fn parse_id(text: &str) -> Option<u16> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}
