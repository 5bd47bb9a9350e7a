//! A certificate for the demo, made anew at each start: its key is in this process's memory and nowhere else.

use std::process::{Command, Stdio};

/// A certificate for `localhost` that nobody trusts, and its key, as one text (PEM).
///
/// # Errors
/// Why there is none: `openssl` makes it, and isn't there or can't.
pub fn make() -> Result<String, String> {
    let made = Command::new("openssl").args(ARGUMENTS.split_whitespace()).stdin(Stdio::null()).output();
    let output = made.map_err(|error| format!("openssl, which makes its certificate, can't be run: {error}"))?;
    let told = || String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    match String::from_utf8(output.stdout) {
        Ok(text) if output.status.success() => Ok(text),
        _ => Err(format!("openssl makes no certificate: {}", told())),
    }
}

/// Both go to the standard output, which is a pipe.
const ARGUMENTS: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout /dev/stdout";
