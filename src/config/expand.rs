//! Values from outside: `${VAR}`, `${VAR:-default}` and `${file:/run/secrets/x}` within texts; `$$` is a `$`.
//!
//! Only `${` begins an expansion, so that a regular expression's `$` stays as it is. What is put in isn't looked at again.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;

use super::tree::{Expanded, Kind, Value};

/// Looks up a variable of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Bytes of a file that a `${file:...}` may stand for, at most.
const FILE_MAX: u64 = 1 << 20;

/// Expands every text of a tree; tells where one can't be, and why.
pub(super) fn expand(value: &mut Value, environment: Environment<'_>, problem: &mut dyn FnMut(u32, String, &'static str)) {
    match &mut value.kind {
        Kind::Text(text) if memchr::memchr(b'$', text.as_bytes()).is_some() => match expanded(text, environment) {
            Ok(None) => {}
            Ok(Some(new)) => value.kind = new,
            Err((message, hint)) => {
                problem(value.at, message, hint);
                value.kind = Kind::Refused;
            }
        },
        Kind::List(values) => values.iter_mut().for_each(|value| expand(value, environment, problem)),
        Kind::Table(entries) => entries.iter_mut().for_each(|entry| expand(&mut entry.value, environment, problem)),
        _ => {}
    }
}

/// The text with all expansions made; `None` if there is nothing to expand.
fn expanded(written: &str, environment: Environment<'_>) -> Result<Option<Kind>, (String, &'static str)> {
    let (mut text, mut rest) = (String::with_capacity(written.len()), written);
    let (mut any, mut secret) = (false, false);
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let (inner, after) = inner.split_once('}').ok_or(("a \"${\" is never closed".into(), LITERAL))?;
            let (value, read) = replacement(inner, environment)?;
            text.push_str(&value);
            (any, secret, rest) = (true, secret | read, after);
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    Ok(match any {
        true => Some(Kind::Expanded(Box::new(Expanded { text, written: written.into(), secret }))),
        false if text != written => Some(Kind::Text(text.into())),
        false => None,
    })
}

/// What `${inner}` stands for, and whether that was read from outside.
fn replacement(inner: &str, environment: Environment<'_>) -> Result<(String, bool), (String, &'static str)> {
    if let Some(path) = inner.strip_prefix("file:") {
        return Ok((read(path).map_err(|reason| (format!("cannot read {path:?}: {reason}"), "it is named by \"${file:...}\""))?, true));
    }
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err((format!("{:?} names no variable", format!("${{{inner}}}")), LITERAL));
    }
    let value =
        environment(name).map(|value| value.into_string().map_err(|_| (format!("the variable {name} is not UTF-8"), "set it anew")));
    match (value.transpose()?, default) {
        (Some(value), None) => Ok((value, true)),
        (Some(value), Some(_)) if !value.is_empty() => Ok((value, true)),
        (_, Some(default)) => Ok((default.into(), false)),
        (None, None) => Err((format!("the variable {name} is not set"), "set it, or write a default: \"${NAME:-default}\"")),
    }
}

/// The content of a file, without the line end at its end.
fn read(path: &str) -> Result<String, String> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_MAX + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > FILE_MAX {
        return Err(format!("it is larger than {FILE_MAX} bytes"));
    }
    let mut content = String::from_utf8(content).map_err(|_| "it is not text in UTF-8".to_string())?;
    if content.ends_with('\n') {
        content.truncate(content.len() - 1);
        if content.ends_with('\r') {
            content.truncate(content.len() - 1);
        }
    }
    Ok(content)
}

const LITERAL: &str = "write \"${NAME}\", \"${NAME:-default}\" or \"${file:/path}\"; a literal \"$\" before \"{\" is \"$$\"";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<OsString> {
        match name {
            "USER_NAME" => Some("ada".into()),
            "EMPTY" => Some("".into()),
            "DOLLARS" => Some("$$ ${USER_NAME}".into()),
            _ => None,
        }
    }

    fn text(written: &str) -> Result<String, String> {
        let new = expanded(written, &environment).map_err(|(message, _)| message)?;
        Ok(new.map_or(written.to_owned(), |kind| Value::new(0, kind).text().unwrap().to_owned()))
    }

    #[test]
    fn puts_in_what_is_named() {
        for (written, result) in [
            ("a ${USER_NAME} b${USER_NAME}", "a ada bada"),
            ("${NONE:-9001}", "9001"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${USER_NAME}", "${USER_NAME}"),
            ("$$", "$"),
            ("${DOLLARS}", "$$ ${USER_NAME}"),
            ("~^/v[0-9]+$", "~^/v[0-9]+$"),
            ("~^/a$|^/b{2}$", "~^/a$|^/b{2}$"),
            ("/users/{id}", "/users/{id}"),
        ] {
            assert_eq!(text(written).as_deref(), Ok(result), "{written}");
        }
    }

    #[test]
    fn tells_what_cannot_be_put_in() {
        for (written, message) in [
            ("x${NONE}", "the variable NONE is not set"),
            ("x${USER_NAME", "a \"${\" is never closed"),
            ("${}", "\"${}\" names no variable"),
            ("${a-b}", "\"${a-b}\" names no variable"),
            ("${1}", "\"${1}\" names no variable"),
            ("${file:/there/is/none}", "cannot read \"/there/is/none\": No such file or directory (os error 2)"),
        ] {
            assert_eq!(text(written), Err(message.to_owned()), "{written}");
        }
    }

    #[test]
    fn reads_a_file_without_its_last_line_end() {
        let path = std::env::temp_dir().join(format!("ringway-expand-{}", std::process::id()));
        for (content, value) in [("s3cret\n", "s3cret"), ("a\n\n", "a\n"), ("a\r\n", "a"), ("", ""), ("b", "b")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(text(&format!("${{file:{}}}", path.display())).as_deref(), Ok(value));
        }
        let most = "x".repeat(FILE_MAX as usize);
        for (content, fits) in [(most.clone(), true), (format!("{most}x"), false)] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(text(&format!("${{file:{}}}", path.display())).is_ok(), fits);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn only_what_came_from_outside_is_secret() {
        let secret = |written: &str| Value::new(0, expanded(written, &environment).unwrap().unwrap()).is_secret();
        assert!(secret("${USER_NAME:-x}") && !secret("${NONE:-x}") && !secret("$$"));
    }

    proptest! {
        #[test]
        fn texts_without_a_dollar_stay(written in "[^$]*") {
            prop_assert_eq!(text(&written), Ok(written));
        }

        #[test]
        fn doubled_dollars_give_any_text_back(plain in "[${}a-z:-]*") {
            prop_assert_eq!(text(&plain.replace('$', "$$")), Ok(plain));
        }
    }
}
