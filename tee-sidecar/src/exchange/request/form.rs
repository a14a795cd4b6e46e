//! Forms with files in them: audio, images. The engine gets their bytes as they came, with the
//! client's own boundary; the fields that a decision needs are read where they stand.
//!
//! What is read here must be what the engine reads. So a form is taken only in the one plain way
//! that every client writes it (RFC 7578): nothing before the first boundary or behind the last,
//! lines that end in CR LF, names in quotes, and no field of ours twice.

use bytes::Bytes;
use memchr::memmem;

use super::fields::wrong;
use super::{MODEL_BYTES_MAX, Request, Size, UsageWanted};
use crate::fault::Fault;
use crate::route::Route;

/// The longest `Content-Type`.
const TYPE_BYTES_MAX: usize = 256;
/// RFC 2046.
const BOUNDARY_BYTES_MAX: usize = 70;
/// The head of a part.
const HEAD_BYTES_MAX: usize = 4096;
const PARTS_MAX: usize = 1024;
/// Answers that a form asks for at most.
const ANSWERS_MAX: u64 = 128;

const COUNTED: &str = "stream_include_usage";

/// The fields of a form that a decision needs, as text.
#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a str>,
    stream: Option<&'a str>,
    /// vLLM counts what it streams of speech where this is asked for, and nowhere else.
    stream_include_usage: Option<&'a str>,
    n: Option<&'a str>,
}

pub(super) fn parse(
    route: Route,
    received: Bytes,
    content_type: Option<&str>,
) -> Result<Request, Fault> {
    let given = content_type.filter(|given| given.len() <= TYPE_BYTES_MAX);
    let Some((content_type, boundary)) = given.and_then(|given| Some((given, boundary(given)?)))
    else {
        let rule = "send the request as multipart/form-data, with one boundary";
        return Err(Fault::BadRequest(rule.into()));
    };
    let fields = fields(&received, boundary)?;
    let on = |param, given: Option<&str>| given.map_or(Ok(false), |text| flag(param, text));
    let stream = on("stream", fields.stream)?;
    if stream && !route.streams() {
        return Err(not_streamed());
    }
    if stream && !on(COUNTED, fields.stream_include_usage)? {
        return Err(wrong(COUNTED, "true where 'stream' is: what nobody counts has no price"));
    }
    let answers = fields.n.map(answers).transpose()?.unwrap_or(1);
    let model = fields.model.map(str::to_owned);
    let size = Size::of_files(answers, received.len() as u64);
    let content_type = content_type.to_owned();
    Ok(Request {
        route,
        forwarded: received.clone(),
        received,
        content_type,
        model,
        stream,
        // Nothing was added for us, so nothing is cut out for the client.
        usage_wanted: UsageWanted { at_end: true, running: true },
        size,
        salt_at: None,
    })
}

pub(super) fn not_streamed() -> Fault {
    Fault::BadParameter {
        param: "stream",
        message: "this route is not streamed here: leave 'stream' out".into(),
    }
}

/// The boundary of a form's type; `None` for any other type, and for one with anything else in it.
fn boundary(content_type: &str) -> Option<&str> {
    let (media_type, parameter) = content_type.split_once(';')?;
    let (name, value) = parameter.trim().split_once('=')?;
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let boundary = quoted.unwrap_or(value);
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && !boundary.ends_with(' ');
    let is_plain = |byte: u8| {
        let marks: &[u8] = if quoted.is_some() { b" '()+_,-./:=?" } else { b"'+_-." };
        byte.is_ascii_alphanumeric() || marks.contains(&byte)
    };
    (media_type.trim().eq_ignore_ascii_case("multipart/form-data")
        && name.eq_ignore_ascii_case("boundary")
        && fits
        && boundary.bytes().all(is_plain))
    .then_some(boundary)
}

/// Walks through the parts. A field of ours that is a file, or stands twice, is refused: which of
/// both an engine takes is its own business.
fn fields<'a>(body: &'a [u8], boundary: &str) -> Result<Fields<'a>, Fault> {
    let mut found = Fields::default();
    let first = format!("--{boundary}\r\n");
    let between = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(first.as_bytes()).ok_or_else(|| broken("its beginning"))?;
    let finder = memmem::Finder::new(between.as_bytes());
    for _ in 0..PARTS_MAX {
        let window = rest.get(..HEAD_BYTES_MAX).unwrap_or(rest);
        let head_end =
            memmem::find(window, b"\r\n\r\n").ok_or_else(|| broken("the head of a part"))?;
        let (head, content) = rest.split_at(head_end);
        let content = content.get(4..).unwrap_or_default();
        let end = finder.find(content).ok_or_else(|| broken("the end of a part"))?;
        let (value, behind) = content.split_at(end);
        let part = part(head).ok_or_else(|| broken("the Content-Disposition of a part"))?;
        found.take(&part, value)?;
        let behind = behind.get(between.len()..).unwrap_or_default();
        match behind {
            b"--" | b"--\r\n" => return Ok(found),
            _ => rest = behind.strip_prefix(b"\r\n").ok_or_else(|| broken("its end"))?,
        }
    }
    Err(Fault::BadRequest(format!("a form has at most {PARTS_MAX} parts")))
}

