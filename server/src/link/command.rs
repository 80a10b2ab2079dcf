//! What a link says to the broker, and what it hears as an answer.

use crate::store::{Call, Value};
use std::borrow::Cow;
use std::rc::Rc;

/// The answer to a command: a value, or an error in the broker's words, its code first.
pub type Answer = Result<Value, String>;

/// Something that is said to the broker. Each is answered once.
#[derive(Clone, Debug)]
pub enum Command {
    /// AUTH.
    Login {
        /// An ACL user; none: the default one.
        user: Option<String>,
        /// The password.
        password: String,
    },
    /// SELECT.
    Database(String),
    /// SCRIPT LOAD.
    Load(Cow<'static, str>),
    /// EVALSHA.
    Call {
        /// The script's name, as the broker gave it.
        hash: Rc<str>,
        /// The call.
        call: Rc<Call>,
    },
    /// SUBSCRIBE to one channel.
    Subscribe(String),
    /// PING.
    Ping,
}

impl Command {
    /// Its words, as the broker reads them.
    pub fn words(&self) -> Vec<&[u8]> {
        match self {
            Command::Login {
                user: Some(user),
                password,
            } => vec![b"AUTH", user.as_bytes(), password.as_bytes()],
            Command::Login { user: None, password } => vec![b"AUTH", password.as_bytes()],
            Command::Database(number) => vec![b"SELECT", number.as_bytes()],
            Command::Load(text) => vec![b"SCRIPT", b"LOAD", text.as_bytes()],
            Command::Call { hash, call } => {
                let mut words: Vec<&[u8]> = Vec::with_capacity(4 + call.args.len());
                words.extend([b"EVALSHA".as_slice(), hash.as_bytes(), b"1", call.key.as_bytes()]);
                words.extend(call.args.iter().map(Vec::as_slice));
                words
            }
            Command::Subscribe(channel) => vec![b"SUBSCRIBE", channel.as_bytes()],
            Command::Ping => vec![b"PING"],
        }
    }
}

/// Who a connection is, and where: what every one begins with.
#[derive(Clone, Default)]
pub struct Login {
    /// An ACL user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database; channels have none.
    pub database: i64,
}

impl Login {
    /// The commands that say so.
    pub(super) fn commands(&self) -> impl Iterator<Item = Command> + use<> {
        let login = self.password.clone().map(|password| Command::Login {
            user: self.user.clone(),
            password,
        });
        let database = (self.database != 0).then(|| Command::Database(self.database.to_string()));
        login.into_iter().chain(database)
    }
}
