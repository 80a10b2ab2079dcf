//! The query of a registration request, split into names and values.

use super::RegistrationError;
use crate::coap::{Message, option};

/// The most parameters of one request.
const MAX_PARAMETERS: usize = 64;

/// What is left of the query, in order.
pub(super) struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    /// The query of `message`; one name twice is an error, because nobody could say which value was meant.
    pub(super) fn parse(message: &'a Message) -> Result<Self, RegistrationError> {
        let mut parameters: Vec<(&str, &str)> = Vec::new();
        for query in message.options.all(option::URI_QUERY) {
            let Ok(text) = std::str::from_utf8(query) else {
                return Err(RegistrationError::bad_request("a query parameter is UTF-8 text"));
            };
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            if name.is_empty() {
                return Err(RegistrationError::bad_request(
                    "a query parameter has a name, like lt=60",
                ));
            }
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(RegistrationError::bad_request(format!(
                    "the query parameter {name} appears twice"
                )));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(RegistrationError::bad_request(format!(
                    "a request has at most {MAX_PARAMETERS} query parameters"
                )));
            }
            parameters.push((name, value));
        }
        Ok(Parameters(parameters))
    }

    /// Removes the parameter `name` and returns its value, which is empty if it had none.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        let place = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(place).1)
    }

    /// Whether the parameter `name` is still there.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// What nobody took.
    pub(super) fn rest(self) -> Vec<(&'a str, &'a str)> {
        self.0
    }
}