/// A part, by its head.
struct Part<'a> {
    name: &'a str,
    is_file: bool,
}

/// Reads the one `Content-Disposition` of a head: `form-data; name="…"`, and with a file's name
/// where it is a file.
fn part(head: &[u8]) -> Option<Part<'_>> {
    let mut disposition = None;
    for line in std::str::from_utf8(head).ok()?.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        if value.contains(['\r', '\n']) {
            return None;
        }
        let is_known = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => disposition.replace(value).is_none(),
            "content-type" | "content-length" => true,
            // Another encoding would have to be undone.
            "content-transfer-encoding" => ["binary", "8bit", "7bit"].contains(&value),
            _ => false,
        };
        if !is_known {
            return None;
        }
    }
    let value = disposition?.strip_prefix("form-data;")?.trim_start();
    let (name, more) = quoted("name", value)?;
    let Some(file) = more.strip_prefix(';') else {
        return more.is_empty().then_some(Part { name, is_file: false });
    };
    let (_, more) = quoted("filename", file.trim_start())?;
    let other_name = more.strip_prefix(';').map(str::trim_start);
    let is_known = match other_name.map(|more| more.strip_prefix("filename*=")) {
        None => more.is_empty(),
        Some(rest) => rest.is_some_and(|rest| !rest.contains(['"', ';'])),
    };
    is_known.then_some(Part { name, is_file: true })
}

/// The value of `name="value"`, and what follows. An escape would be read in more than one way.
fn quoted<'a>(name: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let (value, rest) = text.strip_prefix(name)?.strip_prefix("=\"")?.split_once('"')?;
    (!value.contains('\\')).then_some((value, rest))
}

impl<'a> Fields<'a> {
    fn take(&mut self, part: &Part<'_>, value: &'a [u8]) -> Result<(), Fault> {
        let (param, place) = match part.name {
            "model" => ("model", &mut self.model),
            "stream" => ("stream", &mut self.stream),
            COUNTED => (COUNTED, &mut self.stream_include_usage),
            "n" => ("n", &mut self.n),
            _ => return Ok(()),
        };
        let text = std::str::from_utf8(value).ok().filter(|_| !part.is_file);
        let Some(text) = text.filter(|text| text.len() <= MODEL_BYTES_MAX) else {
            return Err(wrong(param, &format!("a text of at most {MODEL_BYTES_MAX} bytes")));
        };
        match place.replace(text) {
            Some(_) => Err(wrong(param, "there once")),
            None => Ok(()),
        }
    }
}

fn flag(param: &'static str, text: &str) -> Result<bool, Fault> {
    match text {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" => Ok(false),
        _ => Err(wrong(param, "true or false")),
    }
}

fn answers(text: &str) -> Result<u64, Fault> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let read = text.parse().ok().filter(|n| is_plain && (1..=ANSWERS_MAX).contains(n));
    read.ok_or_else(|| wrong("n", &format!("a whole number from 1 to {ANSWERS_MAX}")))
}

