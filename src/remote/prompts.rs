//! What the server is asked for in words, and which class each answer belongs to.

use crate::error::{Error, Result};
use std::collections::HashMap;

/// The prompts of one request. The server splits their text at commas, or at full stops if there is no comma (some models
/// at full stops first), so neither is left within a prompt; a label is the prompt that found the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    text: String,
    classes: HashMap<String, usize>,
    changed: Vec<(String, String)>,
}

impl Prompts {
    /// From classes and their prompts; a class may have several. An error if two classes share a prompt (upper and lower
    /// case are the same), if one holds no word, or if there is none.
    pub fn new<'a>(prompts: impl IntoIterator<Item = (usize, &'a str)>) -> Result<Self> {
        let (mut texts, mut classes, mut changed) = (Vec::new(), HashMap::new(), Vec::new());
        for (class, prompt) in prompts {
            let text = plain(prompt);
            if !text.contains(char::is_alphanumeric) {
                return Err(Error::Usage(format!("the prompt {prompt:?} holds no word")));
            }
            if text != prompt.trim() {
                changed.push((prompt.to_string(), text.clone()));
            }
            match classes.insert(text.to_lowercase(), class) {
                None => texts.push(text),
                Some(other) if other == class => {}
                Some(_) => {
                    let message = format!("two classes have the prompt {text:?}; its answers could be of either");
                    return Err(Error::Usage(message));
                }
            }
        }
        if texts.is_empty() {
            return Err(Error::Usage("there is no prompt to ask the server for".into()));
        }
        Ok(Prompts { text: texts.join(", "), classes, changed })
    }

    /// All of them, as they are sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The class of an answer with this label, upper and lower case being the same.
    pub fn class(&self, label: &str) -> Option<usize> {
        self.classes.get(&plain(label).to_lowercase()).copied()
    }

    /// Prompts that are not sent as they were given, with what is sent.
    pub fn changed(&self) -> &[(String, String)] {
        &self.changed
    }
}

/// `prompt` without what would split it, and with single spaces.
fn plain(prompt: &str) -> String {
    let words = prompt.split(|c: char| c.is_whitespace() || c.is_control() || c == ',' || c == '.');
    words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server splits: at commas, or at full stops if there is none; or the other way round.
    fn split(text: &str, order: [char; 2]) -> Vec<String> {
        let at = order.into_iter().find(|&c| text.contains(c)).unwrap_or(',');
        text.split(at).map(|p| p.trim().to_string()).filter(|p| !p.is_empty()).collect()
    }

    #[test]
    fn the_server_splits_them_as_they_were_given() {
        let given = [(0, "gate valve"), (1, "No. 5 valve, closed"), (0, "hand wheel"), (2, " e.g.\n pump ")];
        let prompts = Prompts::new(given).unwrap();
        for order in [[',', '.'], ['.', ',']] {
            let found = split(prompts.text(), order);
            assert_eq!(found, ["gate valve", "No 5 valve closed", "hand wheel", "e g pump"]);
            let classes: Vec<_> = found.iter().map(|p| prompts.class(p)).collect();
            assert_eq!(classes, [Some(0), Some(1), Some(0), Some(2)]);
            // One alone has no comma, and its full stop would split it.
            let alone = Prompts::new([(7, "No. 5 valve")]).unwrap();
            assert_eq!(split(alone.text(), order), ["No 5 valve"]);
        }
        let changed: Vec<&str> = prompts.changed().iter().map(|(_, sent)| sent.as_str()).collect();
        assert_eq!(changed, ["No 5 valve closed", "e g pump"]);
    }

    #[test]
    fn labels_are_known_without_regard_to_case() {
        let prompts = Prompts::new([(3, "Gate Valve"), (4, "ÖLPUMPE")]).unwrap();
        assert_eq!(prompts.text(), "Gate Valve, ÖLPUMPE");
        assert_eq!(prompts.class(" gate  valve"), Some(3));
        assert_eq!(prompts.class("ölpumpe"), Some(4));
        assert_eq!(prompts.class("No. 5"), None);
        assert_eq!(prompts.class(""), None);
    }

    #[test]
    fn prompts_that_cannot_be_told_apart_are_refused() {
        let text = |prompts: &[(usize, &'static str)]| Prompts::new(prompts.iter().copied()).unwrap_err().to_string();
        assert!(text(&[(0, "No. 5"), (1, "no 5")]).contains("two classes have the prompt"));
        assert!(text(&[(0, "valve"), (1, " ., ")]).contains("holds no word"));
        assert!(text(&[]).contains("no prompt"));
        // Twice the same for one class is one prompt.
        assert_eq!(Prompts::new([(0, "valve"), (0, "VALVE")]).unwrap().text(), "valve");
    }
}
