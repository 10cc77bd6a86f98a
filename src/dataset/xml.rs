//! Text inside XML and HTML.

/// `text` as it may stand between tags and in quoted attributes. Control characters, which XML cannot hold at all, become
/// spaces.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_ends_a_tag_or_an_attribute() {
        assert_eq!(escaped("a<b> & \"c\"\n\u{0}d'é"), "a&lt;b&gt; &amp; &quot;c&quot;  d'é");
    }

    proptest! {
        #[test]
        fn a_parser_reads_it_back(text in any::<String>()) {
            let page = format!("<a b=\"{0}\">{0}</a>", escaped(&text));
            let page = roxmltree::Document::parse(&page).unwrap();
            let plain: String = text.chars().map(|c| if escaped(&c.to_string()) == " " { ' ' } else { c }).collect();
            prop_assert_eq!(page.root_element().attribute("b"), Some(&plain[..]));
            prop_assert_eq!(page.root_element().text().unwrap_or_default(), plain);
        }
    }
}