fn broken(what: &str) -> Fault {
    Fault::BadRequest(format!(
        "the form cannot be read: {what} is not as RFC 7578 has it (lines end in CR LF, names \
         stand in quotes, nothing is before the first boundary or behind the last)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "Multipart/Form-Data; boundary=x";

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(head, value): &(&str, &str)| {
            format!("--x\r\nContent-Disposition: form-data; name={head}\r\n\r\n{value}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--x--\r\n"
    }

    fn read(route: Route, body: &str) -> Result<Request, Fault> {
        parse(route, Bytes::copy_from_slice(body.as_bytes()), Some(TYPE))
    }

    #[test]
    fn a_form_is_forwarded_as_it_came_and_what_is_none_is_refused() {
        let named =
            "\"file\"; filename=\"a.wav\"; filename*=UTF-8''a.wav\r\nContent-Type: audio/wav";
        let file = (named, "\r\n--y\r\n\0");
        let counted = ("\"stream_include_usage\"", "true");
        let fields = [file, ("\"model\"", "tiny"), ("\"stream\"", "true"), counted];
        let body = Bytes::from(form(&fields));
        let request = parse(Route::Transcriptions, body.clone(), Some(TYPE)).unwrap();
        assert_eq!((request.forwarded, request.content_type.as_str()), (body.clone(), TYPE));
        assert_eq!((request.model.as_deref(), request.stream), (Some("tiny"), true));
        for none in [
            None,
            Some("application/json"),
            Some("multipart/form-data"),
            Some("multipart/form-data; boundary="),
            Some("multipart/form-data; boundary=x; boundary=y"),
            Some("multipart/form-data; charset=x; boundary=x"),
            Some("multipart/form-data; boundary=z"),
            Some("multipart/form-data; boundary=\"x"),
        ] {
            let fault = parse(Route::Transcriptions, body.clone(), none).unwrap_err();
            assert_eq!(fault.status(), 400, "{none:?}");
        }
        let quoted =
            parse(Route::Transcriptions, body, Some("multipart/form-data; boundary=\"x\""));
        assert!(quoted.unwrap().stream);
    }

    #[test]
    fn only_a_field_that_says_so_asks_for_a_stream() {
        for (value, stream) in [("true", true), ("1", true), ("false", false), ("0", false)] {
            let body = form(&[("\"stream\"", value)]);
            assert_eq!(read(Route::Transcriptions, &body).is_err(), stream, "{value}: no count");
            let body = form(&[("\"stream\"", value), ("\"stream_include_usage\"", "true")]);
            assert_eq!(read(Route::Transcriptions, &body).unwrap().stream, stream, "{value}");
            assert_eq!(read(Route::ImageEdits, &body).is_err(), stream, "{value}");
        }
        let in_a_file = form(&[("\"file\"; filename=\"f\"", "name=\"stream\"\r\n\r\ntrue")]);
        assert!(!read(Route::Transcriptions, &in_a_file).unwrap().stream);
        assert!(read(Route::Transcriptions, &form(&[("\"stream\"", "on")])).is_err());
    }

    #[test]
    fn as_many_answers_as_a_form_asks_for_are_bounded() {
        let bound = |body: &str| read(Route::ImageEdits, body).map(|r| r.size.bound(100).output);
        assert_eq!(bound(&form(&[("\"prompt\"", "x")])).unwrap(), 100);
        assert_eq!(bound(&form(&[("\"n\"", "10")])).unwrap(), 1000);
        for n in ["0", "-1", "+1", " 1", "1e1", "129", "99999999999999999999", ""] {
            assert!(bound(&form(&[("\"n\"", n)])).is_err(), "{n}");
        }
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        let head = "Content-Disposition: form-data; name=";
        for body in [
            form(&[("\"model\"", "a"), ("\"model\"", "b")]),
            form(&[("\"model\"; filename=\"m\"", "a")]),
            form(&[("model", "a")]),
            form(&[("\"mod\\\"el\"", "a")]),
            form(&[("\"x\"\r\nContent-Disposition: form-data; name=\"model\"", "a")]),
            form(&[("\"x\"\r\n folded: y", "a")]),
            form(&[("\"x\"; name=\"model\"", "a")]),
            form(&[("\"x\"; filename=\"f\"; name=\"model\"", "a")]),
            form(&[("\"x\"; filename=\"f\\\"; name=\"model\"", "a")]),
            form(&[("\"model\"\r\nContent-Transfer-Encoding: base64", "YQ==")]),
            format!("preamble\r\n{}", form(&[("\"model\"", "a")])),
            form(&[("\"model\"", "a")]) + "--x\r\nmore",
            form(&[("\"model\"", "a")]).replace("\r\n", "\n"),
            format!("--x\r\n{head}\"model\"\r\n\r\na"),
            format!("--x\r\n{head}\"model\"\r\n\r\na\r\n--xy\r\n"),
            format!("--x\r\n{head}\"{}\"\r\n\r\na\r\n--x--", "n".repeat(5000)),
            "--x--\r\n".to_owned(),
            String::new(),
        ] {
            let fault = read(Route::Transcriptions, &body).unwrap_err();
            assert_eq!(fault.status(), 400, "{body}");
        }
        let mut many = form(&[("\"a\"", "")]).replace("--x--\r\n", "").repeat(1025);
        many.push_str("--x--");
        assert!(read(Route::Transcriptions, &many).is_err());
    }
}
